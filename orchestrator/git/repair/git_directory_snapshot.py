"""Snapshot of the repository files that git reads first."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.path_patterns import within
from orchestrator.git.command import git_config
from orchestrator.git.command.git_sessions import shared_part
from orchestrator.git.command.runner import Git, GitOutput
from orchestrator.git.repair.broken_worktrees import is_head
from orchestrator.security.files.json_file import read_object
from orchestrator.security.files.untrusted_files import read_regular

#: Settings that decide whether git recognizes the directory as this repository.
_DECIDING = r"^(core\.(bare|worktree|repositoryformatversion)|extensions\..*)$"
_MOST_BYTES = 64 * 1024 * 1024
_DIRECTORIES = ("objects", "refs")
#: Size, time, and inode of a file; None if there is no file.
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GitDirectorySnapshot:
    """The snapshot of the repository files at the start of a job. Paths are absolute."""

    top: str
    common: str
    #: A result of ``_format_and_top``: the format of object ids, and the top of the checkout.
    where: str
    #: The git directory of the user's checkout. For a linked worktree, this directory differs from
    #: the common directory.
    admin: str
    #: Size, time, and inode of files that are too large to be read each time. Another value means
    #: that the file has changed.
    stamps: Mapping[str, Stamp]
    #: Contents of the files; None for a file that does not exist. Links and special files are not
    #: read.
    files: Mapping[str, bytes | None]
    modes: Mapping[str, int]

    @property
    def config_paths(self) -> list[str]:
        return [path for path in self.files if os.path.basename(path).startswith("config")]

    @property
    def index(self) -> str:
        return f"{self.admin}/index"

    @property
    def packed_refs(self) -> str:
        return f"{self.common}/packed-refs"

    def is_untouched(self) -> bool:
        same = all(regular_content(path) == content for path, content in self.files.items())
        unchanged = all(_stamp(path) == stamp for path, stamp in self.stamps.items())
        return same and unchanged and not list(self.missing())

    def is_usable(self) -> bool:
        sound = not [*self.missing(), *self.unusable()] and self.is_recognized()
        return sound and self.can_read_index() and self.can_read_refs()

    def can_read_index(self) -> bool:
        if self.stamps.get(self.index) and not _stamp(self.index):
            return False
        return self._succeeds("ls-files", "--", "nothing")

    def can_read_refs(self) -> bool:
        return self._succeeds("for-each-ref", "--format=%(refname)")

    def _succeeds(self, *arguments: str) -> bool:
        return Git(self.top, {}).run(*arguments, accept=range(256)).code == 0

    def is_recognized(self) -> bool:
        """True if git recognizes the directory as the checkout's repository."""
        with suppress(RepositoryError):
            return _format_and_top(Git(self.top, {})) == self.where
        return False

    def missing(self) -> Iterator[str]:
        """Yield the paths of required directories that do not exist, or are not directories."""
        places = (f"{self.common}/{name}" for name in _DIRECTORIES)
        yield from (each for each in places if not os.path.isdir(each))
        worktrees = f"{self.common}/worktrees"
        if os.path.lexists(worktrees) and not os.path.isdir(worktrees):
            yield worktrees

    def unusable(self) -> list[str]:
        """Return the paths of required files that are missing, or that git cannot parse."""
        return [path for path in self.files if not self._is_usable(path)]

    def _is_usable(self, path: str) -> bool:
        if path.endswith("/shallow"):
            return all(map(_is_id, (regular_content(path) or b"").split()))
        if not os.path.lexists(path) or regular_content(path) == b"":
            # A file that has become empty is damaged, because no person empties these files.
            return not self.files[path]
        if path.endswith("/HEAD"):
            return is_head(Path(path))
        return _is_plain(path) and _run_config("--file", path, "--list").code == 0


def configure(path: str, name: str, value: str | None) -> None:
    """Set a value in a git configuration file; None removes the setting."""
    options = ("--unset-all", name) if value is None else ("--replace-all", name, value)
    _run_config("--file", path, *options)


def snapshot_json(git: Git, common: Path) -> bytes:
    """Return a new snapshot as JSON, in the form that ``read`` reads from a file.

    This function usually runs no git. Therefore the caller must first read the refs with git, to
    check that git can use the repository. Raise RepositoryError if git fails, or does not recognize
    the project as a repository.
    """
    where = _format_and_top_by_settings(git) or _format_and_top(git)
    if not where.endswith(f" {git.directory}"):
        raise RepositoryError(
            f"git does not recognize {git.directory} as a repository; to see why, type: "
            f"git -C {quote(git.directory)} status"
        )
    admin = admin_of(git)
    names = ("config", "config.worktree", "shallow", "HEAD")
    paths = dict.fromkeys([*(f"{common}/{name}" for name in names), f"{admin}/HEAD"])
    files = {
        path: _content_and_mode(path)
        for path in paths
        if _is_plain(path) or not os.path.lexists(path)
    }
    stamps = {path: _stamp(path) for path in (f"{admin}/index", f"{common}/packed-refs")}
    places = {"top": git.directory, "common": str(common), "where": where, "admin": admin}
    return json.dumps({**places, "stamps": stamps, "files": files}).encode()


def admin_of(git: Git) -> str:
    """Return the directory with the checkout's own HEAD and index.

    For a linked worktree, the directory is ``.git/worktrees/NAME`` of the repository. Otherwise the
    directory is ``.git``.
    """
    part = shared_part(git.directory, git.env)
    if part and not os.path.islink(f"{git.directory}/.git"):
        return f"{part.common}/{part.head}".rstrip("/")
    return git.run("rev-parse", "--absolute-git-dir").line


def _format_and_top(git: Git) -> str:
    options = ("--show-object-format", "--path-format=absolute", "--show-toplevel")
    return git.run("rev-parse", *options).line.replace("\n", " ", 1)


def _format_and_top_by_settings(git: Git) -> str:
    """Return the result of ``_format_and_top`` without running git; "" if git is necessary.

    Call this only if git recognizes the repository.
    """
    is_plain = git_config.value(git, "core.bare") == "false"
    if not is_plain or git_config.value(git, "core.worktree"):
        return ""
    return f"{git_config.value(git, 'extensions.objectformat') or 'sha1'} {git.directory}"


def _content_and_mode(path: str) -> tuple[str, int] | None:
    content = regular_content(path)
    if content is None:
        return None
    return content.decode("latin-1"), stat.S_IMODE(os.stat(path).st_mode)


def read(path: Path) -> GitDirectorySnapshot | None:
    """Return the snapshot in a file; None if the file is missing or damaged."""
    values = read_object(path, _MOST_BYTES) or {}
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        files = {name: each and each[0].encode("latin-1") for name, each in values["files"].items()}
        modes = {name: each[1] for name, each in values["files"].items() if each}
        where = {each: values[each] for each in ("top", "common", "where", "admin")}
        stamps = {path: each and tuple(each) for path, each in values["stamps"].items()}
        return GitDirectorySnapshot(**where, stamps=stamps, files=files, modes=modes)
    return None


def moved(before: GitDirectorySnapshot, top: str, common: str) -> Mapping[str, object]:
    """Return the snapshot with the new paths of a moved repository and checkout.

    The result is a JSON object, in the form that ``read`` reads from a file.
    """
    places = {before.common: common, before.top: top}

    def new_path(path: str) -> str:
        for old, new in places.items():
            if within(path, old):
                return f"{new}{path.removeprefix(old)}"
        return path

    files = {
        new_path(path): None if content is None else (content.decode("latin-1"), before.modes[path])
        for path, content in before.files.items()
    }
    return {
        "top": top,
        "common": common,
        "where": before.where.replace(before.top, top),
        "admin": new_path(before.admin),
        "stamps": {new_path(path): stamp for path, stamp in before.stamps.items()},
        "files": files,
    }


def _stamp(path: str) -> Stamp:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_id(word: bytes) -> bool:
    return len(word) in (40, 64) and not word.strip(b"0123456789abcdef")


def regular_content(path: str) -> bytes | None:
    return read_regular(path, _MOST_BYTES)


def _is_plain(path: str) -> bool:
    return regular_content(path) is not None


def deciding(config: bytes) -> dict[str, str]:
    """Return the settings by which git decides whether a directory is a repository.

    ``config``: content of a configuration file.
    """
    options = ("--file", "-", "-z", "--get-regexp", _DECIDING)
    answer = _run_config(*options, stdin=config)
    pairs = (each.partition("\n") for each in answer.fields if answer.code == 0)
    return {name: value if sign else "true" for name, sign, value in pairs}


def _run_config(*arguments: str, stdin: bytes = b"") -> GitOutput:
    # Run git outside of any repository, because the job's repository may be broken.
    git = Git("/", {"GIT_DIR": os.devnull})
    return git.run("config", *arguments, stdin=stdin, accept=range(256))
