"""The files of one commit, read without a checkout."""

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache

from orchestrator.git.running import Git

#: A larger file configures nothing.
MOST_BYTES = 1024 * 1024


class CommitFiles:
    """See ``core.gates.GateFiles``. Paths are relative to the host project."""

    def __init__(self, git: Git, commit: str, prefix: str, ours: Sequence[str] = ()) -> None:
        """``ours`` are the product's own folders, relative to the top of the repository."""
        self._git = git
        self._commit = commit
        self._prefix = prefix
        self._ours = tuple(f"{each}/" for each in ours)
        self._names = lru_cache(maxsize=64)(self._listed)

    def read(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        if name not in self._names(directory):
            return ""
        place = f"{self._commit}:{self._prefix}{path}"
        size = self._git.ask("cat-file", "-s", place)
        if not size.isdigit() or int(size) > MOST_BYTES:
            return ""
        shown = self._git.run("cat-file", "blob", place, accept=(0, 128))
        return shown.out.decode("utf-8", "replace") if shown.code == 0 else ""

    def names(self, directory: str = "") -> Collection[str]:
        return self._names(directory.strip("/"))

    @cached_property
    def _paths(self) -> Collection[str]:
        place = f"{self._commit}:{self._prefix}".rstrip("/")
        listed = self._git.run("ls-tree", "-r", "-z", "--name-only", place, accept=(0, 128))
        found = listed.fields if listed.code == 0 else ()
        return [each for each in found if not f"{self._prefix}{each}".startswith(self._ours)]

    def paths(self) -> Collection[str]:
        return self._paths

    def _listed(self, directory: str) -> frozenset[str]:
        place = f"{self._commit}:{self._prefix}{directory}".rstrip("/")
        listed = self._git.run("ls-tree", "-z", "--name-only", place, accept=(0, 128))
        return frozenset(listed.fields if listed.code == 0 else ())
