"""The files of the project to survey. Links are not followed.

A path to survey is a file, or a directory with everything below it. ``src/*`` means only the files
directly in ``src``.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path

from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment
from orchestrator.agents.survey.project_files.git_info import ask_git
from orchestrator.core.lazy_dataclass import dataclass

#: Suffix of a path that means only the files directly in a directory.
DIRECT_FILES = "/*"
#: Directories without source of the project; used only if git lists no files.
SKIPPED_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", ".bzr", ".tox", ".nox", ".venv", "venv", "virtualenv", "site-packages"}
    | {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache"}
    | {"node_modules", "bower_components", "jspm_packages", ".next", ".nuxt", ".nyc_output"}
    | {"build", "dist", ".eggs", ".gradle", ".idea", ".vs", ".terraform", ".bundle", ".dart_tool"}
    | {"htmlcov", "DerivedData", "Pods"}
)
#: Files that mark a directory as created by a tool. The survey skips such a directory.
_MARKS_OF_TOOLS = ("pyvenv.cfg", "CACHEDIR.TAG", "modules.txt", "autoload.php")
#: Names of directories in which each of ``_MARKS_OF_TOOLS`` is a mark. In any other directory, only
#: ``pyvenv.cfg`` is a mark.
_MARKED_NAMES = frozenset({"vendor", "target", "env", "third_party"})


@dataclass(frozen=True)
class FoundFile:
    """A regular file: its path relative to the project root, and its size in bytes."""

    path: str
    size: int


@dataclass
class Listing:
    """The files to survey, sorted by path, and the files that are not surveyed."""

    files: list[FoundFile] = field(default_factory=list)
    #: True if git listed at least one file.
    by_git: bool = False
    #: True if git listed the project's files, even if the list is empty.
    in_repository: bool = False
    links: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    directories_skipped: list[str] = field(default_factory=list)

    def select(self, chosen: Callable[[str], bool]) -> "Listing":
        return replace(
            self,
            files=[file for file in self.files if chosen(file.path)],
            links=[path for path in self.links if chosen(path)],
            special=[path for path in self.special if chosen(path)],
        )


def list_files(environment: SurveyEnvironment, paths: Sequence[str]) -> Listing:
    """List the files below ``paths``; without ``paths``, all files of the project.

    If git lists any files, the files that git ignores are excluded. Raise SurveyError if one of
    ``paths`` does not exist, is a link, or leads through a link.
    """
    scopes = [_existing_scope(environment.root, path) for path in (paths or ["."])]
    listing = Listing()
    names = [scope.path for scope in scopes]
    answer = ask_git(environment.root, ["ls-files", "-co", "--exclude-standard", "-z"], names)
    candidates = {os.fsdecode(name) for name in (answer or b"").split(b"\0") if name}
    listing.by_git, listing.in_repository = bool(candidates), answer is not None
    if not candidates:
        candidates = set(_walk_all(environment, scopes, listing))
    inside = sorted(filter(within(paths or ["."]), candidates))
    _keep_regular_files(environment, inside, listing)
    return listing


@dataclass(frozen=True)
class _Scope:
    path: str
    only_direct: bool


def within(paths: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that returns True for a file in ``paths``, such as ``src`` or ``src/*``."""
    scopes = [_scope_of(path) for path in paths]
    trees = {scope.path for scope in scopes if not scope.only_direct}
    direct = {scope.path for scope in scopes if scope.only_direct}

    def holds(path: str) -> bool:
        directory = os.path.dirname(path)
        if "." in trees or path in trees or (directory or ".") in direct:
            return True
        while directory and directory not in trees:
            directory = os.path.dirname(directory)
        return bool(directory)

    return holds


def _scope_of(path: str) -> _Scope:
    if path == "*":
        return _Scope(".", True)
    only_direct = path.endswith(DIRECT_FILES)
    return _Scope(path[: -len(DIRECT_FILES)] if only_direct else path, only_direct)


def _existing_scope(root: Path, path: str) -> _Scope:
    scope = _scope_of(path)
    target = root / scope.path
    if not os.path.lexists(target):
        raise SurveyError(f"files: {path!r} does not exist in {root}")
    if os.path.realpath(target) != os.path.normpath(target):
        raise SurveyError(
            f"files: {path!r} is a symbolic link, or leads through a symbolic "
            f"link; links are not followed"
        )
    return scope


def _walk_all(
    environment: SurveyEnvironment, scopes: Sequence[_Scope], listing: Listing
) -> Iterator[str]:
    for scope in scopes:
        if (environment.root / scope.path).is_dir():
            yield from _walk(environment, scope, listing)
        else:
            yield scope.path


def _walk(environment: SurveyEnvironment, scope: _Scope, listing: Listing) -> Iterator[str]:
    root, excluded = environment.root, frozenset(map(os.fspath, environment.excluded))
    pending = ["" if scope.path == "." else scope.path]
    while pending:
        for entry in _entries(root, pending.pop()):
            path = os.path.relpath(entry.path, root)
            if not entry.is_dir(follow_symlinks=False):
                yield path
            elif entry.path in excluded:
                continue
            elif _is_skipped(entry):
                listing.directories_skipped.append(path)
            elif not scope.only_direct:
                pending.append(path)


def _entries(root: Path, directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / directory) as entries:
            return list(entries)
    except OSError:
        return []


def _is_skipped(entry: os.DirEntry[str]) -> bool:
    if entry.name in SKIPPED_DIRECTORIES:
        return True
    marks = _MARKS_OF_TOOLS if entry.name in _MARKED_NAMES else _MARKS_OF_TOOLS[:1]
    return any(os.path.lexists(os.path.join(entry.path, mark)) for mark in marks)


def _keep_regular_files(environment: SurveyEnvironment, paths: list[str], listing: Listing) -> None:
    excluded = [f"{path.relative_to(environment.root)}/" for path in environment.excluded]
    real_directories: dict[str, bool] = {}
    for path in paths:
        if any(path.startswith(prefix) for prefix in excluded):
            continue
        directory = os.path.dirname(path)
        if directory not in real_directories:
            place = environment.root / directory
            real_directories[directory] = os.path.realpath(place) == os.path.normpath(place)
        _add_to_listing(
            environment.root, path, listing, behind_link=not real_directories[directory]
        )


def _add_to_listing(root: Path, path: str, listing: Listing, *, behind_link: bool) -> None:
    try:
        status = os.lstat(root / path)
    except OSError:
        return  # The file was deleted, but is still in git's index.
    if behind_link or stat.S_ISLNK(status.st_mode):
        listing.links.append(path)
    elif stat.S_ISREG(status.st_mode):
        listing.files.append(FoundFile(path, status.st_size))
    elif not stat.S_ISDIR(status.st_mode):
        listing.special.append(path)


def shown(path: str) -> str:
    r"""Return ``path`` as valid text: undecodable bytes become ``\xNN``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
