"""Changes of workers that are not in the job's result: where they are, why, and how to merge them.

Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from shlex import quote

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import (
    SAVED_ONLY,
    SideWorkKind,
    is_delivered,
    merge_of,
    missing_in_words,
    promised_in_words,
)
from orchestrator.core.model.attempt.failure import Failure
from orchestrator.core.model.job import SHELL, Job, TaskSpec, Worker
from orchestrator.core.model.job_facts import EarlierPart, LossCause, Missing, Overruled
from orchestrator.core.model.states import JobStatus, MergeState, StopCause
from orchestrator.core.repository.git_refs import (
    checkpoint_refs,
    result_branch,
    short,
    worker_branch,
)
from orchestrator.core.repository.repository import Strategy
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import listed

_HAS_RESULT = (MergeState.MERGED, MergeState.IN_PART)
#: Option of ``merge`` that includes a failed worker, whose id follows.
_INCLUDE = " --include "
#: Why the result lacks the changes of a worker: its task requires a worktree (``git: on``), but no
#: worktree could be created.
NO_WORKTREE = (
    "no worktree could be created (git: on); the changes are only in the worker's directory"
)


class OutsideCause(StrEnum):
    """Why existing changes of a worker are not in the job's result.

    The worker may have failed, or it may be a candidate that was not chosen.
    """

    #: the changes conflict with other changes, or build on excluded changes
    LEFT_OUT = "left_out"
    #: the gates reject the merged state with the changes
    REFUSED = "refused"
    #: the worker discarded changes that its child job had made
    UNDONE = "undone"
    #: a person excluded the changes
    CHOSEN = "chosen"
    #: the job's ``merge_strategy`` is ``manual``
    MANUAL = "manual"
    #: merging failed as a whole
    MERGE_FAILED = "merge_failed"
    #: another candidate of the task was chosen
    LOST_COMPARISON = "lost_comparison"
    #: the worker failed, timed out, or was cancelled
    FAILED = "failed"
    #: an attempt failed, and the next attempt started without the failed attempt's changes
    ROLLED_BACK = "rolled_back"


def lacks_worktrees(job: Job, tasks: Iterable[TaskSpec]) -> bool:
    """True if a task of the job requires a worktree (``git: on``), but none could be created."""
    return not job.config.base and any(task.needs_worktree(job.config.git) for task in tasks)


def may_lack_promised(worker: Worker) -> bool:
    """True if promised files were missing at the worker's end, or may have been removed later.

    Another worker may have created the missing files in the meantime.
    """
    delivery = worker.delivery
    if delivery is None:
        return False
    return bool(delivery.missing) or (delivery.expected and not delivery.has_worktree)


def lost_without_worktree(
    job: Job, tasks: Mapping[str, TaskSpec], workers: Sequence[Worker]
) -> Iterator[Missing]:
    """Yield one item for each successful worker that had no worktree, but whose task requires one.

    Only a planner can create such a task, because a submission with such a task is rejected.
    """
    if not lacks_worktrees(job, tasks.values()):
        return
    for worker in workers:
        counts = worker.belongs_to_result and not worker.is_adviser
        if counts and tasks[worker.task_id].needs_worktree(job.config.git):
            yield Missing(
                worker_id=worker.id, job_id=job.id, cause=LossCause.NO_BRANCH, why=NO_WORKTREE
            )


def not_made(
    job: Job,
    workers: Sequence[Worker],
    present: Sequence[str],
    removed: Mapping[str, Sequence[str]],
) -> Iterator[Missing]:
    """Yield the promised files that the result lacks, with one item for each worker.

    Only workers with ``Worker.belongs_to_result`` are checked. ``present``: files that the result
    changes. ``removed``: promised files that were removed after their worker's end, by worker id.

    A promised file also counts as missing if the worker only created a link at its path, and the
    link leads out of the worktree. Exception: another worker created the file.
    """
    for worker in workers:
        delivery = worker.delivery
        if delivery is None or worker.is_adviser or not worker.belongs_to_result:
            continue
        removed_paths = tuple(removed.get(worker.id, ()))
        if not (delivery.missing or removed_paths):
            continue
        existing = _without_links(worker.id, workers, present)
        if paths := (*_absent(delivery.missing, existing), *removed_paths):
            # Another attempt of this worker does not restore a file that a later branch removed.
            can_retry = job.is_root and not (removed_paths and delivery.has_worktree)
            yield Missing(
                worker_id=worker.id,
                job_id=job.id,
                cause=LossCause.NOT_MADE,
                why=promised_in_words(paths),
                resolvable=can_retry,
                paths=paths,
            )


def ignored_promises(
    job: Job, workers: Iterable[Worker], present: Sequence[str]
) -> Iterator[Missing]:
    """Yield the promised files that the result lacks because git ignores them.

    ``workers``: workers whose changes belong to the result. ``present``: files that the result
    changes. Promised files in ``present`` are not yielded; another worker may have added them.
    """
    for worker in workers:
        delivery = worker.delivery
        paths = _absent(delivery.ignored, present) if delivery else ()
        if delivery and paths:
            saved = f", {SAVED_ONLY}" if are_saved(paths, delivery.saved) else ""
            yield Missing(
                worker_id=worker.id,
                job_id=job.id,
                cause=LossCause.NO_BRANCH,
                why=f"git ignores promised files{saved}: {listed(paths)}",
                in_part=bool(worker.touched_files),
                paths=paths,
            )


def are_saved(promised: Sequence[str], saved: Sequence[str]) -> bool:
    """True if files of each promised path are saved in the worker's directory."""
    return bool(promised) and not _absent(promised, saved)


def unmerged_side_work(job: Job, workers: Iterable[Worker]) -> Iterator[Missing]:
    """Yield side work that is not in the result, for example because of a conflict.

    Side work consists of branches, worktrees, and stash entries that an agent created itself. Side
    work of a rolled-back attempt is omitted. ``workers``: workers with merged changes.
    """
    for worker in workers:
        delivery = worker.delivery
        undone_attempt = max((each.attempt for each in worker.failures if each.undone), default=0)
        for work in delivery.side_work if delivery and not worker.is_adviser else ():
            if work.is_missing and not 0 < work.attempt <= undone_attempt:
                is_stash = work.kind is SideWorkKind.STASH
                yield Missing(
                    worker_id=worker.id,
                    job_id=job.id,
                    branch=work.ref,
                    cause=LossCause.STASH if is_stash else LossCause.SIDE_WORK,
                    why=missing_in_words(work),
                    in_part=True,
                )


def earlier_parts(workers: Iterable[Worker]) -> Iterator[EarlierPart]:
    """Yield the changes that successful workers have committed.

    Call this function before the workers are retried: a retry resets their status.
    """
    for worker in workers:
        delivery = worker.delivery
        if worker.status.succeeded and delivery and delivery.has_worktree and delivery.changed:
            yield EarlierPart(worker_id=worker.id, attempt=worker.attempt)


def still_missing(
    lost: Iterable[Missing], workers: Sequence[Worker], present: Sequence[str]
) -> Iterator[Missing]:
    """Yield the lost changes of child jobs that are still missing from the parent job's result.

    ``lost``: changes that the child jobs lost, and promised files that they did not create. A
    promised file is omitted if another worker created it. ``workers``: the workers of the parent
    job and of its descendants. ``present``: paths that the parent job's result changes.
    """
    for each in lost:
        if each.is_made:
            yield each
        elif paths := _absent(each.paths, _without_links(each.worker_id, workers, present)):
            yield replace(each, paths=paths, why=promised_in_words(paths))


def _without_links(
    worker_id: str, workers: Sequence[Worker], present: Sequence[str]
) -> Sequence[str]:
    """Return ``present`` without the paths that only the worker ``worker_id`` changed.

    The result is used to search for promised files that were missing at the worker's end. At the
    path of a missing file, the worker may have created a link out of the worktree. The path is then
    in ``present``, but the file is still missing. If another worker changed the path, the file
    exists.
    """
    other_paths = {path for each in workers if each.id != worker_id for path in each.touched_files}
    own_paths = {path for each in workers if each.id == worker_id for path in each.touched_files}
    return [path for path in present if path in other_paths or path not in own_paths]


def _absent(paths: Sequence[str], present: Sequence[str]) -> tuple[str, ...]:
    return tuple(each for each in paths if not is_delivered(each, present))


def lost_below(worker: Worker, children: Sequence[Job]) -> Iterator[Missing]:
    """Yield the changes that the child jobs of a worker lost, at any depth.

    Changes that a person excluded are omitted. ``children``: all child jobs of the worker, in their
    order.
    """
    for child in counting_child_jobs(worker, children):
        yield from (each for each in child.facts.missing if not each.chosen)
        yield from child.facts.lost_below


def overruled_below(worker: Worker, children: Sequence[Job]) -> Iterator[Overruled]:
    """Yield the replaced or undone hunks of a worker's child jobs, at any depth."""
    for child in counting_child_jobs(worker, children):
        yield from (replace(each, job_id=each.job_id or child.id) for each in child.facts.overruled)
        yield from child.facts.overruled_below


def counting_child_jobs(worker: Worker, children: Sequence[Job]) -> Iterator[Job]:
    """Yield the child jobs whose lost changes count as lost changes of the worker.

    Yield nothing for a worker without ``Worker.belongs_to_result``. ``children``: all child jobs of
    the worker, in their order.
    """
    if worker.belongs_to_result:
        yield from not_replaced(children)


def not_replaced(children: Sequence[Job]) -> Iterator[Job]:
    """Yield the child jobs, except withdrawn and replaced child jobs.

    A child job is replaced if a later child job with the same request completed. ``children``: all
    child jobs of one worker, in their order.
    """
    completed_digests, child_jobs = set[str](), []
    for child in reversed(children):
        if child.stop_cause is not StopCause.WITHDRAWN and child.digest not in completed_digests:
            child_jobs.append(child)
        if child.status is JobStatus.COMPLETED:
            # A completed child job replaces earlier child jobs with the same request.
            completed_digests.add(child.digest)
    yield from reversed(child_jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeCommand:
    """How a person merges missing changes into a result, or at least sees the changes."""

    #: Command that merges, shows, or creates the changes; empty: no branch has the changes.
    command: str = ""
    #: Command that merges the changes without another attempt. Set only if ``command`` starts an
    #: attempt.
    otherwise: str = ""
    #: True if ``command`` merges the changes. False if it only shows them, or starts a new job.
    brings_in: bool = False


def merge_command(missing: Missing, top: Job, ancestors: Sequence[str]) -> MergeCommand:
    """Return the command that merges missing changes.

    If no command can merge the changes, return a command that shows them. If no branch has the
    changes, the command is empty. For promised files that no worker created, return a command that
    starts work to create the files.

    ``top``: the job whose result lacks the changes. ``ancestors``: the ancestors of the job
    ``missing.job_id``, from its parent job to ``top``, as arguments of the command ``merge``.

    A merge cannot add changes that gates rejected, because the merge runs the gates again. Such
    changes need another attempt. But ``retry`` cannot start an attempt for a worker of a child job.
    Therefore the rejected changes of a child job's worker are only shown.
    """
    if not missing.is_made:
        return _creation_command(missing, top)
    if not missing.branch:
        return MergeCommand()

    def merged(how: str) -> str:
        return merge_commands(how, missing.job_id, ancestors)

    match missing.cause:
        case LossCause.CONFLICT if missing.resolvable:
            theirs = merged(" --strategy theirs")
            return MergeCommand(
                command=merged(" --resolve worker"), otherwise=theirs, brings_in=True
            )
        case LossCause.CONFLICT:
            return MergeCommand(command=merged(" --strategy theirs"), brings_in=True)
        case LossCause.REFUSED if missing.resolvable:
            return MergeCommand(command=f"{COMMAND} retry {missing.job_id}", brings_in=True)
        case LossCause.MANUAL:
            return MergeCommand(command=merged(" --strategy auto"), brings_in=True)
        case LossCause.SIDE_WORK | LossCause.STASH:
            is_stash = missing.cause is LossCause.STASH
            return MergeCommand(command=merge_of(missing.branch, is_stash=is_stash), brings_in=True)
        case LossCause.UNDONE:
            return MergeCommand(
                command=merged(f" --include {missing.child_job_id}"), brings_in=True
            )
        case LossCause.CHOSEN:
            return MergeCommand(command=merged(""), brings_in=True)
        case _:
            return MergeCommand(command=diff_of(missing.job_id, missing.worker_id))


def _creation_command(missing: Missing, top: Job) -> MergeCommand:
    if missing.resolvable:
        return MergeCommand(command=f"{COMMAND} retry {missing.job_id}", brings_in=True)
    request = quote(f"Create {listed(missing.paths)}")
    # Only a job with a merged result can be continued.
    start = f"continue {top.id}" if top.merge_state in _HAS_RESULT else "run"
    return MergeCommand(command=f"{COMMAND} {start} {request}")


def diff_of(job_id: str, worker_id: str) -> str:
    return f"{COMMAND} diff {job_id} {worker_id}"


def merge_commands(how: str, job_id: str, ancestors: Sequence[str]) -> str:
    """Return commands that repeat the merge of a job, and then of each of its ancestor jobs.

    ``how``: options of the first command. ``ancestors``: the ancestor jobs, beginning with the
    parent job.

    If an ancestor job has a failed worker, the commands are joined by ``;``. After ``&&``, the next
    command would not run, because ``merge`` of a job with a failed worker never returns exit code
    0.
    """
    has_failed_worker = any(_INCLUDE in each for each in ancestors)
    commands = [f"{COMMAND} merge {job_id}{how}", *_ancestor_commands(ancestors)]
    return ("; " if has_failed_worker else " && ").join(commands)


def include_commands(worker_id: str, job_id: str, ancestors: Sequence[str]) -> str:
    """Return commands that merge a worker's excluded changes into its job, and then into ancestors.

    ``ancestors``: the job's ancestor jobs, beginning with the parent job. The commands after the
    first command repeat the merges of these jobs.

    The commands are joined by ``;``, not by ``&&``. The first command does not return exit code 0,
    because a job with a failed worker stays partial. After ``&&``, the second command would not
    run.
    """
    return "; ".join(
        [f"{COMMAND} merge {job_id}{_INCLUDE}{worker_id}", *_ancestor_commands(ancestors)]
    )


def choose_commands(task_id: str, worker_id: str, job_id: str, ancestors: Sequence[str]) -> str:
    """Return commands that choose a candidate of a task, and bring its changes to the root job.

    ``ancestors``: the job's ancestor jobs, beginning with the parent job. The commands after the
    first command repeat the merges of these jobs.
    """
    choose = f"{COMMAND} choose {job_id} {quote(task_id)} {worker_id}"
    return "; ".join([choose, *_ancestor_commands(ancestors)])


def _ancestor_commands(ancestors: Sequence[str]) -> Iterator[str]:
    return (f"{COMMAND} merge {each}" for each in ancestors)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutsideWork:
    """Existing changes of one worker that are not in the result."""

    worker_id: str
    #: Id of the worker's job: the job itself, or a descendant.
    job_id: str
    cause: OutsideCause
    #: The cause, as text.
    why: str = ""
    #: The branch that has the changes; empty: no branch has them.
    branch: str = ""
    #: Number of files that the worker created or changed.
    files: int = 0
    #: True if the result has some changes of the worker.
    in_part: bool = False
    #: Command that merges the changes, or only shows them; empty: no branch has them.
    command: str = ""
    #: Command that shows the changes; empty: no branch has them.
    show: str = ""
    #: True if ``command`` merges the changes; False if it only shows them.
    brings_in: bool = True
    #: Command that merges the changes without another attempt. Set only if ``command`` starts an
    #: attempt.
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class UnmergedChanges:
    """The changes in a job tree that are not in its results.

    ``jobs``: jobs by id. ``workers``: workers by job id.
    """

    jobs: Mapping[str, Job]
    workers: Mapping[str, Sequence[Worker]]

    def in_result(self, job: Job) -> list[Worker]:
        """Return the job's workers whose changes are in its result.

        A worker's changes include the changes of its child jobs.
        """
        if job.merge_state not in _HAS_RESULT:
            return []
        lost = (each for each in job.facts.missing if each.is_made and not each.in_part)
        missing_ids = {each.worker_id for each in lost}
        return [each for each in self._counting_workers(job) if each.id not in missing_ids]

    def made_not_in_result(self, job: Job) -> list[OutsideWork]:
        """Return the changes that still exist, but are not in the job's result.

        Changes by workers of descendants are included.
        """
        if job.facts.discarded:
            return []
        outside_work = [self._missing_work(each, job) for each in job.facts.lacking if each.is_made]
        for other, counts in self._with_descendants(job):
            if other is not job:
                # ``job.facts`` lacks two kinds of losses of descendants: changes that a person
                # excluded, and losses of jobs that do not belong to the result, such as the
                # child jobs of a failed worker.
                losses = (loss for loss in other.facts.missing if loss.chosen or not counts)
                outside_work += (self._missing_work(loss, job) for loss in losses if loss.is_made)
            outside_work += self._outside_work_of_job(other, job)
        return outside_work

    def _outside_work_of_job(self, job: Job, top: Job) -> Iterator[OutsideWork]:
        if job.merge_state is MergeState.FAILED:
            command = merge_commands("", job.id, self._ancestors_of(job.id, top))
            for worker in self._counting_workers(job):
                why = f"merge failed: {job.facts.merge_error}"
                yield self._work_on_branch(worker, OutsideCause.MERGE_FAILED, why, command)
        # Do not list a worker with rejected changes a second time as a failed worker.
        listed_ids = {each.worker_id for each in job.facts.missing if each.is_made}
        for worker in self.workers.get(job.id, ()):
            yield from self._rolled_back_work(worker, job, top)
            if (
                not self._has_changes(worker)
                or worker.id in listed_ids
                or worker.id in job.facts.taken
            ):
                continue
            include_command = include_commands(worker.id, job.id, self._ancestors_of(job.id, top))
            if worker.chosen is False:
                command = include_command
                if worker.status.succeeded:
                    ancestors = self._ancestors_of(job.id, top)
                    command = choose_commands(worker.task_id, worker.id, job.id, ancestors)
                reason = worker.standing.why if worker.standing else ""
                why = f"lost the comparison: {reason}" if reason else "lost the comparison"
                yield self._work_on_branch(worker, OutsideCause.LOST_COMPARISON, why, command)
            elif worker.status.ended and not worker.status.succeeded:
                # If the gates reject the worker's branch, no command helps, because the gates would
                # also reject the merged state.
                command = "" if _is_blocked(worker) else include_command
                yield self._work_on_branch(
                    worker,
                    OutsideCause.FAILED,
                    f"{worker.status}: {worker.reason}" if worker.reason else str(worker.status),
                    command,
                )

    def _rolled_back_work(self, worker: Worker, job: Job, top: Job) -> Iterator[OutsideWork]:
        for failure in worker.failures:
            if not failure.undone or failure.attempt >= worker.attempt:
                continue
            if worker.agent == SHELL and worker.status.succeeded:
                # A later attempt of the same command made the changes.
                continue
            is_merged = worker.belongs_to_result or worker.id in job.facts.taken
            if is_merged and _is_restored(worker, failure):
                continue
            show = f"{diff_of(job.id, worker.id)} --attempt {failure.attempt}"
            command = ""
            if not (worker.status.succeeded or self._has_changes(worker)):
                rollback = f"{COMMAND} rollback {job.id} {worker.id} {failure.kept} --yes"
                ancestors = self._ancestors_of(job.id, top)
                command = f"{rollback}; {include_commands(worker.id, job.id, ancestors)}"
            yield OutsideWork(
                worker_id=worker.id,
                job_id=job.id,
                cause=OutsideCause.ROLLED_BACK,
                why=f"attempt {failure.attempt} was rolled back: {failure.reason}",
                branch=f"{checkpoint_refs(worker.root_id, worker.id)}{failure.kept}",
                command=command or show,
                show=show,
                brings_in=bool(command),
            )

    def _missing_work(self, missing: Missing, top: Job) -> OutsideWork:
        merge = self.merge_command(missing, top)
        workers = self.workers.get(missing.job_id, ())
        return OutsideWork(
            worker_id=missing.worker_id,
            job_id=missing.job_id,
            cause=_outside_cause(missing, self.jobs.get(missing.job_id, top)),
            why=missing.why,
            branch=missing.branch,
            files=len(missing.paths)
            or next(
                (len(each.touched_files) for each in workers if each.id == missing.worker_id), 0
            ),
            in_part=missing.in_part,
            command=merge.command,
            show=_show_command(missing),
            brings_in=merge.brings_in,
            otherwise=merge.otherwise,
        )

    def merge_command(self, missing: Missing, top: Job) -> MergeCommand:
        return merge_command(missing, top, self._ancestors_of(missing.job_id, top))

    def _work_on_branch(
        self, worker: Worker, cause: OutsideCause, why: str, command: str = ""
    ) -> OutsideWork:
        branch = short(worker_branch(worker))
        if not _has_own_changes(worker):
            child = self._merged_children(worker)[-1]
            branch = short(result_branch(worker.root_id, child))
        show = diff_of(worker.job_id, worker.id)
        return OutsideWork(
            worker_id=worker.id,
            job_id=worker.job_id,
            cause=cause,
            why=why,
            branch=branch,
            files=len(worker.touched_files),
            command=command or show,
            show=show,
            brings_in=bool(command),
        )

    def _counting_workers(self, job: Job) -> Iterator[Worker]:
        for worker in self.workers.get(job.id, ()):
            is_counted = worker.belongs_to_result or worker.id in job.facts.taken
            if is_counted and self._has_changes(worker):
                yield worker

    def _has_changes(self, worker: Worker) -> bool:
        return _has_own_changes(worker) or bool(self._merged_children(worker))

    def _merged_children(self, worker: Worker) -> list[str]:
        child_ids = (each for each in worker.child_job_ids if each in self.jobs)
        return [each for each in child_ids if self.jobs[each].merge_state in _HAS_RESULT]

    def _with_descendants(self, job: Job, counts: bool = True) -> Iterator[tuple[Job, bool]]:
        """Yield ``job``, and its descendants whose changes could be in the result of ``job``.

        Each job comes with a flag. For a descendant, True means that the facts of ``job`` already
        list the changes that the descendant lost. ``counts``: the flag to yield with ``job``.
        """
        yield job, counts
        for worker in self.workers.get(job.id, ()):
            if worker.chosen is False or not worker.status.ended:
                continue
            children = [self.jobs[each] for each in worker.child_job_ids if each in self.jobs]
            for child in not_replaced(children):
                yield from self._with_descendants(child, counts and worker.belongs_to_result)

    def _ancestors_of(self, job_id: str, top: Job) -> list[str]:
        """Return the ancestors of a job, from its parent to ``top``, as arguments of ``merge``."""
        arguments = []
        while job_id != top.id and job_id in self.jobs:
            job = self.jobs[job_id]
            job_id = job.parent_job_id or top.id
            workers = self.workers.get(job_id, ())
            parent = next((each for each in workers if each.id == job.parent_worker_id), None)
            counts = parent is None or parent.belongs_to_result
            arguments.append(job_id if counts else f"{job_id}{_INCLUDE}{job.parent_worker_id}")
        return arguments


def _show_command(missing: Missing) -> str:
    if missing.child_job_id:
        return f"{COMMAND} diff {missing.child_job_id}"
    return diff_of(missing.job_id, missing.worker_id) if missing.branch else ""


def _outside_cause(missing: Missing, job: Job) -> OutsideCause:
    if missing.chosen:
        is_manual = (
            job.config.merge_strategy == Strategy.MANUAL or missing.cause is LossCause.MANUAL
        )
        return OutsideCause.MANUAL if is_manual else OutsideCause.CHOSEN
    if missing.cause is LossCause.UNDONE:
        return OutsideCause.UNDONE
    is_rejected = missing.cause is LossCause.REFUSED
    return OutsideCause.REFUSED if is_rejected else OutsideCause.LEFT_OUT


def has_worktree(worker: Worker) -> bool:
    return worker.delivery is not None and worker.delivery.has_worktree


def _has_own_changes(worker: Worker) -> bool:
    delivery = worker.delivery
    return delivery is not None and delivery.has_worktree and delivery.changed


def _is_restored(worker: Worker, failure: Failure) -> bool:
    rollbacks = worker.result.rollbacks if worker.result else ()
    return bool(rollbacks) and rollbacks[-1].checkpoint == failure.kept


def _is_blocked(worker: Worker) -> bool:
    result = worker.result
    if result is None or (result.delivery and result.delivery.by_hand):
        return False
    return any(each.blocks for each in result.gates)
