"""Landing a job's result on the user's branch: the port to git, and its values."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Protocol

from orchestrator.core.lazy_dataclass import dataclass

#: Label of a follow-up job, with the id of the earlier job.
CONTINUES = "continues"


class LandOptions(Enum):
    #: a fast-forward if possible, otherwise a merge commit
    ANY = "--ff"
    FAST_FORWARD = "--ff-only"
    MERGE = "--no-ff"
    #: one commit without the history of the result
    SQUASH = "--squash"


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchMove:
    """The change of the user's branch by ``land`` or ``undo``."""

    #: The branch, or a description of a HEAD that is on no branch.
    branch: str
    #: The branch's commits before and after the change; equal if nothing had to be done.
    before: str
    after: str
    #: The change as text, for people.
    text: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, kw_only=True, slots=True)
class LandRequest:
    how: LandOptions = LandOptions.ANY
    #: The branch that must be checked out; empty: the branch from which the job started.
    onto: str = ""
    #: True to land the result even if the job is not completed.
    partial: bool = False
    #: True to make the user the author of the landed commits; None: ``git.author`` decides.
    as_user: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LandPlan:
    """Preview of a landing."""

    #: The branch that is checked out, or a description of a HEAD that is on no branch.
    branch: str
    #: The branch from which the job started; empty if it started from a commit or tag.
    base_branch: str
    #: The commit of the result; empty if there is nothing to land.
    commit: str
    #: Paths that the result changes, relative to the top of the repository.
    files: Sequence[str] = ()
    #: Why there is nothing to land, for people; empty if there is a result to land.
    nothing: str = ""

    @property
    def branch_name(self) -> str:
        return self.branch.partition(" ")[0]

    @property
    def is_elsewhere(self) -> bool:
        return bool(self.base_branch) and self.base_branch != self.branch_name


@dataclass(frozen=True, kw_only=True, slots=True)
class BegunLanding:
    """A landing, or the undo of a landing, that may be incomplete."""

    root_id: str
    job_id: str
    #: The branch that the landing moves.
    branch: str
    at: float
    by: str


class LandingJournal(Protocol):
    """Stored records of landings that have begun, one for each job."""

    def begin(self, begun: BegunLanding) -> None:
        """Record the start of a landing. Raise OSError if the record cannot be written."""

    def begun(self) -> Iterator[BegunLanding]: ...

    def end(self, job_id: str) -> None:
        """Remove the record of a landing. Idempotent."""


class ResultLanding(Protocol):
    """The result of one job, and its landing.

    Every method raises Conflict, without a change, if the action is impossible.
    """

    def result(self) -> str:
        """Return the commit of the job's result. Raise NotFound if the job has no result."""
        ...

    def check_holds(self, recorded: str) -> None:
        """Raise Conflict if the result branch no longer contains the commit ``recorded``.

        This happens if the branch was reset. ``recorded``: the result's commit in the merge record.
        """

    def files(self) -> Sequence[str]:
        """Return paths that the result changes. Raise NotFound if there is no result."""
        ...

    def branch(self) -> str:
        """Return the checked-out branch; a description of the commit for a detached HEAD."""
        ...

    def switch_command(self, branch: str) -> str:
        """Return the command with which the user checks out ``branch``."""
        ...

    def land(self, how: LandOptions, title: str) -> BranchMove:
        """Land the result. ``title``: subject of a squash commit. Idempotent."""
        ...

    def undo(self) -> BranchMove:
        """Restore the branch to its commit before ``land``.

        Raise NotFound if the job was not landed.
        """
        ...

    def has_earlier_result(self) -> bool:
        """True if the checked-out branch has commits of the job, such as an earlier result.

        Landings that rewrote the commits, such as squash, do not count.
        """
        ...

    def check_not_less(self) -> None:
        """Raise Conflict if the branch has an earlier result with changes that this result lacks.

        This happens if a person excluded a worker after the landing of the earlier result.
        """

    def landed_on(self, branch: str) -> tuple[str, str] | None:
        """Return the commits of ``branch`` before and after the job's result landed on it.

        Return None if the result has not landed on ``branch``.
        """
        ...

    def is_moving(self) -> bool:
        """True if a git command may be changing the checkout now."""
        ...


#: Function that returns the landing of a job. Arguments: the project's path if the job names a
#: project, otherwise empty; the root job's id; the job's id; and ``LandRequest.as_user``.
Landings = Callable[[str, str, str, bool | None], ResultLanding]
