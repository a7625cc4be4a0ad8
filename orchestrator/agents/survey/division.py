"""Division of a large project: the directories that become child jobs, and their parts.

A part of a directory is a direct subdirectory, or consists of all files directly in the directory.
Several small parts are bundled into one part. Each file of the directory is in one part at most. A
subdirectory that a task cannot name is in no part, so the worker itself surveys this subdirectory.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import field

from orchestrator.agents.survey.project_files.listing import DIRECT_FILES, FoundFile
from orchestrator.agents.survey.project_files.read_file import LARGEST_READ_BYTES
from orchestrator.agents.survey.source.languages import language_of
from orchestrator.core.lazy_dataclass import dataclass

#: Minimum number of sizeable parts of a directory that becomes a child job.
PARTS_FOR_A_CHILD_JOB = 5
#: Minimum bytes to read in a directory that becomes a child job. One worker can read a smaller
#: directory alone.
SMALLEST_DIVIDED_BYTES = 640 * 1024
#: Minimum bytes to read in a sizeable part.
SIZEABLE_PART_BYTES = 32 * 1024
#: A sizeable part has at least this fraction (1/n) of the bytes of its directory.
SIZEABLE_PART_SHARE = 50
#: Languages whose bytes do not count for the size of a part, because their files are read quickly.
_DATA = frozenset({"Gettext", "JSON", "XML", "CSV", "Lock file", "Patch"})
#: A bundle of small parts is complete if it has this fraction (1/n) of its directory's bytes.
BUNDLE_SHARE = 5
#: Maximum number of child jobs of one worker; the worker surveys the rest itself.
MOST_CHILD_JOBS = 10


@dataclass(frozen=True, kw_only=True)
class SurveyPart:
    """The files that one child worker surveys.

    ``files``: paths, as in a task. ``file_count``: number of all files below these paths. ``size``:
    their bytes.
    """

    name: str
    files: tuple[str, ...]
    file_count: int
    size: int


@dataclass(frozen=True)
class Division:
    """A directory that becomes a child job, and the parts that its workers survey."""

    directory: str
    parts: tuple[SurveyPart, ...]


@dataclass
class _Directory:
    path: str
    #: Bytes to read and number of files, including subdirectories.
    size: int = 0
    file_count: int = 0
    own_size: int = 0
    own_file_count: int = 0
    children: dict[str, "_Directory"] = field(default_factory=dict)

    def add(self, file: FoundFile, names: list[str]) -> None:
        language = language_of(file.path)
        is_read = language is not None and file.size <= LARGEST_READ_BYTES
        size = file.size if is_read and language not in _DATA else 0
        directory = self
        for name in [*names, ""]:
            directory.size += size
            directory.file_count += 1
            if name:
                path = f"{directory.path}/{name}" if directory.path != "." else name
                directory = directory.children.setdefault(name, _Directory(path))
        directory.own_size += size
        directory.own_file_count += 1


def divide(files: Iterable[FoundFile], paths: Iterable[str]) -> list[Division]:
    """Return the directories that become child jobs, the largest first; at most MOST_CHILD_JOBS.

    Only directories in ``paths`` and below are considered; if ``paths`` is empty, all directories.
    If a directory becomes a child job, the directories inside it do not.
    """
    top = _Directory(".")
    for file in files:
        top.add(file, os.path.dirname(file.path).split("/") if "/" in file.path else [])
    starts = [_directory_at(top, path) for path in (list(paths) or ["."]) if not _is_direct(path)]
    divided = [
        directory
        for start in starts
        if start is not None
        for directory in _divided_directories(start)
    ]
    divided.sort(key=lambda directory: -directory.size)
    return [Division(d.path, tuple(_parts(d))) for d in divided[:MOST_CHILD_JOBS]]


def _is_direct(path: str) -> bool:
    return path == "*" or path.endswith(DIRECT_FILES)


def _directory_at(top: _Directory, path: str) -> _Directory | None:
    directory: _Directory | None = top
    for name in path.split("/") if path != "." else []:
        directory = directory.children.get(name) if directory is not None else None
    return directory


def _divided_directories(directory: _Directory) -> Iterator[_Directory]:
    if directory.size < SMALLEST_DIVIDED_BYTES:
        return
    sizeable = sum(part.size >= _least_size(directory) for part in _parts(directory))
    if sizeable >= PARTS_FOR_A_CHILD_JOB:
        yield directory
        return
    for child in directory.children.values():
        if _is_nameable(child.path):
            yield from _divided_directories(child)


def _least_size(directory: _Directory) -> int:
    return max(SIZEABLE_PART_BYTES, directory.size // SIZEABLE_PART_SHARE)


def _parts(directory: _Directory) -> Iterator[SurveyPart]:
    small: list[SurveyPart] = []
    for name in sorted(directory.children):
        child = directory.children[name]
        if not _is_nameable(name):
            continue  # A task cannot contain this path, so this worker surveys the directory.
        part = SurveyPart(
            name=child.path, files=(child.path,), file_count=child.file_count, size=child.size
        )
        if child.size >= _least_size(directory):
            yield part
        else:
            small.append(part)
    if directory.own_file_count:
        small.append(_direct_part(directory))
    yield from _bundles(small, directory)


def _direct_part(directory: _Directory) -> SurveyPart:
    is_top = directory.path == "."
    return SurveyPart(
        name="files directly in " + ("the project" if is_top else directory.path),
        files=("*" if is_top else directory.path + DIRECT_FILES,),
        file_count=directory.own_file_count,
        size=directory.own_size,
    )


def _bundles(small: list[SurveyPart], directory: _Directory) -> Iterator[SurveyPart]:
    enough = max(_least_size(directory), directory.size // BUNDLE_SHARE)
    open_bundle: list[SurveyPart] = []
    for part in small:
        open_bundle.append(part)
        if sum(each.size for each in open_bundle) >= enough:
            yield _bundle(open_bundle)
            open_bundle = []
    if open_bundle:
        yield _bundle(open_bundle)


def _bundle(parts: list[SurveyPart]) -> SurveyPart:
    first, last = parts[0].name, parts[-1].name
    names = {1: first, 2: f"{first} and {last}"}
    return SurveyPart(
        name=names.get(len(parts), f"{first} to {last} ({len(parts)} small parts)"),
        files=tuple(path for part in parts for path in part.files),
        file_count=sum(part.file_count for part in parts),
        size=sum(part.size for part in parts),
    )


def _is_nameable(name: str) -> bool:
    """True if the field ``files`` of a task can name the directory."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return os.path.basename(name) != "*"
