"""Retries of workers: queues the next attempt, with the same agent or another one."""

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import HANDED_ON, NOT_STARTED
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_classifier import goes_on_with, noted
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from orchestrator.core.scheduler.transitions.ends.agent_fallback import (
    MOST_ATTEMPTS,
    AgentFallback,
    in_its_place,
)
from orchestrator.core.scheduler.transitions.task_locks import TaskLocks

#: Seconds until a tool that did not start is started again, one value per attempt. These attempts
#: use no retry of the worker.
PAUSES_SECONDS = (2.0, 5.0, 15.0)


class ToolStarts:
    """Finds tools that worked before but cannot be started now, for example during an update."""

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work
        self._began: set[str] = set()

    def began(self, agent: str) -> None:
        """Record that the agent's program has run. Idempotent."""
        self._began.add(agent)

    def pause(self, worker: Worker) -> float | None:
        """Return the seconds until the retry of a worker whose tool did not start.

        None if the worker gets no retry for this cause.
        """
        if worker.result is None or not self._worked(worker.agent):
            return None
        times = 0
        for failure in reversed(worker.result.failures):
            if failure.cause != NOT_STARTED:
                break
            times += 1
        return PAUSES_SECONDS[times - 1] if 0 < times <= len(PAUSES_SECONDS) else None

    def _worked(self, agent: str) -> bool:
        """True if the agent has worked: on this server, or in a worker of an unfinished tree."""
        found = self._unit_of_work.workers.values()
        return agent in self._began or any(
            each.agent == agent and each.status.succeeded for each in found
        )


class Retries:
    def __init__(self, trees: JobTrees, claims: TaskLocks, fallback: AgentFallback) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = claims
        self._fallback = fallback
        self.tool_starts = ToolStarts(trees.unit_of_work)

    def on_another_machine(self, worker: Worker, verdict: Verdict, now: float) -> bool:
        """Retry on another machine, if the login failed on the worker's machine only. Return True
        if the worker is retried.

        The new attempt uses no retry of the worker.
        """
        if not verdict.moves or worker.attempt >= MOST_ATTEMPTS:
            return False
        reason, free = f"{verdict.reason}; retrying on another machine", worker.budget_from + 1
        worker = self._handed_on(worker, "another machine")
        self.begin(worker, reason, verdict.reason, 0.0, now, budget_from=free, failure=HANDED_ON)
        return True

    def _handed_on(self, worker: Worker, to: str) -> Worker:
        """Record that another agent or machine, ``to``, continues the work of the failed
        attempt.
        """
        failed = worker.failure_of(worker.attempt)
        if not failed or not worker.result:
            return worker
        result = noted(worker.result, goes_on_with(failed, to))
        return self._unit_of_work.update_worker(worker.key, result=result)

    def with_another_agent(self, worker: Worker, verdict: Verdict, now: float) -> bool:
        """Retry with the next-best agent, if the user left the agent open. Return True if the
        worker is retried.

        The new attempt uses no retry of the worker.
        """
        other = self._fallback.agent_for(worker, verdict, now)
        if not other:
            return False
        reason, free = in_its_place(other, worker.agent, verdict.reason), worker.budget_from + 1
        worker = self._handed_on(worker, other)
        self.begin(
            worker, reason, reason, 0.0, now, agent=other, budget_from=free, failure=HANDED_ON
        )
        if worker.is_planner:
            self._fallback.plans_now(worker, other)
        return True

    def begin(
        self, worker: Worker, reason: str, told: str, delay: float, now: float, **changes: object
    ) -> None:
        """Queue another attempt.

        ``told``: the reason of the retry, for the event.
        """
        again = self._unit_of_work.move_worker(
            worker.key, WorkerStatus.PENDING, reason=reason, not_before=now + delay, **changes
        )
        unfinished = self._trees.unfinished[worker.key]
        unfinished.verdict = unfinished.ended_at = None
        self._task_locks.begins_again(again, unfinished, now)
        payload: dict[str, object] = {"attempt": worker.attempt, "reason": told}
        failed, job = worker.failure_of(worker.attempt), self._trees.job_of(worker)
        payload |= {"delay_seconds": delay, **(failed.payload() if failed else {})}
        self._unit_of_work.emit(EventKind.WORKER_RETRYING, job, now, worker.id, **payload)
        self._trees.queue(again)
