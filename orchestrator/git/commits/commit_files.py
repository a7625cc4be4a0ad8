"""The files of a commit, as gates read them."""

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache

from orchestrator.git.command.runner import Git

#: Maximum size of a file that ``CommitFiles.read`` returns, in bytes. A larger file counts as
#: empty.
MOST_BYTES = 1024 * 1024


class CommitFiles:
    """The files of a commit; implements ``core.gates.gate.GateFiles``.

    Paths are relative to the project.
    """

    def __init__(self, git: Git, commit: str, prefix: str, ours: Sequence[str]) -> None:
        """``prefix``: path of the project in the repository, with a trailing slash; "" for the top.

        ``ours``: the product's own folders, relative to the top of the repository.
        """
        self._git = git
        self._commit = commit
        self._prefix = prefix
        self._ours = tuple(f"{each}/" for each in ours)
        self._names = lru_cache(maxsize=64)(self._listed)

    def read(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        if name not in self._names(directory):
            return ""
        object_name = f"{self._commit}:{self._prefix}{path}"
        size = self._git.ask("cat-file", "-s", object_name)
        if not size.isdigit() or int(size) > MOST_BYTES:
            return ""
        answer = self._git.run("cat-file", "blob", object_name, accept=(0, 128))
        return answer.out.decode("utf-8", "replace") if answer.code == 0 else ""

    def names(self, directory: str = "") -> Collection[str]:
        return self._names(directory.strip("/"))

    @cached_property
    def _paths(self) -> Collection[str]:
        object_name = f"{self._commit}:{self._prefix}".rstrip("/")
        answer = self._git.run("ls-tree", "-r", "-z", "--name-only", object_name, accept=(0, 128))
        fields = answer.fields if answer.code == 0 else ()
        return [each for each in fields if not f"{self._prefix}{each}".startswith(self._ours)]

    def paths(self) -> Collection[str]:
        return self._paths

    def _listed(self, directory: str) -> frozenset[str]:
        object_name = f"{self._commit}:{self._prefix}{directory}".rstrip("/")
        answer = self._git.run("ls-tree", "-z", "--name-only", object_name, accept=(0, 128))
        return frozenset(answer.fields if answer.code == 0 else ())
