"""Retries of workers: queues the next attempt, with the same agent or another one."""

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import HANDED_ON
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_classifier import failure_of, goes_on_with, noted
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.agent_fallback import AgentFallback, in_its_place
from orchestrator.core.scheduler.transitions.worker_start import TaskLocks


class Retries:
    def __init__(self, trees: JobTrees, claims: TaskLocks, fallback: AgentFallback) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = claims
        self._fallback = fallback

    def with_another_agent(self, worker: Worker, verdict: Verdict, now: float) -> bool:
        """Retry with the next-best agent if the user left the agent open; this uses no retry."""
        other = self._fallback.agent_for(worker, verdict, now)
        if not other:
            return False
        reason, free = in_its_place(other, worker.agent, verdict.reason), worker.budget_from + 1
        failed = failure_of(worker, worker.attempt)
        if failed and worker.result:
            handed_on = goes_on_with(failed, other)
            worker = self._unit_of_work.update_worker(
                worker.key, result=noted(worker.result, handed_on)
            )
        self.begin(
            worker, reason, reason, 0.0, now, agent=other, budget_from=free, failure=HANDED_ON
        )
        if worker.is_planner:
            self._fallback.plans_now(worker, other)
        return True

    def begin(
        self, worker: Worker, reason: str, told: str, delay: float, now: float, **changes: object
    ) -> None:
        """Queue another attempt. ``told``: fields of the event that explain the retry."""
        again = self._unit_of_work.move_worker(
            worker.key, WorkerStatus.PENDING, reason=reason, not_before=now + delay, **changes
        )
        node = self._trees.nodes[worker.key]
        node.verdict = node.ended_at = None
        self._task_locks.begins_again(again, node, now)
        payload: dict[str, object] = {"attempt": worker.attempt, "reason": told}
        failed, job = failure_of(worker, worker.attempt), self._trees.job_of(worker)
        payload |= {"delay_seconds": delay, **(failed.told() if failed else {})}
        self._unit_of_work.emit(EventKind.WORKER_RETRYING, job, now, worker.id, **payload)
        self._trees.queue(again)
