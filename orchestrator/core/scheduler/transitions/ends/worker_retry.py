"""Retries of workers: queues the next attempt, with the same agent or another one.

Agent fallback: another agent for a worker without a fixed agent, if a login fails.
"""

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import HANDED_ON, NOT_STARTED
from orchestrator.core.model.job import AUTO, Job, TaskSpec, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_classifier import goes_on_with, noted
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from orchestrator.core.scheduler.transitions.task_locks import TaskLocks

#: Maximum number of attempts of a worker with agent fallbacks. By then, each agent has been tried.
MOST_ATTEMPTS = 12

#: Seconds until a tool that did not start is started again, one value per attempt. These attempts
#: use no retry of the worker.
PAUSES_SECONDS = (2.0, 5.0, 15.0)


class AgentFallback:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def taken_in(self, job: Job, best: str, instead: str, why: str, now: float) -> None:
        """Record that a job without a fixed agent started with a fallback agent."""
        for worker in self._trees.workers_of(job.id):
            if worker.agent == instead and _may_be_any(worker, self._trees.task_of(worker), job):
                self._emit(job, best, instead, why, now)
                return

    def agent_for(self, worker: Worker, verdict: Verdict, now: float) -> str:
        """Return the agent that replaces the worker's agent; "" if there is none."""
        if verdict.moves or not verdict.login_refused or worker.attempt >= MOST_ATTEMPTS:
            return ""
        if not _may_be_any(worker, self._trees.task_of(worker), self._trees.job_of(worker)):
            return ""
        return self._trees.logins.fallback(worker.agent, now)

    def give(self, worker: Worker, agent: str, verdict: Verdict, now: float) -> None:
        """Replace the agent of a worker that has not started."""
        why = in_its_place(agent, worker.agent, verdict.reason)
        self._unit_of_work.update_worker(worker.key, agent=agent, reason=why)
        self._emit(self._trees.job_of(worker), worker.agent, agent, verdict.reason, now, worker.id)

    def _emit(
        self, job: Job, agent: str, instead: str, why: str, now: float, worker_id: str | None = None
    ) -> None:
        payload = {"agent": agent, "instead": instead, "reason": why}
        self._unit_of_work.emit(EventKind.AGENT_PASSED_OVER, job, now, worker_id, **payload)

    def plans_now(self, planner: Worker, agent: str) -> None:
        """Replace the agent of the job's planner."""
        self._unit_of_work.update_job(
            planner.job_id, plan_source=agent, reason=f"being planned by {agent}"
        )


def in_its_place(agent: str, other: str, why: str) -> str:
    return f"using {agent} instead of {other} ({why})"


def _may_be_any(worker: Worker, task: TaskSpec, job: Job) -> bool:
    """True if the user left the agent open.

    False for candidates, because the other candidates are their fallback.
    """
    if worker.is_reviewer:
        return task.review_by_any
    if worker.is_planner:
        return job.config.planner == AUTO and job.config.agent == AUTO
    return (task.agents or (job.config.agent,)) == (AUTO,)


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

        None if the worker gets no such retry.
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
