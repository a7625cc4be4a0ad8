"""The use cases around merging."""

from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.repository import MergeChoice
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.sending_back import Merged
from orchestrator.core.submission import Caller
from orchestrator.engine.integration import Integration
from orchestrator.engine.reads import Reads

#: How long a caller waits; what takes longer goes on.
PATIENCE_SECONDS = 10.0


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
        under_way = self._integration.again(job.root_id, job_id, choice)
        try:
            under_way.result(PATIENCE_SECONDS)
        except TimeoutError:
            return False
        return True

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
