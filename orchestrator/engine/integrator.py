"""What a job's workers changed becomes one branch, once all of them have ended."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from orchestrator.core import failpoints
from orchestrator.core.choice import chosen
from orchestrator.core.dag import in_order
from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.core.model import Job, Worker
from orchestrator.core.ports import Tree
from orchestrator.core.refs import branch_of, short, start_ref, worker_branch
from orchestrator.core.repository import MergeChoice, Repository, Workdir
from orchestrator.core.sending_back import Merged
from orchestrator.engine.folding import Folding
from orchestrator.engine.losers import keep_others
from orchestrator.engine.merge_record import Record, Records
from orchestrator.engine.merge_words import in_words
from orchestrator.engine.merged_gates import Halted, MergedGates
from orchestrator.engine.merging import Merging, leave
from orchestrator.engine.worktrees import Worktrees

logger = logging.getLogger(__name__)


class Integrator:
    """For threads that have time: a job ends once its changes are merged."""

    def __init__(
        self,
        repository: Repository,
        worktrees: Worktrees,
        gates: MergedGates,
        records: Records,
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._gates = gates
        self._records = records
        self._merging = Merging(repository, worktrees, gates)
        self._folding = Folding(repository, worktrees)

    def told(self, tree: Tree, job_id: str) -> Sequence[str]:
        """What became of the changes, in words; merges them where that was not done yet."""
        job = _job(tree, job_id)
        note = (job.config.git_note,) if job.config.git_note else ()
        if not _base(tree, job):
            return note
        if self._records.read(job) is None:
            self.integrate(tree, job_id)
        record = self._records.read(job)
        return [*note, *(in_words(record) if record else ())]

    def integrate(self, tree: Tree, job_id: str, halted: Halted = lambda: False) -> Merged:
        """Merge, remove the worktrees, look at the user's checkout. Idempotent.

        Failures are told in the record, too; nothing is done for a job that has nothing to do
        with git.
        """
        job = _job(tree, job_id)
        base = _base(tree, job)
        if not base:
            return Merged()
        self._records.forget(job)
        began, record = time.monotonic(), _record(job, base)
        checkout = self._worktrees.checkout
        self._guarded(record, lambda: checkout.put_back(job.root_id))
        workers = [each for each in tree.workers if each.job_id == job_id]
        self._guarded(record, lambda: self._remove_worktrees(record, job, workers))
        merged = self._merge(record, tree, job, halted)
        self._guarded(record, lambda: keep_others(self._repository, tree, job))
        if job.is_root:
            self._guarded(record, partial(self._look_at_checkout, record, tree, job))
        self._keep(job, record, began)
        return merged

    def _look_at_checkout(self, record: Record, tree: Tree, job: Job) -> None:
        record.put_back.extend(self._worktrees.checkout.put_back(job.id))
        leaks = self._worktrees.checkout.leaks(job.id)
        tasks = (task for each in tree.tasks.values() for task in each)
        if any(task.workdir == Workdir.PROJECT for task in tasks):
            # Files and branches are such a task's to change, and listed as its own.
            leaks = [each for each in leaks if each.startswith("git ")]
        record.leaks.extend(leaks)

    def _keep(self, job: Job, record: Record, began: float) -> None:
        record.seconds = round(time.monotonic() - began, 3)
        self._records.keep(job, record)

    def again(self, tree: Tree, job_id: str, choice: MergeChoice, halted: Halted) -> Merged:
        """Merge the branches of a job that has ended once more; the result before is kept.

        Raise Conflict or RepositoryError; nothing is changed then.
        """
        began, job = time.monotonic(), _job(tree, job_id)
        job = replace(
            job,
            config=replace(job.config, merge_strategy=choice.strategy or job.config.merge_strategy),
        )
        record = replace(_record(job, _base(tree, job)), again=True)
        if not record.base:
            raise Conflict(f"job {job_id} has nothing to do with git: nothing can be merged")
        workers = list(_chosen(tree, job))
        _check_taken(job, choice, workers)
        wanted = [each for each in workers if _is_wanted(each, choice)]
        for worker in wanted:
            self._check_branch(worker)
        for worker in (each for each in workers if each not in wanted):
            leave(record, worker, "you left it out")
            record.chosen.append(worker.id)
        before = self._records.read(job)
        if before:
            record.leaks, record.put_back = before.leaks, before.put_back
        merged = self._merging.merge(record, tree, job, wanted, halted)
        if merged.error:
            raise Conflict(merged.error)
        self._guarded(record, lambda: self._folding.fold(record, tree, job))
        self._keep(job, record, began)
        return merged

    def _check_branch(self, worker: Worker) -> None:
        started, branch = self._repository.tip(start_ref(worker)), worker_branch(worker)
        if started and not self._repository.tip(branch):
            raise Conflict(
                f"the branch {short(branch)} is gone, so {worker.id} cannot be merged again; "
                f"leave it out (--leave {worker.id}), or bring the branch back"
            )

    def _merge(self, record: Record, tree: Tree, job: Job, halted: Halted) -> Merged:
        try:
            self._worktrees.checkout.check_ways_to_merge(job.root_id)
            merged = self._merging.merge(record, tree, job, list(_chosen(tree, job)), halted)
            self._folding.fold(record, tree, job)
        except RepositoryError as error:
            _note(record, error)
            return Merged(error=error.message)
        failpoints.reached("merge: stored")
        return merged

    def _guarded(self, record: Record, step: Callable[[], object]) -> None:
        try:
            step()
        except RepositoryError as error:
            _note(record, error)

    def _remove_worktrees(self, record: Record, job: Job, workers: Sequence[Worker]) -> None:
        self._gates.clear(job)
        for worker in workers:
            self._guarded(record, partial(self._worktrees.remove, worker))
        if job.is_root:
            self._guarded(record, partial(self._worktrees.drop_spares, job.id))


def _note(record: Record, error: RepositoryError) -> None:
    logger.warning("git: %s", error, extra={"job_id": record.job_id})
    record.errors.append(error.message)


def _record(job: Job, base: str) -> Record:
    strategy, history = job.config.merge_strategy, job.config.history
    return Record(job_id=job.id, strategy=strategy, base=base, history=history)


def _job(tree: Tree, job_id: str) -> Job:
    return next(each for each in tree.jobs if each.id == job_id)


def _base(tree: Tree, job: Job) -> str:
    """A job whose own workers change nothing may have child jobs whose workers do."""
    if job.config.base:
        return job.config.base
    below = (each for each in tree.jobs if each.parent_job_id == job.id)
    return next((base for each in below if (base := _base(tree, each))), "")


def _chosen(tree: Tree, job: Job) -> Iterator[Worker]:
    """In order of dependencies, for each task the worker whose work counts."""
    workers = [each for each in tree.workers if each.job_id == job.id]
    for task in in_order(tree.tasks[job.id]):
        found = chosen(each for each in workers if each.task_id == task.id)
        if found is not None:
            yield found


def _is_wanted(worker: Worker, choice: MergeChoice) -> bool:
    return worker.id not in choice.leave and (not choice.take or worker.id in choice.take)


def _check_taken(job: Job, choice: MergeChoice, workers: Sequence[Worker]) -> None:
    """Who failed, or is not the chosen one of its task's candidates, is not taken: say so."""
    can = [each.id for each in workers]
    for name in choice.take:
        if name not in can:
            raise Conflict(
                f"{name} cannot be taken: it did not succeed, or another candidate was chosen; "
                f"{', '.join(can) or 'nobody'} can be. To have what it did after all: "
                f"git merge {short(branch_of(job.root_id, name))}"
            )
