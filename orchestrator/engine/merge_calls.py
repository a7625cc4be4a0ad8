"""The use cases around merging."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.core import admission
from orchestrator.core.errors import Conflict, InvalidRequest, NotFound, Refused
from orchestrator.core.model import Job
from orchestrator.core.repository import MergeChoice, Strategy
from orchestrator.core.rerun import check_conflicts
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.sending_back import Merged
from orchestrator.core.submission import Caller, ConfigRequest
from orchestrator.engine.integration import Integration
from orchestrator.engine.reads import Reads

#: How long a caller waits; what takes longer goes on.
PATIENCE_SECONDS = 10.0
#: Raises Conflict or Refused where a job that has ended cannot be run again.
Check = Callable[[Scheduler, Job], None]


class MergeCalls(Reads):
    """Every method with a caller raises NotFound for what is not the caller's."""

    _integration: Integration

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge a job that has ended once more; whether that is done already.

        Raise Conflict where it cannot be, and InvalidRequest for workers that are none of its.
        """
        job = self._access.changeable(caller, job_id)
        if not job.status.ended:
            raise Conflict(
                f"job {job_id} is {job.status}; it can be merged again when it has ended"
            )
        known = {worker.id for worker in self._store.workers(job_id)}
        unknown = sorted({*choice.take, *choice.leave} - known)
        if unknown:
            raise InvalidRequest(
                f"job {job_id} has no worker {unknown[0]}; it has: {', '.join(sorted(known)[:20])}"
            )
        both = sorted({*choice.take} & {*choice.leave})
        if both:
            raise InvalidRequest(f"{both[0]} is to be taken and left out: say one of both")
        if choice.resolve:
            self._resolve(caller, job, choice)
            return False
        under_way = self._integration.again(job.root_id, job_id, choice)
        try:
            under_way.result(PATIENCE_SECONDS)
        except TimeoutError:
            return False
        return True

    def _resolve(self, caller: Caller, job: Job, choice: MergeChoice) -> None:
        """Have the job run again for workers that are to resolve their conflicts."""
        if choice.take or choice.leave or choice.strategy not in ("", Strategy.AUTO):
            raise InvalidRequest("resolve goes with all workers and strategy auto: say no other")
        self._submitting.choice.check_names(ConfigRequest(resolve=choice.resolve))
        if self._integration.is_under_way(job.id):
            raise Conflict(f"job {job.id} is being merged; ask again when that is done")

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
            # Read here and nowhere earlier: a retry may have run meanwhile.
            tree = None if root_id in scheduler.forest else self._store.tree(root_id)
            if tree is not None:
                scheduler.restore(tree, now)
                scheduler.forget_after_turn(root_id)
            if job_id in scheduler.ledger.jobs:
                scheduler.sending_back.merged_later(job_id, merged, now)

        self._supervisor.call(action)

    def is_merging(self, job_id: str) -> bool:
        return self._integration.is_under_way(job_id)
