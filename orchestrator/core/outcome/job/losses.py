"""Changes that a job's result lacks for other reasons than its merge. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote

from orchestrator.core.command_name import COMMAND
from orchestrator.core.model.attempt.delivery import held_by, listed, promised_in_words
from orchestrator.core.model.attempt.side_work import SideWorkKind, merge_of, missing_in_words
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_facts import EarlierPart, LossCause, Missing, Overruled
from orchestrator.core.model.states import JobStatus, StopCause
from orchestrator.core.repository.repository import needs_worktree

#: Why changes are missing of a worker that had ``git: on`` and no worktree.
NO_WORKTREE = "git: on, but no worktree could be created: its changes are in its directory only"


def lacks_worktrees(job: Job, tasks: Iterable[TaskSpec]) -> bool:
    """True if ``git: on`` applies to one of the job's tasks, and no worktree could be created."""
    return not job.config.base and any(needs_worktree(task, job.config.git) for task in tasks)


def lacks_promised(worker: Worker) -> bool:
    """True if promised files are missing that another worker may have created."""
    delivery = worker.result.delivery if worker.result else None
    return delivery is not None and bool(delivery.missing)


def lost_without_worktree(
    job: Job, tasks: Mapping[str, TaskSpec], workers: Sequence[Worker]
) -> Iterator[Missing]:
    """Yield losses of workers that succeeded in a plain directory although ``git: on`` applies to
    them.

    If the tasks are known at submission, the submission is rejected instead; a planner's tasks are
    known only later.
    """
    if not lacks_worktrees(job, tasks.values()):
        return
    for worker in workers:
        counts = worker.counts and not worker.is_adviser
        if counts and needs_worktree(tasks[worker.task_id], job.config.git):
            yield Missing(
                worker_id=worker.id, job_id=job.id, cause=LossCause.NO_BRANCH, why=NO_WORKTREE
            )


def not_made(job: Job, workers: Sequence[Worker], present: Sequence[str]) -> Iterator[Missing]:
    """Yield promised files that the result lacks, of workers whose changes count. ``present``:
    files that the result changes.
    """
    for worker in workers:
        delivery = worker.result.delivery if worker.result else None
        if delivery is None or worker.is_adviser or not worker.counts:
            continue
        if paths := _absent(delivery.missing, present):
            yield Missing(
                worker_id=worker.id,
                job_id=job.id,
                cause=LossCause.NOT_MADE,
                why=promised_in_words(paths),
                resolvable=job.is_root,
                paths=paths,
            )


def side_work_left(job: Job, workers: Iterable[Worker]) -> Iterator[Missing]:
    """Yield side work that conflicts with its worker's own branch, for workers whose changes are
    merged.

    Side work of an attempt that was rolled back is excluded: the result lacks it on purpose.
    """
    for worker in workers:
        delivery = worker.result.delivery if worker.result else None
        undone = _rolled_back_until(worker)
        for each in delivery.side_work if delivery and not worker.is_adviser else ():
            if each.is_missing and not 0 < each.attempt <= undone:
                is_stash = each.kind is SideWorkKind.STASH
                yield Missing(
                    worker_id=worker.id,
                    job_id=job.id,
                    branch=each.ref,
                    cause=LossCause.STASH if is_stash else LossCause.SIDE_WORK,
                    why=missing_in_words(each),
                    in_part=True,
                )


def _rolled_back_until(worker: Worker) -> int:
    """Return the number of the worker's latest attempt whose changes were rolled back; 0: no
    attempt.
    """
    failures = worker.result.failures if worker.result else ()
    return max((each.attempt for each in failures if each.undone), default=0)


def earlier_parts(workers: Iterable[Worker]) -> Iterator[EarlierPart]:
    """Yield changes on the branches of workers that are about to run again."""
    for worker in workers:
        delivery = worker.result.delivery if worker.result else None
        if worker.status.succeeded and delivery and delivery.has_worktree and delivery.changed:
            yield EarlierPart(worker_id=worker.id, attempt=worker.attempt)


def still_missing(lost: Iterable[Missing], present: Sequence[str]) -> Iterator[Missing]:
    """Filter out promised files that a worker of the parent job created."""
    for each in lost:
        paths = _absent(each.paths, present)
        if each.is_made or paths == each.paths:
            yield each
        elif paths:
            yield replace(each, paths=paths, why=promised_in_words(paths))


def _absent(paths: Sequence[str], present: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for each in paths if not held_by(each, present))


def lost_below(worker: Worker, children: Sequence[Job]) -> Iterator[Missing]:
    """Yield lost changes of a worker's descendants that no person chose to exclude; ``children``:
    the worker's child jobs, in their order.

    None if the worker's own work does not count. A child job has lost nothing if it was withdrawn,
    or if a later child job with the same request replaced it.
    """
    for child in counting(worker, children):
        yield from (each for each in child.facts.missing if not each.chosen)
        yield from child.facts.lost_below


def overruled_below(worker: Worker, children: Sequence[Job]) -> Iterator[Overruled]:
    """Yield hunks of a worker's descendants that better results replaced, or that were undone."""
    for child in counting(worker, children):
        yield from (replace(each, job_id=each.job_id or child.id) for each in child.facts.overruled)
        yield from child.facts.overruled_below


def counting(worker: Worker, children: Sequence[Job]) -> Iterator[Job]:
    """Yield child jobs whose losses are the worker's losses; ``children`` are in their order."""
    if not worker.counts:
        return
    made_up, found = set[str](), []
    for child in reversed(children):
        if child.stop_cause is not StopCause.WITHDRAWN and child.digest not in made_up:
            found.append(child)
        if child.status is JobStatus.COMPLETED:
            # A repeated child job replaces earlier ones that failed or were discarded.
            made_up.add(child.digest)
    yield from reversed(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """The command that merges missing changes into a result."""

    #: Command that merges the changes into the result, or shows them; empty: no branch has them.
    command: str = ""
    #: Command that merges the changes without another attempt, if ``command`` starts an attempt.
    otherwise: str = ""
    #: True if ``command`` merges the changes; False if it only shows them.
    brings_in: bool = False


def way_in(missing: Missing, above: Sequence[str]) -> Way:
    """Return the command that can merge the lost changes, by the cause of the loss.

    ``above``: the jobs above the job that lacks the changes, from its parent to the root. A merge
    repeats the gates, so after a rejection by gates only another attempt helps. A retry does not
    run the workers of a child job again.
    """
    if not missing.is_made:
        return _way_to_have_it_made(missing, [missing.job_id, *above][-1])
    if not missing.branch:
        return Way()

    def merged(how: str) -> str:
        return merge_chain(how, missing.job_id, above)

    match missing.cause:
        case LossCause.CONFLICT if missing.resolvable:
            theirs = merged(" --strategy theirs")
            return Way(command=merged(" --resolve worker"), otherwise=theirs, brings_in=True)
        case LossCause.CONFLICT:
            return Way(command=merged(" --strategy theirs"), brings_in=True)
        case LossCause.REFUSED if missing.resolvable:
            return Way(command=f"{COMMAND} retry {missing.job_id}", brings_in=True)
        case LossCause.MANUAL:
            return Way(command=merged(" --strategy auto"), brings_in=True)
        case LossCause.SIDE_WORK | LossCause.STASH:
            is_stash = missing.cause is LossCause.STASH
            return Way(command=merge_of(missing.branch, is_stash=is_stash), brings_in=True)
        case LossCause.UNDONE:
            return Way(command=merged(f" --include {missing.child_job_id}"), brings_in=True)
        case LossCause.CHOSEN:
            return Way(command=merged(""), brings_in=True)
        case _:
            return Way(command=diff_of(missing.job_id, missing.worker_id))


def _way_to_have_it_made(missing: Missing, root_id: str) -> Way:
    """Return the command to create the missing files: another attempt for a root job's worker,
    otherwise a new child job.
    """
    if missing.resolvable:
        return Way(command=f"{COMMAND} retry {missing.job_id}", brings_in=True)
    request = quote(f"Create {listed(missing.paths)}")
    return Way(command=f"{COMMAND} continue {root_id} {request}")


def diff_of(job_id: str, worker_id: str) -> str:
    """Return the command that shows the changes of a worker, wherever they are."""
    return f"{COMMAND} diff {job_id} {worker_id}"


def merge_chain(how: str, job_id: str, above: Sequence[str]) -> str:
    """Return commands that merge a job again, and then the jobs above it."""
    return " && ".join([f"{COMMAND} merge {job_id}{how}", *_above(above)])


def take_chain(worker_id: str, job_id: str, above: Sequence[str]) -> str:
    """Return commands that merge a worker that does not count, and then the jobs above.

    Not joined by ``&&``: a job with a failed worker stays partial, so the first command's exit
    code is not 0.
    """
    return "; ".join([f"{COMMAND} merge {job_id} --include {worker_id}", *_above(above)])


def choose_chain(task_id: str, worker_id: str, job_id: str, above: Sequence[str]) -> str:
    """Return commands that select another candidate, and merge the jobs above."""
    choose = f"{COMMAND} choose {job_id} {quote(task_id)} {worker_id}"
    return "; ".join([choose, *_above(above)])


def _above(above: Sequence[str]) -> Iterator[str]:
    return (f"{COMMAND} merge {each}" for each in above)
