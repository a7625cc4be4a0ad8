"""What the result of a job lacks that no merge tells of. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.core.job_facts import Missing
from orchestrator.core.model import Job, TaskSpec, Worker
from orchestrator.core.repository import needs_worktree
from orchestrator.core.states import JobStatus, StopCause

#: As it is typed in the folder.
COMMAND = "bin/orchestrator"
#: Why the changes of a worker are missing for which ``git: on`` held.
NO_WORKTREE = "git: on, but no worktree could be created: its changes are in its directory only"


def lacks_worktrees(job: Job, tasks: Iterable[TaskSpec]) -> bool:
    """True if ``git: on`` holds for one of the job's tasks, and no worktree could be created."""
    return not job.config.base and any(needs_worktree(task, job.config.git) for task in tasks)


def lost_without_worktree(
    job: Job, tasks: Mapping[str, TaskSpec], workers: Sequence[Worker]
) -> Iterator[Missing]:
    """Of workers that succeeded in a plain directory, and were to have a worktree by ``git: on``.

    A submission whose tasks are known is refused before that; a planner's tasks come later.
    """
    if not lacks_worktrees(job, tasks.values()):
        return
    for worker in workers:
        counts = worker.status.succeeded and worker.chosen is not False and not worker.is_adviser
        if counts and needs_worktree(tasks[worker.task_id], job.config.git):
            yield Missing(worker_id=worker.id, job_id=job.id, why=NO_WORKTREE)


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


def take_command(missing: Missing, above: Sequence[str], *, forced: bool = False) -> str:
    """What brings the changes into the result; empty where no branch has them.

    ``above``: the jobs above the one that lacks them first, from its parent job to the root.
    A worker that can resolve its conflicts is to do so, unless ``forced``.
    """
    if not missing.branch:
        return ""
    resolves = missing.resolvable and not forced
    how = " --resolve worker" if resolves else " --strategy theirs"
    return merge_chain(how, missing.job_id, above)


def merge_chain(how: str, job_id: str, above: Sequence[str]) -> str:
    """Have a job merged once more, and then those above it."""
    rest = [f"{COMMAND} merge {each}" for each in above]
    return " && ".join([f"{COMMAND} merge {job_id}{how}", *rest])
