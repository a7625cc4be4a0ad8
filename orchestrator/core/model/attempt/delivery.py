"""Delivery: compares a worker's changes with what its task promised. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from posixpath import normpath

from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.attempt.side_work import SideWork, remarks_on
from orchestrator.core.model.attempt.uncommitted_files import HeldBack, held_back_in_words
from orchestrator.core.model.gate import AlteredJudges
from orchestrator.core.model.path_patterns import matching

#: Roles whose work is a change of files.
BUILDING_ROLES = frozenset(
    {"backend", "frontend", "infrastructure", "testing", "documentation", "integration"}
)
#: Roles whose work is their output: a planner lists the files that it read.
REPORTING_ROLES = frozenset({"reviewer", "analyst", "planner"})
#: First words of the sentence on files that a worker promised and did not create.
PROMISED = "promised files are missing"
#: Maximum number of files that a text for people names.
NAMED_FILES = 5


class Intent(StrEnum):
    """Kind of result that a task asks for."""

    CHANGE = "change"
    #: An explanation, a review, or a list: the worker's output is the work.
    ANSWER = "answer"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Comparison of a worker's changes with its task's promise, stored with its result.

    Paths are as the task names them. A worker without a worktree has no delivery if its task
    requires no change and it changed no code.
    """

    #: True if files differ from the worker's start, or were saved.
    changed: bool
    #: True if the worker fails without a change: its task promises files, its role builds, or its
    #: text clearly asks for a change.
    expected: bool = False
    #: Kind of result that the task asks for; ANSWER for results of earlier versions.
    intent: Intent = Intent.ANSWER
    #: Kind of the worker's final text if its process ended before its child jobs: the worker is
    #: judged after their end. None: the worker was judged.
    deferred: FinalText | None = None
    #: Promised paths that do not exist and did not exist at the start.
    missing: tuple[str, ...] = ()
    #: Promised files that git ignores; they are saved in ``files/`` of the worker's directory.
    saved: tuple[str, ...] = ()
    #: Absolute paths of files outside the worktree or directory that the agent changed.
    outside: tuple[str, ...] = ()
    #: Files of the user's checkout that changed while the worker ran, possibly by another process.
    checkout: tuple[str, ...] = ()
    #: Git objects that the agent created outside its branch: merged, or saved on refs.
    side_work: tuple[SideWork, ...] = ()
    #: New files that are not committed.
    held_back: tuple[HeldBack, ...] = ()
    #: True if a person has since committed on the worker's branch: no gate judged that commit.
    by_hand: bool = False
    #: The branch head at the end of the attempt.
    commit: str = ""
    #: False if the worker runs in its own plain directory, or in the project.
    has_worktree: bool = True
    #: Code that a worker without a worktree changed or removed.
    code: tuple[str, ...] = ()

    @property
    def lacks_changes(self) -> bool:
        return self.expected and not self.changed

    @property
    def is_in_doubt(self) -> bool:
        """True if nothing was changed, and it is unknown if the task required a change."""
        return not (self.changed or self.expected or self.intent is Intent.ANSWER)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks for readers of the result, as texts; empty for a plain success."""
        place = "worktree" if self.has_worktree else "directory"
        found = (
            (PROMISED, self.missing),
            ("promised files that git ignores are saved in the worker's directory", self.saved),
            (f"files changed outside its {place}", self.outside),
            (
                f"{'your checkout' if self.has_worktree else 'the project'} changed while it ran",
                self.checkout,
            ),
        )
        told = (f"{words}: {listed(paths)}" for words, paths in found if paths)
        return (*told, *remarks_on(self.side_work), *held_back_in_words(self.held_back))


def with_children(delivery: Delivery, files: Sequence[str] | None) -> Delivery:
    """Return the delivery including files that child jobs changed after the worker's end; None:
    they changed no file.
    """
    missing = tuple(each for each in delivery.missing if not held_by(each, files or ()))
    changed = delivery.changed or files is not None
    return replace(delivery, changed=changed, missing=missing, deferred=None)


def promised_in_words(missing: Sequence[str]) -> str:
    return f"{PROMISED}: {listed(missing)}"


def altered_in_words(altered: AlteredJudges) -> tuple[str, ...]:
    """Return a remark on altered files that decide how gates judge; empty if there are none."""
    if not altered.paths:
        return ()
    more = ", together with code" if altered.with_code else ""
    return (f"changed tests or gate settings that judge its work{more}: {listed(altered.paths)}",)


def promises_changes(role: str | None, writes: Sequence[str], *, is_agent: bool) -> bool:
    """True if the worker fails without any change. A shell command has no role."""
    return bool(writes) or (is_agent and role in BUILDING_ROLES)


def held_by(promised: str, paths: Iterable[str]) -> bool:
    """True if one of the paths equals, matches, or is below the promised path."""
    path = normalized(promised)
    return path == "." or bool(matching(paths, [f"/{path}"]))


def is_relative(promised: str) -> bool:
    """True if the path can be inside the project."""
    return bool(promised.strip()) and not promised.strip().startswith(("/", "~"))


def normalized(promised: str) -> str:
    return normpath(promised.strip() or ".")


def listed(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:NAMED_FILES])
    more = len(paths) - NAMED_FILES
    return f"{named} and {more} more" if more > 0 else named
