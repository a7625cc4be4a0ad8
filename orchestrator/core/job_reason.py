"""The one place that composes a job's ``reason`` from its fields and facts."""

from collections.abc import Callable, Sequence

from orchestrator.core.delivery import Delivery, altered_in_words
from orchestrator.core.gates import GateCause
from orchestrator.core.job_facts import GateFact, Missing, Overruled, Shortfall
from orchestrator.core.model import Job
from orchestrator.core.states import JobStatus, MergeState, StopCause

#: So many workers are named in a sentence.
MOST_NAMED = 5
#: The reason of a job whose tasks a person is to let start.
WAITS_FOR_APPROVAL = "waits for approval"
#: Begins the sentence on a job whose workers' changes were to become one result, and did not.
NOT_MERGED = "what its workers changed could not be merged when it ended"
#: Begins the sentence on a job that changed code at which no gate looked.
NOT_JUDGED = "not judged: "
#: Begins the sentence on a job whose result is not all that its workers changed.
LEFT_OUT = "not in the result: "
#: The setting by which a user lets the better result win.
THEIRS = "merge_strategy theirs"


def reason_of(job: Job) -> str:
    """One sentence for each fact of the job, the gravest first, joined by "; "; "" for none.

    To add a fact: a field in ``job_facts.JobFacts`` (the job's settings and other fields may be
    read as well), a function here that returns its sentence or "", and its place in ``SENTENCES``.
    Whoever learns the fact stores it with ``ledger.update_job(job_id, facts=replace(job.facts,
    ...))``; the reason is composed anew when the job is stopped, merged and ended. Pure; nothing
    reads a reason to decide anything.
    """
    return "; ".join(sentence for say in SENTENCES if (sentence := say(job)))


def _approval(job: Job) -> str:
    return WAITS_FOR_APPROVAL if job.awaits_approval else ""


def _stop(job: Job) -> str:
    """A job whose tasks had all succeeded before the stop came is completed without a word."""
    if job.stop_cause is None or job.status is JobStatus.COMPLETED:
        return ""
    limits = (StopCause.WALL_TIME, StopCause.LIMIT)
    return f"{'stopped' if job.stop_cause in limits else 'cancelled'} by {job.cancelled_by}"


def _plan(job: Job) -> str:
    fallback = job.facts.plan_fallback
    return f"planned by rules: {fallback.reason}" if fallback else job.facts.plan_error


def _merge(job: Job) -> str:
    match job.merge_state:
        case MergeState.FAILED:
            again = f"orchestrator retry {job.id} tries that again"
            return f"{NOT_MERGED}: {job.facts.merge_error}; {again}"
        case MergeState.IN_PART:
            return f"{LEFT_OUT}{_named(job)}"
        case _:
            return ""


def _shortfalls(job: Job) -> str:
    found = [f"{each.worker_id}: {_of_shortfall(each)}" for each in job.facts.shortfalls]
    more = f"; {len(found) - MOST_NAMED} more workers" if len(found) > MOST_NAMED else ""
    return "; ".join(found[:MOST_NAMED]) + more


def _of_shortfall(each: Shortfall) -> str:
    delivered = Delivery(changed=True, missing=each.missing, outside=each.outside)
    return "; ".join((*delivered.remarks, *altered_in_words(each.judges)))


def _named(job: Job) -> str:
    told = [_of_worker(each, job) for each in (*job.facts.missing, *job.facts.lost_below)]
    more = f"; {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return "; ".join(told[:MOST_NAMED]) + more


def _of_worker(missing: Missing, job: Job) -> str:
    part = "in part " if missing.in_part else ""
    where = f" of job {missing.job_id}" if missing.job_id != job.id else ""
    why = f" ({missing.why})" if missing.why else ""
    return f"{part}{missing.worker_id}{where}{why}"


def _overruled(job: Job) -> str:
    told = [_hunks(each) for each in job.facts.overruled]
    more = f", {len(told) - MOST_NAMED} more workers" if len(told) > MOST_NAMED else ""
    return f"overruled by {THEIRS}: {', '.join(told[:MOST_NAMED])}{more}" if told else ""


def _hunks(overruled: Overruled) -> str:
    count = overruled.hunks
    return f"{count} hunk{'s' * (count != 1)} of {overruled.worker_id}"


def _unjudged(job: Job) -> str:
    why = not_judged(job)
    return f"{NOT_JUDGED}{why}" if why else ""


def not_judged(job: Job) -> str:
    """Why no gate judged the code that a job changed; empty where one did."""
    if not job.facts.unjudged:
        return ""
    unrun = [each for each in job.facts.gates if each.cause]
    told = [each for each in unrun if each.cause is not GateCause.NOTHING_CHANGED]
    if told:
        return _unrun(told)
    return "no gate checks what was changed" if unrun else "no tests found"


def _gates(job: Job) -> str:
    failed = [each for each in job.facts.gates if each.cause is None]
    told = [f"advisory gate {each.name} failed: {each.why}" for each in failed[:MOST_NAMED]]
    unrun = (each for each in job.facts.gates if each.cause and not job.facts.unjudged)
    told.append(_unrun([each for each in unrun if each.cause is not GateCause.NOTHING_CHANGED]))
    return "; ".join(filter(None, told))


def _unrun(gates: Sequence[GateFact]) -> str:
    return "; ".join(f"gate {each.name} did not run: {each.why}" for each in gates[:MOST_NAMED])


SENTENCES: tuple[Callable[[Job], str], ...] = (
    _approval,
    _stop,
    _plan,
    _merge,
    _overruled,
    _shortfalls,
    _unjudged,
    _gates,
)
