"""Side work: branches, worktrees, stash entries, and repositories that an agent created itself."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class SideWorkKind(StrEnum):
    """Kind of git object that an agent created. The values are parts of names of refs."""

    #: A branch besides the worker's own.
    BRANCH = "branch"
    #: A worktree besides the worker's own, with its uncommitted files.
    WORKTREE = "worktree"
    #: An entry of the stash.
    STASH = "stash"
    #: A repository in the worker's worktree: its files are in the worker's branch, its history is
    #: on a ref.
    NESTED = "nested"


@dataclass(frozen=True, kw_only=True, slots=True)
class SideWork:
    """One git object with work outside the worker's branch."""

    kind: SideWorkKind
    #: The agent's name for the object: a branch, a directory, a message, or a path.
    name: str
    #: The ref with the work; empty: it is merged into the worker's branch.
    ref: str = ""
    #: The worker's attempt that created the object; 0: unknown, in results of earlier versions.
    attempt: int = 0

    @property
    def is_missing(self) -> bool:
        """True if the work conflicts with the worker's branch, which lacks it."""
        return bool(self.ref) and self.kind is not SideWorkKind.NESTED


def by_attempt(
    work: Iterable[SideWork], before: Iterable[SideWork], attempt: int
) -> tuple[SideWork, ...]:
    """Return the present side work, each object with the attempt that created it.

    ``before``: the side work before the attempt.
    """
    first = {each.ref: each.attempt for each in before if each.ref}
    return tuple(replace(each, attempt=first.get(each.ref, attempt)) for each in work)


def remarks_on(work: Iterable[SideWork]) -> tuple[str, ...]:
    """Return remarks on side work for readers of the result, as texts."""
    work = tuple(work)
    folded = [f"{each.kind} {each.name}" for each in work if not each.ref]
    nested = [each for each in work if each.ref and not each.is_missing]
    found = [f"merged into its branch: {_listed(folded)}"] if folded else []
    if nested:
        named = (f"{each.name} ({each.ref})" for each in nested)
        found.append(f"nested repositories committed as files: {_listed(list(named))}")
    found += [missing_in_words(each) for each in work if each.is_missing]
    return tuple(found)


def missing_in_words(each: SideWork) -> str:
    """Return a sentence on missing side work, with the command that merges it."""
    command = merge_of(each.ref, is_stash=each.kind is SideWorkKind.STASH)
    return f"{each.kind} {each.name} conflicts with its branch and was not merged: {command}"


def merge_of(ref: str, *, is_stash: bool) -> str:
    """Return the command that merges a ref into the branch that a person has checked out."""
    return f"{'git stash apply' if is_stash else 'git merge'} {ref}"


#: Maximum number of names in texts for people.
_NAMED = 5


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
