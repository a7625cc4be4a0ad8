"""Answers with differences between commits, and with files in conflict."""

from orchestrator.core.repository.change_reader import FileStatus, VersionState
from orchestrator.schemas.answers.answer import Answer


class HunkAnswer(Answer):
    """One group of adjacent changed lines of a file."""

    old_start: int
    """First line in the old file, from 1."""
    old_lines: int
    new_start: int
    """First line in the new file, from 1."""
    new_lines: int
    header: str
    """Text after the line numbers, such as the name of a function."""
    lines: list[str]
    """Lines. Each begins with a blank (unchanged), `-` (removed), or `+` (added). A line that
    begins with a backslash is a note by git."""


class ChangedFileAnswer(Answer):
    """A changed file."""

    path: str
    """Path in the repository."""
    old_path: str
    """Former path of a renamed file; otherwise empty."""
    status: FileStatus
    additions: int
    deletions: int
    binary: bool
    too_big: bool
    """True if the hunks are omitted, because they are larger than 1 MiB."""
    hunks: list[HunkAnswer]


class DiffAnswer(Answer):
    """Changes file by file."""

    commit: str
    """Commit with the changes."""
    base: str
    """Commit that the changes are compared with."""
    files: list[ChangedFileAnswer]


class VersionsAnswer(Answer):
    """The versions of a file in conflict. A version is omitted if it does not exist or is not
    text.
    """

    path: str
    base: str | None = None
    ours: str | None = None
    """The previous merged result."""
    theirs: str | None = None
    """The worker's file."""
    merged: str | None = None
    """Both versions, with conflict markers."""
    state: VersionState
