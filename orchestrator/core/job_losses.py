"""What the results of child jobs lack, and so the result of the job above them. Pure."""

from collections.abc import Iterator, Sequence

from orchestrator.core.job_facts import Missing
from orchestrator.core.model import Job, Worker
from orchestrator.core.states import JobStatus, StopCause


def lost_below(worker: Worker, children: Sequence[Job]) -> Iterator[Missing]:
    """Changes at any depth below a worker that nobody chose to leave out; ``children`` are its
    child jobs, in their order.

    None for a worker whose own work does not count. A child job that was withdrawn, or that
    another one with the same request made up for, has lost nothing.
    """
    if not worker.status.succeeded or worker.chosen is False:
        return
    whole = {child.digest for child in children if child.status is JobStatus.COMPLETED}
    for child in children:
        if child.stop_cause is not StopCause.WITHDRAWN and child.digest not in whole:
            yield from (each for each in child.facts.missing if not each.chosen)
            yield from child.facts.lost_below


def take_command(missing: Missing, above: Sequence[str]) -> str:
    """What brings the changes into the result; empty where they exist nowhere any more.

    ``above``: the jobs above the one that lacks them first, from its parent job to the root.
    """
    if not missing.branch:
        return ""
    first = f"orchestrator merge {missing.job_id} --strategy theirs"
    return " && ".join([first, *(f"orchestrator merge {job_id}" for job_id in above)])
