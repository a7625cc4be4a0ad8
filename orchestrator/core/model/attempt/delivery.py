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
#: Begins the sentence on files that a worker promised and did not create.
PROMISED = "promised files are missing"
#: Longer lists are cut in texts for people.
NAMED_FILES = 5


class Intent(StrEnum):
    """Kind of result that a task asks for."""

    CHANGE = "change"
    #: An explanation, a review, a list: its output is the work.
    ANSWER = "answer"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Stored with the result of a worker whose files are its work; paths as its task names them.

    Workers without a worktree have no delivery if they are to change no file, and changed no code.
    """

    #: Files differ from the worker's start, or were saved.
    changed: bool
    #: The task promises files, its role builds, or its text clearly asks for a change: without a
    #: change the worker has failed.
    expected: bool = False
    #: ANSWER also for results of earlier versions.
    intent: Intent = Intent.ANSWER
    #: Kind of the worker's last text if its process ended before its child jobs: it is judged after
    #: their end. None: it was judged.
    deferred: FinalText | None = None
    #: Promised paths that do not exist and did not exist at the start.
    missing: tuple[str, ...] = ()
    #: Promised files that git ignores: they are in ``files/`` of the worker's directory.
    saved: tuple[str, ...] = ()
    #: Files outside of the worktree or directory that the agent changed: absolute paths.
    outside: tuple[str, ...] = ()
    #: Files of the user's checkout that changed while it ran, possibly by another process.
    checkout: tuple[str, ...] = ()
    #: Work of the agent outside its worktree: merged, or kept on refs.
    side_work: tuple[SideWork, ...] = ()
    #: New files that are not committed.
    held_back: tuple[HeldBack, ...] = ()
    #: A person has committed on its branch since: its gates have not judged the commit.
    by_hand: bool = False
    #: The branch head at the end of the attempt.
    commit: str = ""
    #: False: it works in a directory of its own, or in the project.
    has_worktree: bool = True
    #: Code that a worker without a worktree changed or removed.
    code: tuple[str, ...] = ()

    @property
    def lacks_changes(self) -> bool:
        return self.expected and not self.changed

    @property
    def is_in_doubt(self) -> bool:
        """True if nothing was changed, and it is unknown if something had to be."""
        return not (self.changed or self.expected or self.intent is Intent.ANSWER)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks for readers of the result, each as text; empty for a plain success."""
        place = "worktree" if self.has_worktree else "directory"
        found = (
            (PROMISED, self.missing),
            ("promised files that git ignores are saved in the worker's directory", self.saved),
            (f"changed outside of its {place}", self.outside),
            (
                f"{'your checkout' if self.has_worktree else 'the project'} changed while it ran",
                self.checkout,
            ),
        )
        told = (f"{words}: {listed(paths)}" for words, paths in found if paths)
        return (*told, *remarks_on(self.side_work), *held_back_in_words(self.held_back))


def with_children(delivery: Delivery, files: Sequence[str] | None) -> Delivery:
    """Add changes of child jobs that ended later; None: no file."""
    missing = tuple(each for each in delivery.missing if not held_by(each, files or ()))
    changed = delivery.changed or files is not None
    return replace(delivery, changed=changed, missing=missing, deferred=None)


def promised_in_words(missing: Sequence[str]) -> str:
    return f"{PROMISED}: {listed(missing)}"


def altered_in_words(altered: AlteredJudges) -> tuple[str, ...]:
    """Return a remark on altered files by which gates judge the work, if there are any."""
    if not altered.paths:
        return ()
    more = " together with code" if altered.with_code else ""
    return (f"changed the files it is judged by{more}: {listed(altered.paths)}",)


def promises_changes(role: str | None, writes: Sequence[str], *, is_agent: bool) -> bool:
    """True if the worker fails without any change. A shell command has no role."""
    return bool(writes) or (is_agent and role in BUILDING_ROLES)


def held_by(promised: str, paths: Iterable[str]) -> bool:
    """True if one of the paths equals, matches or is below the promised path."""
    path = normalized(promised)
    return path == "." or bool(matching(paths, [f"/{path}"]))


def is_relative(promised: str) -> bool:
    """True for a path that can be inside the project."""
    return bool(promised.strip()) and not promised.strip().startswith(("/", "~"))


def normalized(promised: str) -> str:
    return normpath(promised.strip() or ".")


def listed(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:NAMED_FILES])
    more = len(paths) - NAMED_FILES
    return f"{named} and {more} more" if more > 0 else named
