"""Tools whose program could not be started although it worked before, as while it is updated."""

from orchestrator.core.model.attempt.failure import NOT_STARTED
from orchestrator.core.model.job import Worker
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork

#: Seconds until each further try; none of them uses a retry of the worker.
PAUSES_SECONDS = (2.0, 5.0, 15.0)


class ToolStarts:
    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work
        self._began: set[str] = set()

    def began(self, agent: str) -> None:
        """The agent's program has run. Idempotent."""
        self._began.add(agent)

    def pause(self, worker: Worker) -> float | None:
        """Seconds until a worker is tried again whose tool did not start; None: it is not."""
        if worker.result is None or not self._worked(worker.agent):
            return None
        times = 0
        for failure in reversed(worker.result.failures):
            if failure.cause != NOT_STARTED:
                break
            times += 1
        return PAUSES_SECONDS[times - 1] if 0 < times <= len(PAUSES_SECONDS) else None

    def _worked(self, agent: str) -> bool:
        """By what this server has seen, or by what is stored of unfinished trees."""
        found = self._unit_of_work.workers.values()
        return agent in self._began or any(
            each.agent == agent and each.status.succeeded for each in found
        )
