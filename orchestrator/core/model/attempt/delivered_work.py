"""Delivered work of an attempt: its changes, compared with what its task asks for.

Promised files are files that the task must create. Side work consists of git objects that an agent
created itself: branches, worktrees, stash entries, and repositories.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from posixpath import normpath

from orchestrator.core.gates.gate import AlteredJudges
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.text.formatting import listed, plural
from orchestrator.core.text.path_patterns import matching

#: Maximum numbers of files that are stored, and of files that texts for people name.
MOST_STORED, _MOST_IN_WORDS = 50, 5


class HeldBackRule(StrEnum):
    """Why a file is not committed. The values are stored, so they never change."""

    #: The name of the file, or of one of its parent directories, is in `git.never_commit`.
    NAME = "name"
    #: The directory is a virtual environment: it has `pyvenv.cfg`.
    ENVIRONMENT = "environment"
    #: The directory is a cache: it has `CACHEDIR.TAG`.
    CACHE = "cache"
    #: The file is a core dump.
    CORE = "core"
    #: The file is larger than `git.never_commit_over`.
    SIZE = "size"

    @property
    def is_of_a_file(self) -> bool:
        """True if the rule applies only to single files, not to directories.

        Such a file is saved in the worker's directory, because no command can recreate it. A cache
        or a virtual environment is not saved.
        """
        return self in (HeldBackRule.CORE, HeldBackRule.SIZE)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldBack:
    """A new file or directory that is not committed, because a ``HeldBackRule`` applies to it."""

    #: Path relative to the top of the repository.
    path: str
    rule: HeldBackRule
    #: Number of files.
    files: int = 1
    #: Size in bytes.
    size: int = 0
    #: True if the file is saved in `files/` of the worker's directory.
    saved: bool = False
    #: True if the agent had committed the file. The agent's commits were then replaced by one
    #: commit without the file.
    folded: bool = False
    #: True if commits of the worker still have the file.
    in_history: bool = False


def held_back_in_words(held: Iterable[HeldBack]) -> tuple[str, ...]:
    held = tuple(held)
    if not held:
        return ()
    listing = listed([_held_back_in_words(each) for each in held], _MOST_IN_WORDS)
    notes = [f"not committed (git.never_commit): {listing}"]
    if any(each.folded for each in held):
        notes.append(
            "the worker's commits with git.never_commit files were replaced by one commit "
            "without these files"
        )
    if any(each.in_history for each in held):
        notes.append("the worker's commits still contain git.never_commit files")
    return tuple(notes)


def _held_back_in_words(held: HeldBack) -> str:
    if not held.rule.is_of_a_file:
        return f"{held.path} ({plural(held.files, 'file')})"
    kind = "core dump, " if held.rule is HeldBackRule.CORE else ""
    saved = ", saved in files/ of the worker's directory" if held.saved else ""
    return f"{held.path} ({kind}{held.size / 1e6:.1f} MB{saved})"


class SideWorkKind(StrEnum):
    """Kind of git object that an agent created.

    The value is a part of the name of the ref that saves the object.
    """

    #: A branch other than the worker's own branch.
    BRANCH = "branch"
    #: A worktree other than the worker's own worktree, with its uncommitted files.
    WORKTREE = "worktree"
    #: An entry of the stash.
    STASH = "stash"
    #: A repository in the worker's worktree. Its files are in the worker's branch, and its history
    #: is on a ref.
    NESTED = "nested"
    #: A submodule that the agent added. Only a link is in the worker's branch.
    SUBMODULE = "submodule"
    #: A deleted branch of the agent, with commits that are not in the result.
    DELETED = "deleted"
    #: Commits of the agent on a branch of the user.
    OF_USER = "user-branch"


#: Kinds of side work that need a ref, but no merge: the worker's branch already has the content, or
#: the agent deleted the branch.
_NOT_TO_MERGE = (SideWorkKind.NESTED, SideWorkKind.SUBMODULE, SideWorkKind.DELETED)


@dataclass(frozen=True, kw_only=True, slots=True)
class SideWork:
    """One git object that an agent created outside the worker's branch."""

    kind: SideWorkKind
    #: The agent's name for the object: a branch, a directory, a message, or a path.
    name: str
    #: The ref with the work; empty: the work is merged into the worker's branch.
    ref: str = ""
    #: The worker's attempt that created the object; 0 if unknown (results of earlier versions).
    attempt: int = 0

    @property
    def is_missing(self) -> bool:
        """True if the worker's branch lacks the work, for example because of a conflict."""
        return bool(self.ref) and self.kind not in _NOT_TO_MERGE


def by_attempt(
    work: Iterable[SideWork], before: Iterable[SideWork], attempt: int
) -> tuple[SideWork, ...]:
    """Return ``work``; each item gets the number of the attempt that created it.

    ``before``: items of earlier attempts, which have such a number. Items that are not in
    ``before`` get the number ``attempt``.
    """
    attempt_by_ref = {each.ref: each.attempt for each in before if each.ref}
    return tuple(replace(each, attempt=attempt_by_ref.get(each.ref, attempt)) for each in work)


def remarks_on(work: Iterable[SideWork]) -> tuple[str, ...]:
    work = tuple(work)
    folded = [f"{each.kind} {each.name}" for each in work if not each.ref]
    remarks = [f"also merged into the worker's branch: {listed(folded)}"] if folded else []
    for kind, words in (
        (SideWorkKind.NESTED, "nested repositories committed as files"),
        (SideWorkKind.SUBMODULE, "new submodules, whose commits are also saved"),
        (SideWorkKind.DELETED, "not merged, because the branch was deleted"),
    ):
        if saved := [f"{each.name} ({each.ref})" for each in work if each.kind is kind]:
            remarks.append(f"{words}: {listed(saved)}")
    remarks += [missing_in_words(each) for each in work if each.is_missing]
    return tuple(remarks)


def missing_in_words(each: SideWork) -> str:
    command = merge_of(each.ref, is_stash=each.kind is SideWorkKind.STASH)
    if each.kind is SideWorkKind.OF_USER:
        return f"commits on your branch {each.name} were not merged; to merge them: {command}"
    return (
        f"{each.kind} {each.name} was not merged, because it conflicts with the worker's branch; "
        f"to merge it: {command}"
    )


def merge_of(ref: str, *, is_stash: bool) -> str:
    return f"{'git stash apply' if is_stash else 'git merge'} {ref}"


#: Roles whose work is a change of files.
BUILDING_ROLES = frozenset(
    {"backend", "frontend", "infrastructure", "testing", "documentation", "integration"}
)
#: Roles whose work is their output. Files that a plan names for a task with one of these roles are
#: not promised files.
REPORTING_ROLES = frozenset({"reviewer", "analyst", "planner"})
#: First words of the sentence on files that a worker promised and did not create.
PROMISED = "promised files are missing"
#: Where git-ignored files of a worker are.
SAVED_ONLY = "saved only in the worker's directory"


class Intent(StrEnum):
    CHANGE = "change"
    #: An explanation, a review, or a list: the worker's output is the work.
    ANSWER = "answer"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredWork:
    """A worker's changes, compared with what its task asks for; stored with its result.

    Paths are as the task names them. A worker without a worktree has a ``DeliveredWork`` only in
    these cases: its agent may change files, its task promises files, or the worker changed code or
    the user's checkout.
    """

    #: True if files differ from the worker's start, or if ignored files were saved (``saved``).
    changed: bool
    #: True if the worker fails without a change. Causes: its task promises files, its role changes
    #: files, or its text clearly asks for a change.
    expected: bool = False
    #: Kind of result that the task asks for; ANSWER for results of earlier versions.
    intent: Intent = Intent.ANSWER
    #: Kind of the final text of a worker whose child jobs still run. When the child jobs have
    #: ended, the worker is judged, and the field is None.
    deferred: FinalText | None = None
    #: Promised paths that do not exist and did not exist at the start.
    missing: tuple[str, ...] = ()
    #: Promised paths that the result lacks, because git ignores all their files.
    ignored: tuple[str, ...] = ()
    #: Promised files and new sources that the result lacks because git ignores them; saved in
    #: ``files/`` of the worker's directory.
    saved: tuple[str, ...] = ()
    #: Absolute paths of files outside the worktree or directory that the agent changed.
    outside: tuple[str, ...] = ()
    #: Files of the user's checkout that changed while the worker ran, possibly by another process.
    #: If the worker works in the checkout: only files that other workers may have changed, too.
    checkout: tuple[str, ...] = ()
    #: Git objects that the agent created outside its branch: merged, or saved on refs.
    side_work: tuple[SideWork, ...] = ()
    #: New files that are not committed.
    held_back: tuple[HeldBack, ...] = ()
    #: Workers of dependencies whose changes this worker did not get at its start, because the
    #: changes conflict with the changes of another dependency.
    omitted: tuple[str, ...] = ()
    #: True if a person has added commits to the worker's branch after its end. No gate judged these
    #: commits.
    by_hand: bool = False
    #: The branch head at the end of the attempt.
    commit: str = ""
    #: False if the worker runs in its own plain directory, or in the project.
    has_worktree: bool = True
    #: Code that a worker without a worktree changed or removed.
    code: tuple[str, ...] = ()
    #: Files that a worker with a worktree removed in all attempts.
    removed: tuple[str, ...] = ()

    @property
    def lacks_changes(self) -> bool:
        return self.expected and not self.changed

    @property
    def is_in_doubt(self) -> bool:
        """True if nothing was changed, and it is unknown whether the task required a change."""
        return not (self.changed or self.expected or self.intent is Intent.ANSWER)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks for readers of the result; empty for a plain success."""
        place = "worktree" if self.has_worktree else "directory"
        project = "your checkout" if self.has_worktree else "the project"
        sections = (
            (PROMISED, self.missing),
            (f"git-ignored files, {SAVED_ONLY}", self.saved),
            (f"files changed outside the worker's {place}", self.outside),
            (f"{project} changed while the worker ran", self.checkout),
        )
        lines = (f"{words}: {listed(paths)}" for words, paths in sections if paths)
        return (*lines, *remarks_on(self.side_work), *held_back_in_words(self.held_back))


def omitted_in_words(workers: Sequence[str]) -> str:
    """Return a remark on changes that were missing when a worker started; "" if none were missing.

    ``workers``: the workers that made the missing changes.
    """
    if not workers:
        return ""
    return f"started without the changes of conflicting dependencies: {listed(workers)}"


def with_children(delivery: DeliveredWork, files: Sequence[str] | None) -> DeliveredWork:
    """Return a worker's delivered work, updated with the changes of its ended child jobs.

    ``files``: the files that the child jobs changed; None if they changed no file.
    """
    missing = tuple(each for each in delivery.missing if not is_delivered(each, files or ()))
    changed = delivery.changed or files is not None
    return replace(delivery, changed=changed, missing=missing, deferred=None)


def promised_in_words(missing: Sequence[str]) -> str:
    return f"{PROMISED}: {listed(missing)}"


def altered_in_words(altered: AlteredJudges) -> tuple[str, ...]:
    remarks = []
    if altered.paths:
        suffix = ", together with code" if altered.with_code else ""
        changed = "changed tests or gate settings that judge the worker's work"
        remarks.append(f"{changed}{suffix}: {listed(altered.paths)}")
    if altered.settings:
        remarks.append(
            f"changed gate settings, which apply to later jobs: {listed(altered.settings)}"
        )
    return tuple(remarks)


def promises_changes(role: str | None, writes: Sequence[str], *, is_agent: bool) -> bool:
    """True if the task requires a change, so that a worker without a change fails.

    This is the case if ``writes`` is not empty, or if ``is_agent`` is True and the role's work is a
    change of files.
    """
    return bool(writes) or (is_agent and role in BUILDING_ROLES)


def is_delivered(promised: str, paths: Iterable[str]) -> bool:
    """True if one of the paths equals, matches, or is below the promised path."""
    path = normalized(promised)
    return path == "." or bool(matching(paths, [f"/{path}"]))


def is_in_project(promised: str) -> bool:
    """True for a relative path or pattern that stays inside the project."""
    path = promised.strip()
    leaves_project = normalized(path).split("/", 1)[0] == ".."
    return bool(path) and not path.startswith(("/", "~")) and not leaves_project


def normalized(promised: str) -> str:
    return normpath(promised.strip() or ".")
