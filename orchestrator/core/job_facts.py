"""What is known of a job's end besides its status: frozen values, stored with the job.

Nothing here is a sentence: ``job_reason`` makes the job's ``reason`` of them.
"""

from dataclasses import dataclass

from orchestrator.core.gates import GateCause


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Changes of one worker that a job's result lacks."""

    worker_id: str
    #: The job of that worker: the job itself, or one below it.
    job_id: str
    #: The branch that has the changes; empty: none has.
    branch: str = ""
    #: Why, such as "conflict in a.py, b.py".
    why: str = ""
    #: The result has some changes of the worker.
    in_part: bool = False
    #: A person chose to leave them out: the job is no less complete for that.
    chosen: bool = False
    #: The worker, of a root job, has an agent that can be asked to resolve its conflicts.
    resolvable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Overruled:
    """Hunks of one worker that are not in the result, since another's won there (``theirs``)."""

    worker_id: str
    hunks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """A worker that succeeded, and that did not deliver just what its task promised."""

    worker_id: str
    #: Promised paths that do not exist.
    missing: tuple[str, ...] = ()
    #: Files outside of its worktree that the agent changed: they are in no result.
    outside: tuple[str, ...] = ()
    #: Files by which its work is judged that it altered, as its task may.
    judges: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFallback:
    """An agent was asked for the plan and made none, and the rules made it."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFacts:
    """A new fact is a field with a default: rows that were stored without it load as before.

    It also needs a sentence in ``job_reason``.
    """

    #: Why no task of the job can run: nothing was planned, or only what is refused.
    plan_error: str = ""
    #: Why the rules made the plan, where ``planner: auto`` asked an agent first.
    plan_fallback: PlanFallback | None = None
    #: Why merging failed, for ``MergeState.FAILED``.
    merge_error: str = ""
    #: For ``MergeState.IN_PART``.
    missing: tuple[Missing, ...] = ()
    #: What the results of child jobs lack, at any depth below, and so this one's.
    lost_below: tuple[Missing, ...] = ()
    #: What the user's choice of ``theirs`` left out of the result.
    overruled: tuple[Overruled, ...] = ()
    #: Of workers whose task succeeded by them.
    shortfalls: tuple[Shortfall, ...] = ()
    #: Gates that did not pass, though the changes are in the result.
    gates: tuple[GateFact, ...] = ()
    #: The result changes code, and no gate but the scan for secrets has judged it.
    unjudged: bool = False


#: Nothing is known. One for all jobs that have nothing to tell.
NO_FACTS = JobFacts()
