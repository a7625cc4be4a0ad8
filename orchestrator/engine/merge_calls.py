"""The use cases around merging."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.core import admission
from orchestrator.core.command import COMMAND
from orchestrator.core.commands import Render
from orchestrator.core.errors import Conflict, InvalidRequest, NotFound, Refused
from orchestrator.core.job_facts import LossCause
from orchestrator.core.model import RESOLVE_WORKER, Job
from orchestrator.core.repository import MergeChoice, Strategy
from orchestrator.core.rerun import check_conflicts
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.sending_back import Merged
from orchestrator.core.submission import Caller, ConfigRequest
from orchestrator.core.whereabouts import has_worktree
from orchestrator.engine.integration import Integration
from orchestrator.engine.reads import Reads
from orchestrator.engine.worktrees import Worktrees

#: How long a caller waits; what takes longer goes on.
PATIENCE_SECONDS = 10.0
#: Raises Conflict or Refused where a job that has ended cannot be run again.
Check = Callable[[Scheduler, Job], None]


class MergeCalls(Reads):
    """Every method with a caller raises NotFound for what is not the caller's."""

    _integration: Integration
    _worktrees: Worktrees
    _report_anew: Callable[[Render], None]

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge a job that has ended once more; whether that is done already.

        Raise Conflict where it cannot be, and InvalidRequest for workers that are none of its.
        """
        job = self._access.workable(caller, job_id)
        if not job.status.ended:
            raise Conflict(
                f"job {job_id} is {job.status}; it can be merged again when it has ended"
            )
        workers = self._store.workers(job_id)
        known = {worker.id for worker in workers}
        children = {child for worker in workers for child in worker.child_job_ids}
        unknown = sorted({*choice.take, *choice.leave} - known - children)
        if unknown:
            raise InvalidRequest(
                f"job {job_id} has no worker {unknown[0]}; it has: "
                f"{', '.join([*sorted(known), *sorted(children)][:20])}"
            )
        both = sorted({*choice.take} & {*choice.leave})
        if both:
            raise InvalidRequest(f"{both[0]} is to be taken and left out: say one of both")
        _check_has_branches(job)
        if choice.resolve:
            self._resolve(caller, job, choice)
            return False
        if self._has_all(caller, job, choice):
            return True
        return self._merge_again(job, choice)

    def _merge_again(self, job: Job, choice: MergeChoice) -> bool:
        under_way = self._integration.again(job.root_id, job.id, choice)
        try:
            under_way.result(PATIENCE_SECONDS)
        except TimeoutError:
            return False
        return True

    def choose(self, caller: Caller, job_id: str, task_id: str, worker_id: str) -> bool:
        """Overrule the choice among a task's candidates; whether the job is merged again already.

        Raise Conflict where it cannot be, NotFound for an unknown task, and InvalidRequest for a
        worker that is none of its candidates.
        """
        job = self._access.workable(caller, job_id)
        candidates = [each for each in self._store.workers(job_id) if each.task_id == task_id]
        if not candidates:
            raise NotFound(f"job {job_id} has no task {task_id!r} with workers")
        worker = next((each for each in candidates if each.id == worker_id), None)
        if worker is None:
            names = ", ".join(each.id for each in candidates[:20])
            raise InvalidRequest(f"{worker_id} is no candidate of task {task_id!r}; known: {names}")
        if not job.status.ended:
            raise Conflict(f"job {job_id} is {job.status}; choose when it has ended")
        _check_has_branches(job)
        if self._integration.is_under_way(job_id):
            raise Conflict(f"job {job_id} is being merged; ask again when that is done")

        def action(scheduler: Scheduler, now: float) -> None:
            self._restore(scheduler, job.root_id, now)
            present = scheduler.ledger.jobs.get(job_id)
            if present is None or not present.status.ended:
                raise Conflict(f"job {job_id} runs again; choose when it has ended")
            scheduler.choose(scheduler.ledger.workers[worker.key], caller.name, now)

        self._supervisor.call(action)
        if not has_worktree(worker):
            # Without a worktree nothing is merged; the reports name who is chosen.
            self._report_anew(Render(job.root_id, job_id, (job_id,)))
            return True
        return self._merge_again(job, MergeChoice())

    def _restore(self, scheduler: Scheduler, root_id: str, now: float) -> None:
        """Have a tree that may have ended in memory for this turn."""
        # Read here and nowhere earlier: a retry may have run meanwhile.
        tree = None if root_id in scheduler.forest else self._store.tree(root_id)
        if tree is not None:
            scheduler.restore(tree, now)
            scheduler.forget_after_turn(root_id)

    def _has_all(self, caller: Caller, job: Job, choice: MergeChoice) -> bool:
        """True if the result has all that is to be taken already, and nothing else is asked for."""
        if not choice.take or choice.leave or choice.strategy:
            return False
        record = self.merge_record(caller, job.id)
        inside = {*record.get("merged", ())} - {*record.get("left_out", ())}
        workers = {each.id: each for each in self._store.workers(job.id)}
        counting = {each.id for each in workers.values() if each.counts}
        if any(each not in workers for each in choice.take):
            return False
        if any(self._worktrees.has_moved(workers[each]) for each in choice.take):
            return False
        return {*choice.take} <= inside & {*counting, *job.facts.taken}

    def _resolve(self, caller: Caller, job: Job, choice: MergeChoice) -> None:
        """Have the job run again for workers that are to resolve their conflicts."""
        if choice.take or choice.leave or choice.strategy not in ("", Strategy.AUTO):
            raise InvalidRequest("resolve goes with all workers and strategy auto: say no other")
        self._submitting.choice.check_names(ConfigRequest(resolve=choice.resolve))
        if self._integration.is_under_way(job.id):
            raise Conflict(f"job {job.id} is being merged; ask again when that is done")
        self._check_not_attached(*self._store.workers(job.id))
        if choice.resolve == RESOLVE_WORKER and job.is_root:
            _check_resolvable(job)

        def action(scheduler: Scheduler, now: float) -> None:
            self._bring_back(scheduler, job, now, check_conflicts)
            config = replace(job.config, resolve=choice.resolve, merge_strategy=str(Strategy.AUTO))
            scheduler.ledger.update_job(job.id, config=config)
            scheduler.resolve_again(job.id, caller.name, now)

        self._supervisor.call(action)

    def _bring_back(self, scheduler: Scheduler, job: Job, now: float, check: Check) -> None:
        """Have a job in memory that can be run again, with the settings it is to have then.

        Raise what ``check`` raises, Conflict or Refused, and leave all as it was.
        """
        # Read here and nowhere earlier: another retry may have run meanwhile.
        tree = None if job.root_id in scheduler.forest else self._store.tree(job.root_id)
        if tree is not None:
            scheduler.restore(tree, now)
        try:
            if job.id not in scheduler.ledger.jobs:
                raise NotFound(f"job {job.id} has been removed")
            check(scheduler, scheduler.ledger.jobs[job.id])
            admission.check_budget(scheduler.forest.size_of(job).budget)
        except (Conflict, Refused):
            if tree is not None:
                scheduler.forest.forget(job.root_id)
            raise

    def _merged_later(self, root_id: str, job_id: str, merged: Merged) -> None:
        """Have the job tell what came of it, in place of what came of it when it ended."""

        def action(scheduler: Scheduler, now: float) -> None:
            self._restore(scheduler, root_id, now)
            if job_id in scheduler.ledger.jobs:
                scheduler.sending_back.merged_later(job_id, merged, now)

        self._supervisor.call(action)

    def is_merging(self, job_id: str) -> bool:
        return self._integration.is_under_way(job_id)


def _check_has_branches(job: Job) -> None:
    """Raise Conflict if a person discarded them."""
    if job.facts.discarded:
        raise Conflict(
            f"the branches of job {job.id} were discarded: nothing can be merged; run the request "
            f"again: {COMMAND} report {job.id} shows it"
        )


def _check_resolvable(job: Job) -> None:
    """Raise Conflict if none of its workers can be asked to resolve its conflicts."""
    lacks = [each for each in job.facts.missing if each.cause is LossCause.CONFLICT]
    if lacks and not any(each.resolvable for each in lacks):
        raise Conflict(
            "no worker of the job can resolve conflicts; nothing was changed; commands that bring "
            f"changes in: {COMMAND} status {job.id}"
        )
