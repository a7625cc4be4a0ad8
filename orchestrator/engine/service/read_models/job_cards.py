"""Jobs in lists: progress and usage, from counts of workers by job and status."""

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports.listings import Progress, StatusCount

#: In lists, both are a success.
_COUNTED_AS = {WorkerStatus.RECURSIVE_SUCCESS: WorkerStatus.SUCCESS}
COUNTED = tuple(each for each in WorkerStatus if each not in _COUNTED_AS)


def progress(counts: Iterable[StatusCount]) -> Progress:
    """Return numbers of workers by status, with zeros, and known usage."""
    numbers = dict.fromkeys(map(str, COUNTED), 0)
    costs, tokens, partial = [], [], False
    for each in counts:
        status = WorkerStatus(each.status)
        numbers[_COUNTED_AS.get(status, status)] += each.workers
        costs += [] if each.cost_usd is None else [each.cost_usd]
        tokens += [] if each.tokens is None else [each.tokens]
        partial |= each.cost_partial
    return Progress(
        counts=numbers,
        cost_usd=round(sum(costs), 6) if costs else None,
        tokens=sum(tokens) if tokens else None,
        cost_partial=partial,
    )


def below(job_id: str, parents: Mapping[str, str | None]) -> set[str]:
    """Return a job and its descendants; ``parents`` has the parent of every job of the tree."""
    children: dict[str | None, list[str]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found = [job_id]
    for each in found:
        found += children.get(each, ())
    return set(found)


def of_jobs(counts: Sequence[StatusCount], job_ids: set[str]) -> Sequence[StatusCount]:
    return [each for each in counts if each.job_id in job_ids]
