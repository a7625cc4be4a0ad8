"""Differences between commits, as people read them: files, hunks, and versions in a conflict."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from orchestrator.core.errors import TooLarge
from orchestrator.core.repository.change_reader import (
    Blobs,
    ChangedFile,
    ChangedHunk,
    ConflictVersions,
    Difference,
    DiffRequest,
    FileStatus,
    TextLimits,
)
from orchestrator.git.command.runner import Git

#: Beginning of a file's part of a patch. No line of a hunk begins in this way, because the lines of
#: hunks begin with a blank, "+", or "-".
_FILE = re.compile(rb"^diff --git ", re.M)
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$", re.S)


def file_patches(patch: bytes) -> list[bytes]:
    """Split a patch before each ``diff --git`` line. Return the parts in order, one per file.

    A file whose type changes has two parts.
    """
    starts = [match.start() for match in _FILE.finditer(patch)]
    ends = [*starts[1:], len(patch)][: len(starts)]
    return [patch[start:end] for start, end in zip(starts, ends, strict=True)]


def hunks_of(part: bytes) -> Iterator[ChangedHunk]:
    head: tuple[str | None, ...] = ()
    lines: list[str] = []
    # Split only at line feeds, because the text of a line may contain other line endings.
    for line in part.decode("utf-8", "replace").removesuffix("\n").split("\n"):
        if line.startswith("@@ ") and (match := _HUNK.match(line)):
            if head:
                yield _hunk(head, lines)
            head, lines = match.groups(), []
        elif head:
            lines.append(line)
    if head:
        yield _hunk(head, lines)


def _hunk(head: tuple[str | None, ...], lines: list[str]) -> ChangedHunk:
    *numbers, text = head
    # If a patch gives no number of lines, the number is 1.
    old_start, old_lines, new_start, new_lines = (int(each or 1) for each in numbers)
    return ChangedHunk(
        old_start=old_start,
        old_lines=old_lines,
        new_start=new_start,
        new_lines=new_lines,
        header=text or "",
        lines=tuple(lines),
    )


#: Options that make the output independent of the user's configuration.
_PLAIN = (
    *("--no-color", "--no-ext-diff", "--no-textconv", "--no-relative"),
    *("-M", "--submodule=short"),
)
#: Maximum number of changed lines of a patch that is read. A patch with more lines is larger than
#: the maximum size of an answer.
MOST_LINES = 500_000
#: Number of bytes that git reads to decide whether a file is text.
_SEARCHED_BYTES = 8000
_STATUSES = {
    "A": FileStatus.ADDED,
    "C": FileStatus.ADDED,
    "D": FileStatus.DELETED,
    "R": FileStatus.RENAMED,
    "T": FileStatus.TYPE_CHANGED,
}
#: Exit codes of ``git merge-file``: the number of conflicts, at most 127.
_CONFLICTS = range(128)


class GitChangeReader:
    """Implements ``core.repository.change_reader.ChangeReader``."""

    def __init__(self, project: Path, limits: TextLimits | None = None) -> None:
        self._project = project
        self._limits = limits or TextLimits()

    def tip(self, name: str) -> str:
        return self._git().resolve(f"{name}^{{commit}}")

    def difference(self, base: str, commit: str, request: DiffRequest) -> Difference:
        files = self._files(base, commit, request)
        if not request.stat:
            parts = iter(file_patches(self._patch(files, base, commit, request)))
            files = [
                self._with_hunks(each, list(islice(parts, _part_count(each)))) for each in files
            ]
        return Difference(base=base, commit=commit, files=files)

    def patch(self, base: str, commit: str, request: DiffRequest) -> bytes:
        files = self._files(base, commit, request)
        return self._patch(files, base, commit, request, "--binary")

    def versions(self, path: str, blobs: Blobs) -> ConflictVersions:
        sides = blobs.base, blobs.ours, blobs.theirs
        base, ours, theirs = (self._blob(path, each) for each in sides)
        existing = [each for each in (base, ours, theirs) if each is not None]
        if any(b"\0" in each[:_SEARCHED_BYTES] for each in existing):
            return ConflictVersions(path=path)
        return ConflictVersions(
            path=path,
            base=_decoded(base),
            ours=_decoded(ours),
            theirs=_decoded(theirs),
            merged=self._merged_text(base, ours, theirs, blobs),
        )

    def _git(self) -> Git:
        return Git(str(self._project), {})

    def _git_at_top(self, request: DiffRequest) -> Git:
        # The request's path is relative to the top, even if the project is in a subdirectory.
        git = self._git()
        return Git(git.run("rev-parse", "--show-toplevel").line, {}) if request.path else git

    def _files(self, base: str, commit: str, request: DiffRequest) -> list[ChangedFile]:
        paths, git = _paths(request), self._git_at_top(request)
        raw = git.run("diff", *_PLAIN, "--raw", "-z", base, commit, "--", *paths).fields
        counts = git.run("diff", *_PLAIN, "--numstat", "-z", base, commit, "--", *paths).fields
        return [
            _with_line_counts(*each)
            for each in zip(_changed_files(raw), _line_counts(counts), strict=True)
        ]

    def _with_hunks(self, file: ChangedFile, parts: Sequence[bytes]) -> ChangedFile:
        if sum(map(len, parts)) > self._limits.file:
            return replace(file, too_big=True)
        return replace(file, hunks=tuple(hunk for part in parts for hunk in hunks_of(part)))

    def _patch(
        self,
        files: Sequence[ChangedFile],
        base: str,
        commit: str,
        request: DiffRequest,
        *more_options: str,
    ) -> bytes:
        paths = [each.path for each in files]
        if sum(each.additions + each.deletions for each in files) > MOST_LINES:
            raise TooLarge("the diff is too large for one answer", paths)
        options = (*_PLAIN, *more_options, "--patch", f"-U{request.context}")
        patch = (
            self._git_at_top(request)
            .run("diff", *options, base, commit, "--", *_paths(request))
            .out
        )
        if len(patch) > self._limits.answer:
            raise TooLarge("the diff is too large for one answer", paths)
        return patch

    def _blob(self, path: str, name: str) -> bytes | None:
        if not name:
            return None
        git = self._git()
        if int(git.run("cat-file", "-s", name).text) > self._limits.file:
            raise TooLarge(
                f"{path}: a version in conflict has more than {self._limits.file:,} bytes, too "
                f"many to show; read it with git: git cat-file blob {name}",
                [],
            )
        return git.run("cat-file", "blob", name).out

    def _merged_text(
        self, base: bytes | None, ours: bytes | None, theirs: bytes | None, blobs: Blobs
    ) -> str | None:
        """Return the merged text, with conflict markers; None if ours or theirs lacks the file."""
        if ours is None or theirs is None:
            return None
        with tempfile.TemporaryDirectory(prefix="orchestrator-") as directory:
            paths = []
            for name, content in (("ours", ours), ("base", base or b""), ("theirs", theirs)):
                paths.append(os.path.join(directory, name))
                Path(paths[-1]).write_bytes(content)
            labels = [f"-L{blobs.names.get(name, name)}" for name in ("ours", "base", "theirs")]
            answer = self._git().run(
                "merge-file", "-p", "--diff3", *labels, *paths, accept=_CONFLICTS
            )
        return answer.out.decode("utf-8", "replace")


def _part_count(file: ChangedFile) -> int:
    # A file that becomes a link has two parts: one removes the file, one adds the link.
    return 2 if file.status is FileStatus.TYPE_CHANGED else 1


def _decoded(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")


def _paths(request: DiffRequest) -> list[str]:
    return [request.path] if request.path else []


def _changed_files(fields: Sequence[str]) -> Iterator[ChangedFile]:
    remaining = iter(fields)
    for head in remaining:
        letter = head.rsplit(" ", 1)[1][:1]
        status = _STATUSES.get(letter, FileStatus.MODIFIED)
        path = next(remaining)
        if letter in "RC":
            old, path = path, next(remaining)
            yield ChangedFile(path=path, old_path=old, status=status)
        else:
            yield ChangedFile(path=path, status=status)


def _line_counts(fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    remaining = iter(fields)
    for field in remaining:
        added, removed, path = field.split("\t", 2)
        if not path:  # For a renamed file, both paths follow.
            next(remaining)
            next(remaining)
        yield added, removed


def _with_line_counts(file: ChangedFile, numbers: tuple[str, str]) -> ChangedFile:
    added, removed = numbers
    if added == "-":
        return replace(file, binary=True)
    return replace(file, additions=int(added), deletions=int(removed))
