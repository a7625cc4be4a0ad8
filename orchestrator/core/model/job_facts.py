"""Facts about a job's end besides its status: frozen values, stored with the job.

None of them is a sentence: ``core.outcome.job.reason`` composes the job's ``reason`` from them.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.model.attempt.uncommitted_files import HeldBack
from orchestrator.core.model.gate import GateCause
from orchestrator.core.model.repository_changes import RepositoryChange


class LossCause(StrEnum):
    """Why a job's result lacks changes of a worker; decides which command adds them."""

    #: The changes conflict with those of others.
    CONFLICT = "conflict"
    #: The gates reject the merged state with the changes.
    REFUSED = "refused"
    #: The changes build on a task that is not in the result.
    BUILDS_ON = "builds_on"
    #: The job's ``merge_strategy`` is ``manual``; the changes do not conflict.
    MANUAL = "manual"
    #: A person chose to exclude the changes.
    CHOSEN = "chosen"
    #: No branch has the changes.
    NO_BRANCH = "no_branch"
    #: The worker discarded a child job's changes of its files.
    UNDONE = "undone"
    #: The worker created only some of its promised files, and no other worker created the rest.
    NOT_MADE = "not_made"
    #: A branch or worktree that the worker created conflicts with the worker's own branch.
    SIDE_WORK = "side_work"
    #: The same of an entry of the stash.
    STASH = "stash"


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Changes of one worker that a job's result lacks, or files that one worker promised."""

    worker_id: str
    #: The job of that worker: the job itself, or one below it.
    job_id: str
    #: The branch that has the changes; empty: none has.
    branch: str = ""
    #: Jobs of earlier versions have no other cause stored.
    cause: LossCause = LossCause.CONFLICT
    #: The same for people, such as "conflict in a.py, b.py".
    why: str = ""
    #: The result has some changes of the worker.
    in_part: bool = False
    #: A person chose to leave them out: the job is no less complete for that.
    chosen: bool = False
    #: The worker, of a root job, can get another attempt.
    resolvable: bool = False
    #: The promised files, for ``LossCause.NOT_MADE``; the child job's, for ``UNDONE``.
    paths: tuple[str, ...] = ()
    #: The child job whose changes these are, for ``UNDONE``.
    child_job_id: str = ""

    @property
    def is_made(self) -> bool:
        """True if the changes exist."""
        return self.cause is not LossCause.NOT_MADE


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierPart:
    """Changes of a worker that succeeded, and was run again for the rest of its promised files."""

    worker_id: str
    #: The attempt that succeeded.
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overruled:
    """Hunks of one worker that are not in the result, because another worker's won (``theirs``), or
    because the parent worker of its job undid them."""

    worker_id: str
    hunks: int
    #: The job of that worker; empty in jobs of earlier versions, and then the job itself.
    job_id: str = ""
    #: The first places, such as "a.py:3-5"; a path alone is a whole file.
    places: tuple[str, ...] = ()
    #: The child job whose result replaced its parent worker's changes; empty: another worker's.
    by_job: str = ""
    #: The parent worker that undid them after the child job; empty: ``theirs`` did.
    by_worker: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """Facts about a worker that succeeded, in addition to what its result lacks."""

    worker_id: str
    #: Files outside of its worktree or directory that the agent changed: they are in no result.
    outside: tuple[str, ...] = ()
    #: Files of the project that changed while it ran in a directory of its own.
    checkout: tuple[str, ...] = ()
    #: Files by which its work is judged that it altered, as its task may.
    judges: tuple[str, ...] = ()
    #: It changed other code, too.
    judges_with_code: bool = False
    #: New files of its worktree that are not committed.
    held_back: tuple[HeldBack, ...] = ()
    #: It changed no file, and its task does not show if it had to.
    unchanged: bool = False
    has_worktree: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFallback:
    """The rules made the plan, because the requested agent made none."""

    agent: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFact:
    """A gate that did not run on a job's result, or failed there and does not block."""

    name: str
    #: Why it did not run; None: it failed.
    cause: GateCause | None = None
    #: The same for people, or the first of its findings.
    why: str = ""
    #: It is required, and did not run although the result changes code that it checks.
    unjudged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchedOff:
    """New comments of a job's result that switch off findings of a gate."""

    gate: str
    #: Such as "a.py:3".
    places: tuple[str, ...]


class UnjudgedCause(StrEnum):
    """Why no gate judged a source of a result that gates have judged."""

    #: No gate that ran looks at sources of its language.
    NO_GATE = "no_gate"
    #: Only tests judge its language, and no test imported the file.
    NOT_IMPORTED = "not_imported"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnjudgedFile:
    """A source that a job's result changes, and that no gate judged."""

    #: As tasks name it: from the host project.
    path: str
    language: str
    cause: UnjudgedCause


@dataclass(frozen=True, kw_only=True, slots=True)
class FlakyGate:
    """A gate with findings in one of two runs on a job's result."""

    name: str
    #: Names of tests, or places; "": it has no report, and failed as a whole.
    findings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutChange:
    """A file of the user's checkout that changed, and the workers that ran at that time."""

    #: Relative to the top of the repository.
    path: str
    workers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnjudgedWork:
    """Code that a worker changed without a worktree, and that no gate judged."""

    worker_id: str
    files: tuple[str, ...]
    #: Other workers in the project at that time: each of them may have changed the files.
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CapPassed:
    """An exceeded limit on agents' usage."""

    #: As settings name it, such as ``max_cost_usd``.
    limit: str
    most: float
    used: float
    #: The usage was higher: some of it was not reported.
    at_least: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFacts:
    """A new fact is a field with a default: rows that were stored without it load as before.

    It also needs a sentence in ``core.outcome.job.reason``.
    """

    #: Why no task of the job can run: there is no plan, or only a rejected one.
    plan_error: str = ""
    #: Why the rules made the plan although ``planner: auto`` asked an agent first.
    plan_fallback: PlanFallback | None = None
    #: Why merging failed, for ``MergeState.FAILED``.
    merge_error: str = ""
    #: What the result lacks of the job's own workers.
    missing: tuple[Missing, ...] = ()
    #: What the results of child jobs lack, at any depth below, and so this one's, too.
    lost_below: tuple[Missing, ...] = ()
    #: Of a child job: files that its parent worker changed as well while it waited, so that nothing
    #: of the result is in the parent worker's files.
    not_in_parent: tuple[str, ...] = ()
    #: Workers that do not count by themselves (failed, or not chosen among candidates), and whose
    #: committed work a person had merged.
    taken: tuple[str, ...] = ()
    #: Child jobs of its workers whose changes a person had put into the result again.
    taken_jobs: tuple[str, ...] = ()
    #: Hunks that are not in the result because of the user's choice of ``theirs``.
    overruled: tuple[Overruled, ...] = ()
    #: The same of child jobs, at any depth below.
    overruled_below: tuple[Overruled, ...] = ()
    #: Files whose lines merging put in its own order: several workers added lines there.
    both_kept: tuple[str, ...] = ()
    #: Of workers whose task succeeded by them.
    shortfalls: tuple[Shortfall, ...] = ()
    #: Gates that did not pass, though the changes are in the result.
    gates: tuple[GateFact, ...] = ()
    #: Gates whose findings on the result a second run did not confirm.
    flaky: tuple[FlakyGate, ...] = ()
    #: Names of gates that passed on the result; the scan for secrets is none of them.
    gates_passed: tuple[str, ...] = ()
    #: The result changes code, and no gate but the scan for secrets has judged any of it.
    unjudged: bool = False
    #: For a result that gates have judged.
    unjudged_files: tuple[UnjudgedFile, ...] = ()
    switched_off: tuple[SwitchedOff, ...] = ()
    #: Here and below: gates run on the branches of worktrees.
    unjudged_work: tuple[UnjudgedWork, ...] = ()
    #: In no result: made by a worker of the tree or by the user.
    checkout: tuple[CheckoutChange, ...] = ()
    #: Limits on steps, tokens, and cost of the job that it used more than.
    caps_passed: tuple[CapPassed, ...] = ()
    #: Of workers that a retry ran again; once merged, only those that the result lacks.
    earlier_parts: tuple[EarlierPart, ...] = ()
    #: A person removed the branches of all its tree that had not landed.
    discarded: bool = False
    #: Workers whose cost is not known, though the job has a limit on its cost.
    unpriced: tuple[str, ...] = ()
    #: The request asks for a change, and no AI agent worked on it: the project was surveyed.
    nothing_built: bool = False
    #: Changes of the job in the user's repository, outside its own branches.
    repository_changes: tuple[RepositoryChange, ...] = ()

    @property
    def lacking(self) -> tuple[Missing, ...]:
        """What the result lacks, of the job's own workers and of those below."""
        return (*self.missing, *self.lost_below)

    @property
    def half_done(self) -> frozenset[str]:
        """Workers of the job with promised files that no worker created."""
        return frozenset(each.worker_id for each in self.missing if not each.is_made)

    @property
    def refused(self) -> frozenset[str]:
        """Workers of the job whose changes its gates reject."""
        found = (each for each in self.missing if each.cause is LossCause.REFUSED)
        return frozenset(each.worker_id for each in found)

    @property
    def unjudged_gates(self) -> tuple[GateFact, ...]:
        """Required gates that did not judge the code that the result changes."""
        return tuple(each for each in self.gates if each.unjudged)


#: No facts. One shared value for all such jobs.
NO_FACTS = JobFacts()
