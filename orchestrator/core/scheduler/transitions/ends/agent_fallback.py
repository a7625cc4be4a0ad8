"""Agent fallback: another agent for a worker without a fixed agent, after a failed login."""

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.retry_policy import MOST_ATTEMPTS, fallback_reason
from orchestrator.core.scheduler.state.job_trees import JobTrees


class AgentFallback:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def record_fallback(self, job: Job, best: str, instead: str, why: str, now: float) -> None:
        for worker in self._trees.workers_of(job.id):
            if worker.agent == instead and _may_be_any(worker, self._trees.task_of(worker), job):
                self._emit(job, best, instead, why, now)
                return

    def agent_for(self, worker: Worker, verdict: Verdict, now: float) -> str:
        """Return the agent that replaces the worker's agent; "" if no agent replaces it."""
        if verdict.moves or not verdict.login_refused or worker.attempt >= MOST_ATTEMPTS:
            return ""
        if not _may_be_any(worker, self._trees.task_of(worker), self._trees.job_of(worker)):
            return ""
        return self._trees.logins.fallback(worker.agent, now)

    def replace_agent(self, worker: Worker, agent: str, verdict: Verdict, now: float) -> None:
        reason = fallback_reason(agent, worker.agent, verdict.reason)
        self._unit_of_work.update_worker(worker.key, agent=agent, reason=reason)
        self.record_handover(worker, agent, verdict.reason, now)

    def record_handover(self, worker: Worker, agent: str, why: str, now: float) -> None:
        """Emit the event that ``agent`` replaces the worker's agent."""
        self._emit(self._trees.job_of(worker), worker.agent, agent, why, now, worker.id)

    def _emit(
        self, job: Job, agent: str, instead: str, why: str, now: float, worker_id: str | None = None
    ) -> None:
        payload = {"agent": agent, "instead": instead, "reason": why}
        self._unit_of_work.emit(EventKind.AGENT_PASSED_OVER, job, now, worker_id, **payload)

    def set_planner(self, planner: Worker, agent: str) -> None:
        self._unit_of_work.update_job(
            planner.job_id, plan_source=agent, reason=f"being planned by {agent}"
        )


def _may_be_any(worker: Worker, task: TaskSpec, job: Job) -> bool:
    """True if the user named no agent for the worker, so that any agent may replace its agent.

    False for a candidate, because other candidates can still complete its task.
    """
    if worker.is_reviewer:
        return task.review_by_any
    if worker.is_planner:
        return job.config.planner == AUTO and job.config.agent == AUTO
    return (task.agents or (job.config.agent,)) == (AUTO,)
