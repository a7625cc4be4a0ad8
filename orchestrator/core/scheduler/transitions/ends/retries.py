"""Retries: gathers the facts for the decision on the next attempt, and queues the attempt.

The decision itself is in ``core.outcome.retry_policy``.
"""

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_classifier import with_failure, with_files_kept
from orchestrator.core.outcome.retry_policy import RetryDecision, RetryFacts, next_attempt
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from orchestrator.core.scheduler.transitions.ends.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks


class ToolStarts:
    """Finds tools that worked earlier, but fail to start now, for example during an update."""

    def __init__(self, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work
        self._began: set[str] = set()

    def began(self, agent: str) -> None:
        self._began.add(agent)

    def has_worked(self, agent: str) -> bool:
        found = self._unit_of_work.workers.values()
        return agent in self._began or any(
            each.agent == agent and each.status.succeeded for each in found
        )


class Retries:
    def __init__(self, trees: JobTrees, task_locks: TaskLocks, fallback: AgentFallback) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = task_locks
        self._fallback = fallback
        self.tool_starts = ToolStarts(trees.unit_of_work)

    def make_next_free(self, worker: Worker) -> None:
        self._unit_of_work.update_worker(worker.key, budget_from=worker.budget_from + 1, failure="")

    def decide(
        self,
        worker: Worker,
        verdict: Verdict,
        limited_until: float | None,
        child_failed: bool,
        now: float,
    ) -> RetryDecision:
        """Return whether and how another attempt follows the verdict. Change nothing."""
        facts = RetryFacts(
            account_delay_seconds=None if limited_until is None else limited_until - now,
            tool_worked=verdict.not_started and self.tool_starts.has_worked(worker.agent),
            other_agent=self._fallback.agent_for(worker, verdict, now),
            child_failed=child_failed,
        )
        task, config = self._trees.task_of(worker), self._trees.job_of(worker).config
        return next_attempt(worker, task, config, verdict, facts)

    def begin(self, worker: Worker, decision: RetryDecision, now: float) -> None:
        """Queue the attempt that ``decision`` describes."""
        if decision.handed_to:
            worker = self._keep_files(worker, decision.handed_to)
        again = self._unit_of_work.move_worker(
            worker.key,
            WorkerStatus.PENDING,
            reason=decision.reason,
            waiting_for=decision.waiting_for,
            not_before=now + decision.delay_seconds,
            budget_from=worker.budget_from + decision.is_free,
            agent=decision.agent or worker.agent,
            failure=worker.failure if decision.failure is None else decision.failure,
        )
        unfinished = self._trees.unfinished[worker.key]
        unfinished.verdict = unfinished.ended_at = None
        self._task_locks.begins_again(again, unfinished, now)
        self._emit(worker, decision, now)
        self._trees.queue(again)
        if decision.agent and worker.is_planner:
            self._fallback.plans_now(worker, decision.agent)

    def _keep_files(self, worker: Worker, to: str) -> Worker:
        failed = worker.failure_of(worker.attempt)
        if not failed or not worker.result:
            return worker
        result = with_failure(worker.result, with_files_kept(failed, to))
        return self._unit_of_work.update_worker(worker.key, result=result)

    def _emit(self, worker: Worker, decision: RetryDecision, now: float) -> None:
        failed = worker.failure_of(worker.attempt)
        payload: dict[str, object] = {
            "attempt": worker.attempt,
            "reason": decision.cause,
            "delay_seconds": decision.delay_seconds,
            **(failed.payload() if failed else {}),
        }
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_RETRYING, job, now, worker.id, **payload)
