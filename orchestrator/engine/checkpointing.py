"""The use cases around checkpoints: seeing those of a job's workers, and going back to one."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from orchestrator.core.classification import failure_of
from orchestrator.core.commands import Render
from orchestrator.core.delivery import Delivery
from orchestrator.core.endings import shortfall_of
from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.failure import START, Rollback, after, before
from orchestrator.core.job_reason import reason_of
from orchestrator.core.ledger import Ledger
from orchestrator.core.model import Attempt, Worker
from orchestrator.core.refs import short, start_ref
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.states import WorkerStatus
from orchestrator.core.submission import Caller
from orchestrator.core.values import changed
from orchestrator.core.views import Checkpoint, RolledBack
from orchestrator.core.worker_result import WorkerResult
from orchestrator.engine.checkpoints import LEFT, in_order, number_of
from orchestrator.engine.reads import Reads
from orchestrator.engine.worktrees import Worktrees

_LIVES = (WorkerStatus.RUNNING, WorkerStatus.WAITING)
#: So many of a worker's latest rollbacks are kept.
MOST_ROLLBACKS = 20


class Checkpointing(Reads):
    """Every method raises NotFound for what is not the caller's, RepositoryError for git."""

    _worktrees: Worktrees
    #: What the reports of an ended job say is not all any more.
    _report_anew: Callable[[Render], None]
    #: Called for a tree that was changed without a server, which has observers for that.
    on_amended: Callable[[str], None] = staticmethod(lambda root_id: None)

    def checkpoints(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        """Those of a job's own workers, as they were made; none without worktrees."""
        attempts = self.attempts(caller, job_id)
        found: list[Checkpoint] = []
        if not self.job(caller, job_id).config.base:
            return found
        for worker in self._store.workers(job_id):
            own = [each for each in attempts if each.worker_id == worker.id]
            found += self._of_worker(worker, own)
        return found

    def _of_worker(self, worker: Worker, attempts: Sequence[Attempt]) -> Iterator[Checkpoint]:
        kept = self._worktrees.checkpoints
        repository = kept.repository
        start = repository.tip(start_ref(worker))
        if not start:
            return
        commits = {START: start, **kept.refs_of(worker)}
        names, ignored = [START, *in_order(commits)[1:]], kept.not_kept(worker)
        tip = repository.tip(self._worktrees.place_of(worker).branch)
        rollbacks = worker.result.rollbacks if worker.result else ()
        current = current_of(names, [name for name in names if commits[name] == tip], rollbacks)
        earlier = start
        for name in names:
            yield Checkpoint(
                worker_id=worker.id,
                name=name,
                attempt=number_of(name),
                at=_time_of(name, attempts),
                commit=commits[name],
                files_changed=len(repository.changed(earlier, commits[name])),
                has_ignored=name in ignored,
                not_kept=ignored.get(name, {}),
                gates=_gates_of(worker, name),
                is_current=name == current,
            )
            earlier = commits[name]

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        """Have a worker's branch, and its worktree where there is one, as in a checkpoint.

        By default the one before its latest attempt. What was there is kept as a checkpoint.
        Raise Conflict for a worker that runs, or has no worktree.
        """
        self._access.workable(caller, job_id)
        worker = self._access.worker(caller, job_id, worker_id)
        kept = self._worktrees.checkpoints
        with kept.held(worker.key):
            # Read once more: an attempt that begins now waits for this to be done.
            worker = self._access.worker(caller, job_id, worker_id)
            self._check_is_still(worker, "and roll it back then")
            name = checkpoint or before(worker.attempt)
            done = kept.roll_back(self._worktrees.place_of(worker), name)
            self._note(caller, worker, done)
        return done

    def recount(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[str]:
        """Have lists and reports count what a person committed on a worker's branch since its end.

        Return all files that the branch changes. Idempotent. Raise Conflict for a worker that
        runs, or has no branch.
        """
        self._access.workable(caller, job_id)
        worker = self._access.worker(caller, job_id, worker_id)
        with self._worktrees.checkpoints.held(worker.key):
            # Read once more: an attempt that begins now waits for this to be done.
            worker = self._access.worker(caller, job_id, worker_id)
            self._check_is_still(worker, "and count its changes then")
            files = self._worktrees.own_files(worker)
            self._amend(worker.root_id, lambda ledger: _count(ledger, worker, files))
            self._report_tree(worker.root_id, (worker.job_id, worker.root_id))
        return files

    def _note(self, caller: Caller, worker: Worker, done: RolledBack) -> None:
        """Store that it was done, and by whom; have the reports tell it."""
        rollback = Rollback(
            at=time.time(),
            by=caller.name,
            attempt=worker.attempt,
            checkpoint=done.checkpoint,
            commit=done.commit,
            kept=done.kept,
        )
        self._amend(worker.root_id, lambda ledger: _keep(ledger, worker, rollback))
        self._report_tree(worker.root_id, (worker.job_id, worker.root_id))

    def _amend(self, root_id: str, amend: Callable[[Ledger], None]) -> None:
        """Change what is stored of a tree, which may have ended, also without a server."""
        if self._supervisor.alive:
            self._supervisor.call(lambda scheduler, now: self._tell(scheduler, root_id, amend))
            return
        # The workspace is locked by the caller.
        ledger = Ledger()
        tree = self._store.tree(root_id)
        if tree is not None:
            ledger.load(tree, root_id)
            amend(ledger)
            self._store.save(ledger.take())
            self.on_amended(root_id)

    def _report_tree(self, root_id: str, job_ids: Iterable[str]) -> None:
        tree = self._store.tree(root_id)
        family = tuple(each.id for each in tree.jobs) if tree else ()
        for job_id in dict.fromkeys(job_ids):
            job = self._store.job(job_id)
            if job is not None and job.status.ended:
                self._report_anew(Render(job.root_id, job_id, family))

    def _tell(self, scheduler: Scheduler, root_id: str, amend: Callable[[Ledger], None]) -> None:
        if root_id not in scheduler.forest:
            tree = self._store.tree(root_id)
            if tree is None:
                return
            scheduler.restore(tree, time.time())
            scheduler.forget_after_turn(root_id)
        amend(scheduler.ledger)

    def _has_branch(self, worker: Worker, branch: str) -> bool:
        job = self._store.job(worker.job_id)
        in_git = job is not None and job.config.base
        return bool(in_git and self._worktrees.checkpoints.repository.tip(branch))

    def _check_is_still(self, worker: Worker, then: str) -> None:
        if worker.status in _LIVES:
            raise Conflict(
                f"{worker.id} is {worker.status}: wait for its end, or cancel its job, {then}"
            )
        self._check_not_attached(worker)
        place = self._worktrees.place_of(worker)
        if not worker.attempt or not self._has_branch(worker, place.branch):
            raise Conflict(
                f"{worker.id} has no branch {short(place.branch)}: it never began, or works "
                "without a worktree"
            )


def _keep(ledger: Ledger, worker: Worker, rollback: Rollback) -> None:
    found = ledger.workers[worker.key]
    result = found.result or WorkerResult()
    rollbacks = (*result.rollbacks, rollback)[-MOST_ROLLBACKS:]
    ledger.update_worker(worker.key, result=replace(result, rollbacks=rollbacks))
    job, kind = ledger.jobs[worker.job_id], EventKind.WORKER_ROLLED_BACK
    ledger.emit(kind, job, rollback.at, worker.id, **rollback.told())


def _count(ledger: Ledger, worker: Worker, files: Sequence[str]) -> None:
    result = ledger.workers[worker.key].result or WorkerResult()
    delivery = result.delivery or Delivery(changed=False)
    delivery = replace(delivery, changed=bool(files), by_hand=True)
    result = replace(result, files_created=tuple(files), delivery=delivery)
    counted = ledger.update_worker(worker.key, result=result)
    job = ledger.jobs[worker.job_id]
    if not job.status.ended:
        return  # its end composes the reason
    shortfalls = {each.worker_id: each for each in job.facts.shortfalls}
    shortfalls.pop(worker.id, None)
    if found := shortfall_of(counted):
        shortfalls[worker.id] = found
    facts = replace(job.facts, shortfalls=tuple(shortfalls.values()))
    ledger.update_job(job.id, facts=facts, reason=reason_of(changed(job, facts=facts)))


def current_of(names: Sequence[str], same: Sequence[str], rollbacks: Sequence[Rollback]) -> str:
    """Of those with the ``same`` content as the branch has now: the last that it came to.

    ``names`` are all there are, in order.
    """
    for last in rollbacks[-1:]:
        if last.checkpoint in same and all(number_of(each) <= last.attempt for each in names):
            return last.checkpoint
    # What a rollback left behind is where the worker has been.
    return next(reversed([each for each in same if LEFT not in each] or same), "")


def _time_of(name: str, attempts: Sequence[Attempt]) -> float | None:
    attempt = next((each for each in attempts if each.number == number_of(name)), None)
    if attempt is None:
        return None
    times = {before(attempt.number): attempt.started_at, after(attempt.number): attempt.ended_at}
    return times.get(name)


def _gates_of(worker: Worker, name: str) -> str:
    """In words, of a checkpoint after an attempt; empty where none was run, or it is not known."""
    if worker.result is None or name != after(number_of(name)):
        return ""
    if name == worker.result.good:
        return "passed"
    failed = failure_of(worker, number_of(name))
    if failed is not None and failed.gates:
        return f"failed: {', '.join(failed.gates)}"
    return ""
