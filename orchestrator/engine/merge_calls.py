"""The use cases around merging."""

from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.repository import MergeChoice
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

    def is_merging(self, job_id: str) -> bool:
        return self._integration.is_under_way(job_id)
