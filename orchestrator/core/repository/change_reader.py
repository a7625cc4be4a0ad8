"""The port to differences between commits, by file and hunk."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Protocol

from orchestrator.core.lazy_dataclass import dataclass


class FileStatus(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    #: A file was replaced by a link, or a link by a file.
    TYPE_CHANGED = "type_changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedHunk:
    """One hunk of a difference. Line numbers begin with 1."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    #: The text after the line numbers, such as the function's name.
    header: str
    #: The lines with their first character: a blank, ``-``, or ``+``; ``\\`` for a note of git.
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedFile:
    path: str
    #: The former path of a renamed file; empty for any other file.
    old_path: str = ""
    status: FileStatus
    additions: int = 0
    deletions: int = 0
    binary: bool = False
    #: True if the hunks are omitted because of their size.
    too_big: bool = False
    hunks: tuple[ChangedHunk, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The difference between two commits. Paths are relative to the top of the repository."""

    base: str
    commit: str
    files: Sequence[ChangedFile]


class VersionState(StrEnum):
    """State of a file in conflict."""

    #: The result has the file's content from before this merge.
    UNRESOLVED = "unresolved"
    #: The result has the worker's lines or file.
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictVersions:
    """The texts of a file in conflict: of the common ancestor, of both sides, and of the merge.

    A text is None if the file does not exist in this version. If any version is not text, all texts
    are None.
    """

    path: str
    base: str | None = None
    ours: str | None = None
    theirs: str | None = None
    #: The merged text, with conflict markers where the changes of the two sides conflict; None if
    #: one side lacks the file.
    merged: str | None = None
    state: VersionState = VersionState.UNRESOLVED


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffRequest:
    #: The worker whose changes are shown; empty: the merged result.
    worker_id: str = ""
    #: ``base``, ``result``, or another worker.
    against: str = "base"
    #: Path of the only file to show; empty for all files.
    path: str = ""
    #: Number of unchanged lines around a hunk.
    context: int = 3
    #: True to show only the list of files, without hunks.
    stat: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TextLimits:
    """Maximum sizes of texts, in bytes."""

    #: Patch of one file, or one version in a conflict. A longer patch is omitted.
    file: int = 1024 * 1024
    #: Patch of all files. A longer patch raises TooLarge.
    answer: int = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Blobs:
    """The blob ids of a file in conflict: in the common ancestor, and on both sides.

    A blob id is "" if the file does not exist in this version.
    """

    base: str = ""
    ours: str = ""
    theirs: str = ""
    #: Name of each side in the conflict markers.
    names: Mapping[str, str] = field(default_factory=dict)


class ChangeReader(Protocol):
    """Reads the project's repository. Methods raise RepositoryError. Any thread may call."""

    def tip(self, name: str) -> str:
        """Return the commit of a branch or ref; empty if it does not exist."""

    def difference(self, base: str, commit: str, request: DiffRequest) -> Difference:
        """Return the difference between two commits.

        Raise TooLarge, with the paths of the changed files, if the difference is too large.
        """

    def patch(self, base: str, commit: str, request: DiffRequest) -> bytes:
        """Return the difference between two commits as one text.

        Raise TooLarge, with the paths of the changed files, if the difference is too large.
        """

    def versions(self, path: str, blobs: Blobs) -> ConflictVersions:
        """Return the texts of a file in conflict. Raise TooLarge if the texts are too large."""
