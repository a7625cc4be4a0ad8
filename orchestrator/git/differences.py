"""How much two commits differ, and in what."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from orchestrator.core.errors import NotFound
from orchestrator.core.evidence import ChangeSize
from orchestrator.git.running import Git

#: The same for everybody, whatever is configured.
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")

#: Of changed files, so many are read.
_MOST_LOOKED_INTO = 20


def size(git: Git, start: str, end: str) -> ChangeSize:
    shown = git.run("diff-tree", "--numstat", "--no-renames", "-r", "-z", start, end, "--")
    counts = list(_counts(shown.fields))
    return ChangeSize(
        files=len(counts),
        added=sum(added for added, _ in counts),
        removed=sum(removed for _, removed in counts),
    )


def _counts(fields: list[str]) -> Iterator[tuple[int, int]]:
    """Added and removed lines of each file; "-" stands for a file that is no text."""
    for field in fields:
        added, removed, _ = field.split("\t", 2)
        yield int(added) if added != "-" else 0, int(removed) if removed != "-" else 0


def patch(git: Git, start: str, end: str, most_bytes: int) -> str:
    shown = git.run("diff", "--patch", *_PLAIN, start, end, "--").out
    text = shown[:most_bytes].decode("utf-8", "replace")
    if len(shown) <= most_bytes:
        return text
    return f"{text}\n(cut here: {len(shown):,} bytes in all)\n"


def between(project: Path, first: str, second: str) -> bytes:
    """A patch from one branch to another. Raise NotFound for a branch that is gone."""
    git = Git(str(project), {})
    commits = [_commit_of(git, each) for each in (first, second)]
    return git.run("diff", "--patch", "--binary", *_PLAIN, *commits, "--").out


def _commit_of(git: Git, branch: str) -> str:
    commit = git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
    if not commit:
        raise NotFound(f"there is no branch {branch}; what a job leaves is removed with the job")
    return commit


def rewritten(git: Git, commit: str) -> dict[str, list[str]]:
    """By path, digests of the places in which tracked files differ from a commit."""
    quiet = ("--ignore-submodules=all", *_PLAIN)
    paths = git.run("diff", "--name-only", "-z", *quiet, commit, "--").fields
    found = {path: [""] for path in paths}
    for path in paths[:_MOST_LOOKED_INTO]:
        shown = git.run("diff", "--unified=0", "--binary", *quiet, commit, "--", path).out
        found[path] = [sha256(each).hexdigest() for each in _places(shown)] or [""]
    return found


def _places(patch: bytes) -> list[bytes]:
    """Removed and added lines without their numbers; all of it where the file is no text."""
    hunks = re.split(rb"^@@ [^\n]*\n", patch, flags=re.MULTILINE)
    return hunks[1:] if len(hunks) > 1 else [patch.partition(b"\nindex ")[2]]
