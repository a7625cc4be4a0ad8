"""Facts about a job's outcome in addition to its status: frozen values, stored with the job.

``core.outcome.job.reason`` composes the job's ``reason`` from these facts.
"""

from enum import StrEnum

from orchestrator.core.gates.gate import GateCause
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import HeldBack, SideWork
from orchestrator.core.model.user_repository_changes import RepositoryChange


class LossCause(StrEnum):
    """Why a job's result lacks changes of a worker.

    The cause decides which command adds the changes to the result.
    """

    #: The changes conflict with the changes of other workers.
    CONFLICT = "conflict"
    #: The gates reject the merged state that includes the changes.
    REFUSED = "refused"
    #: The changes build on a task whose changes are not in the result.
    BUILDS_ON = "builds_on"
    #: The job's ``merge_strategy`` is ``manual``; the changes do not conflict.
    MANUAL = "manual"
    #: A person chose to exclude the changes.
    CHOSEN = "chosen"
    #: No branch has the changes.
    NO_BRANCH = "no_branch"
    #: A worker discarded the changes of its child job.
    UNDONE = "undone"
    #: The worker created only some of its promised files. No other worker created the rest.
    NOT_MADE = "not_made"
    #: A branch or worktree that the worker created conflicts with the worker's own branch, or the
    #: worker committed on a branch of the user.
    SIDE_WORK = "side_work"
    #: An entry of the stash that the worker created conflicts with the worker's own branch.
    STASH = "stash"


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Changes or promised files of one worker that a job's result lacks."""

    worker_id: str
    #: The worker's job: the job itself or a descendant.
    job_id: str
    #: The branch that has the changes; empty: no branch has them.
    branch: str = ""
    #: Why the result lacks the changes. The default is for jobs of earlier versions.
    cause: LossCause = LossCause.CONFLICT
    #: The cause as text, such as "conflict in a.py, b.py".
    why: str = ""
    #: True if the result has some of the worker's changes.
    in_part: bool = False
    #: True if a person excluded the changes. The job counts as complete without them.
    chosen: bool = False
    #: True if the worker belongs to a root job and can get another attempt.
    resolvable: bool = False
    #: For ``LossCause.NOT_MADE``: the promised files. For ``NO_BRANCH``: promised files that git
    #: ignores. For ``UNDONE``: the child job's files.
    paths: tuple[str, ...] = ()
    #: For ``UNDONE``: the child job that made the changes.
    child_job_id: str = ""
    #: For ``CONFLICT``: the worker's child jobs whose changes are all missing.
    child_job_ids: tuple[str, ...] = ()

    @property
    def is_made(self) -> bool:
        """True if the missing part exists; False for a promised file that no worker created."""
        return self.cause is not LossCause.NOT_MADE


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierPart:
    """Changes that a worker made before it was retried.

    The worker was retried because promised files were missing.
    """

    worker_id: str
    #: The successful attempt that made the changes.
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overruled:
    """Changed places (hunks) of one worker that are not in the result.

    Either another worker's hunks replaced these hunks (``theirs``), or the parent worker of the job
    undid these hunks.
    """

    worker_id: str
    hunks: int
    #: The worker's job. Empty in jobs of earlier versions: the job itself.
    job_id: str = ""
    #: The first places, such as "a.py:3-5". A path without lines means the whole file.
    places: tuple[str, ...] = ()
    #: The child job whose result replaced the hunks of its parent worker; empty: another worker's
    #: hunks replaced them.
    by_job: str = ""
    #: The parent worker that undid the hunks after the child job; empty: ``theirs`` replaced them.
    by_worker: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """Facts that a person should check about the changes of a successful worker.

    Changes that the job's result lacks are not included (see ``Missing``).
    """

    worker_id: str
    #: Files outside the worktree or directory that the agent changed: they are in no result.
    outside: tuple[str, ...] = ()
    #: Files of the project that changed while the worker ran in its own directory.
    checkout: tuple[str, ...] = ()
    #: Tests and gate settings that the worker altered with its task's permission.
    judges: tuple[str, ...] = ()
    #: True if the worker changed other code in addition to ``judges``.
    judges_with_code: bool = False
    #: Gate settings that the worker altered without permission. Gates of later jobs use these
    #: settings.
    altered_settings: tuple[str, ...] = ()
    #: New files of the worktree that are not committed.
    held_back: tuple[HeldBack, ...] = ()
    #: Promised files and new sources that git ignores: they are only in the worker's directory.
    saved: tuple[str, ...] = ()
    #: Branches of the worker that were deleted before they were merged.
    deleted: tuple[SideWork, ...] = ()
    #: True if the worker changed no file, and the task does not show whether a change was required.
    unchanged: bool = False
    has_worktree: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFallback:
    """Why the rules, and not an agent, planned a job with ``planner: auto``."""

    #: The agent that was the planner.
    agent: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFact:
    """A gate that did not run on a job's result, or that failed but did not block the result."""

    name: str
    #: Why the gate did not run; None: it failed.
    cause: GateCause | None = None
    #: The cause as text, or the gate's first finding.
    why: str = ""
    #: True if the gate is required, and did not run although the result changes code that the gate
    #: checks.
    unjudged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchedOff:
    """New comments in a job's result that switch off findings of a gate."""

    gate: str
    #: Places of the comments, such as "a.py:3".
    places: tuple[str, ...]


class UnjudgedCause(StrEnum):
    """Why no gate judged a source file, although gates judged other files of the same result."""

    #: No gate that ran checks sources of the file's language.
    NO_GATE = "no_gate"
    #: Only tests check the file's language, and no test imported the file.
    NOT_IMPORTED = "not_imported"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnjudgedFile:
    """A source file that was changed by a job's result and judged by no gate."""

    #: Path relative to the project, as in tasks.
    path: str
    language: str
    cause: UnjudgedCause


@dataclass(frozen=True, kw_only=True, slots=True)
class FlakyGate:
    """A gate whose findings on the merged result were in only one of two runs."""

    name: str
    #: Names of tests, or places. The name "" means the whole gate, if the gate has no report.
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutChange:
    """A changed file of the user's checkout, and the workers that ran at the time of the change."""

    #: Relative to the top of the repository.
    path: str
    workers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnjudgedWork:
    """Code that was changed by a worker without a worktree and judged by no gate."""

    worker_id: str
    files: tuple[str, ...]
    #: Other workers that ran in the project at the same time, and may have changed the files.
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CapPassed:
    """A cap on steps, tokens, or cost that a job exceeded."""

    #: Name of the cap in settings, such as ``max_cost_usd``.
    limit: str
    most: float
    used: float
    #: True if ``used`` is a lower bound, because some usage was not reported.
    at_least: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Landed:
    """A landing: the merge of a job's result into a branch of the user."""

    #: The branch, or a description of a HEAD that was on no branch.
    branch: str
    commit: str
    #: The branch's commit before the landing.
    before: str
    at: float
    #: Name of the key of the caller who landed the result.
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFacts:
    """All facts about one job's outcome.

    Give the field of a new fact a default. Otherwise, facts from an earlier version cannot be
    loaded. A fact about the outcome also needs a sentence in ``core.outcome.job.reason``.
    """

    #: Why no task of the job can run: there is no plan, or the plan was rejected.
    plan_error: str = ""
    #: Why the rules created the plan, although ``planner: auto`` ran an agent first.
    plan_fallback: PlanFallback | None = None
    #: Why merging failed, for ``MergeState.FAILED``.
    merge_error: str = ""
    #: Changes of the job's own workers that the result lacks.
    missing: tuple[Missing, ...] = ()
    #: Changes that the results of descendants lack. This job's result therefore lacks them, too.
    lost_below: tuple[Missing, ...] = ()
    #: For a child job: files that both the child job and its parent worker changed. Because of this
    #: conflict, nothing of the child job's result was added to the parent worker's files.
    not_in_parent: tuple[str, ...] = ()
    #: Workers whose committed work a person merged, although they failed or were not chosen.
    taken: tuple[str, ...] = ()
    #: Child jobs whose changes a person merged into the result again.
    taken_jobs: tuple[str, ...] = ()
    #: Hunks that are not in the result. Either other hunks replaced them (``theirs``), or a parent
    #: worker undid them.
    overruled: tuple[Overruled, ...] = ()
    #: Hunks that are not in the results of descendants, for the same causes as ``overruled``.
    overruled_below: tuple[Overruled, ...] = ()
    #: Workers whose changes were merged, but later tasks undid all of them.
    undone: tuple[str, ...] = ()
    #: Files to which several workers added lines. The merge decided the order of the lines.
    both_kept: tuple[str, ...] = ()
    #: Files that a merge driver of the user merged. A driver may omit the changes of one worker.
    by_driver: tuple[str, ...] = ()
    #: Workers of tasks that did not succeed. Skipped workers are not included.
    unsuccessful: tuple[str, ...] = ()
    #: Facts about successful workers, for the job's reason.
    shortfalls: tuple[Shortfall, ...] = ()
    #: Gates that did not pass, although the changes are in the result.
    gates: tuple[GateFact, ...] = ()
    #: Gates with findings on the result that were not confirmed by a second run.
    flaky: tuple[FlakyGate, ...] = ()
    #: Names of gates that passed on the result, without the scan for secrets.
    gates_passed: tuple[str, ...] = ()
    #: True if the result changes code, and no gate except the scan for secrets judged any of it.
    unjudged: bool = False
    #: Sources that no gate judged, in a result that gates have judged.
    unjudged_files: tuple[UnjudgedFile, ...] = ()
    switched_off: tuple[SwitchedOff, ...] = ()
    #: Code that workers of the job or its descendants changed without a worktree, and that no gate
    #: judged. Without a worktree, fewer gates run.
    unjudged_work: tuple[UnjudgedWork, ...] = ()
    #: Changes of the user's checkout that are in no result. The user or a worker of the job tree
    #: made these changes.
    checkout: tuple[CheckoutChange, ...] = ()
    #: Caps on steps, tokens, and cost that the job exceeded.
    caps_passed: tuple[CapPassed, ...] = ()
    #: Earlier changes of retried workers. After a merge: only changes that the result lacks.
    earlier_parts: tuple[EarlierPart, ...] = ()
    #: True if a person removed all branches of the job tree that had not landed.
    discarded: bool = False
    #: Branches of the user that contain an earlier result: from before a person's feedback, from
    #: before a retry, or from before a person merged again.
    landed_on: tuple[str, ...] = ()
    #: Workers whose cost is unknown, although the job has a cost cap.
    unpriced: tuple[str, ...] = ()
    #: Number of child jobs that limits rejected, for workers of the job and of its descendants.
    rejected_child_jobs: int = 0
    #: True if the request may ask for a change, but the project was only surveyed: no AI agent
    #: worked on it.
    nothing_built: bool = False
    #: Changes of the job in the user's repository, outside its own branches.
    repository_changes: tuple[RepositoryChange, ...] = ()
    #: Branches of the user to which ``land`` merged the present result. The job's reason does not
    #: name these branches.
    landed: tuple[Landed, ...] = ()
    #: Why the server could not open the pull request that the job's trigger requires.
    pull_request_error: str = ""

    @property
    def lacking(self) -> tuple[Missing, ...]:
        """Changes of the job's workers and of its descendants that the job's result lacks."""
        return (*self.missing, *self.lost_below)

    @property
    def half_done(self) -> frozenset[str]:
        """Workers whose promised files are missing, because no worker created them."""
        return frozenset(each.worker_id for each in self.missing if not each.is_made)

    @property
    def refused(self) -> frozenset[str]:
        """Workers whose changes the job's gates rejected."""
        rejected = (each for each in self.missing if each.cause is LossCause.REFUSED)
        return frozenset(each.worker_id for each in rejected)

    @property
    def landed_earlier(self) -> tuple[str, ...]:
        """The branches of the user that contain the present result or an earlier one.

        When a new result replaces the present one, the value is stored as ``landed_on``: from then
        on, each of these branches contains an earlier result.
        """
        return tuple(dict.fromkeys((*self.landed_on, *(each.branch for each in self.landed))))

    @property
    def unjudged_gates(self) -> tuple[GateFact, ...]:
        return tuple(each for each in self.gates if each.unjudged)


#: The value for a job without facts, which all such jobs share.
NO_FACTS = JobFacts()
