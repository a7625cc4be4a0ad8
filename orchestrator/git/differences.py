"""How much two commits differ, and in what."""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.errors import NotFound
from orchestrator.core.evidence import ChangeSize
from orchestrator.git.running import Git

#: The same for everybody, whatever is configured.
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")


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
