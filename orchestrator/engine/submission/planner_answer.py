"""Checks the plan in a planning agent's answer, and creates the job's tasks from the plan."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from orchestrator.core.errors import Deadlock, InvalidRequest
from orchestrator.core.model import dag
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.job import RULES, Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.ports import Planner
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.submission.job_creation import SubmissionBuilder, check_tasks

if TYPE_CHECKING:
    from orchestrator.schemas.agent_output.plan import Plan

#: Usual maximum number of tasks, which a planner's prompt states. A planner must confirm a plan
#: with more than twice this number of tasks.
USUAL_TASKS = 7
#: Maximum characters of a request that a suggested command contains. No command is suggested for a
#: longer request, or for a request with several lines.
_MOST_REQUEST = 200


class AgentPlans:
    def __init__(
        self, scheduler: Scheduler, submission_builder: SubmissionBuilder, rules: Planner
    ) -> None:
        self._scheduler = scheduler
        self._submission_builder = submission_builder
        self._rules = rules

    def checked(self, planner: Worker, evidence: Evidence) -> Evidence:
        """Check a planner's answer. Return ``evidence`` with the plan as the output.

        If the answer has no valid plan, the evidence has an error. Any thread may call.
        """
        if evidence.error_class is not ErrorClass.NONE or evidence.claimed_success is False:
            return evidence
        evidence = replace(evidence, files_created=(), files_changed=False)
        job = self._scheduler.view.jobs[planner.job_id]
        try:
            plan = checked_plan(evidence.output)
            self._submission_builder.workers_for_plan(self._scheduler, job, plan.to_tasks())
            self._check_number_of_tasks(planner, len(plan.tasks), job.request)
        except InvalidRequest as error:
            return evidence.with_rejected("plan", error.message)
        return replace(evidence, output=json.dumps(plan.model_dump(mode="json"), indent=1))

    def _check_number_of_tasks(self, planner: Worker, task_count: int, request: str) -> None:
        """Raise InvalidRequest if a planner's first plan has more than twice the usual tasks.

        The planner must then confirm the plan, or create a smaller plan. The usual number of tasks
        is the larger of two numbers: ``USUAL_TASKS``, and the number of tasks that the rules find
        in ``request``. ``task_count``: number of tasks of the plan.
        """
        usual_tasks = max(USUAL_TASKS, len(self._rules.plan(request)))
        if planner.attempt == 1 and task_count > 2 * usual_tasks:
            raise InvalidRequest(
                f"the plan has {task_count} tasks. Make fewer and larger tasks, 3 to "
                f"{USUAL_TASKS}. If the request itself asks for {task_count} tasks, answer with "
                "the same plan again"
            )

    def adopt(self, job_id: str, now: float) -> None:
        """Create a job's tasks from the plan of its ended planner. Idempotent.

        If there is no valid plan, the built-in rules create the tasks. Exception: if the job's
        setting ``planner`` names an agent, the job fails. Only the supervisor's thread may call
        this method.
        """
        view, reason = self._scheduler.view, ""
        if not view.awaits_plan(job_id):
            return
        job, planner = view.jobs[job_id], view.planner_of(job_id)
        refused_logins = view.logins_refused(now)
        if not planner.status.succeeded:
            reason = f"{planner.agent} created no plan: {planner.reason}"
        for source, make_tasks in self._possible_plans(job, planner):
            try:
                tasks = make_tasks()
                check_tasks(tasks)
                workers = self._submission_builder.workers_for_plan(
                    self._scheduler, job, tasks, refused_logins
                )
                self._scheduler.check_locks(job, tasks)
            except (InvalidRequest, Deadlock) as error:
                reason = f"the plan of {source} is invalid: {error.message}"
            else:
                self._scheduler.plan_adopted(job_id, tasks, workers, source, reason, now)
                self._submission_builder.choice.record_fallback(self._scheduler, job, now)
                return
        self._scheduler.plan_impossible(job_id, f"{reason}; {_next_command(job)}", now)

    def _possible_plans(
        self, job: Job, planner: Worker
    ) -> Iterator[tuple[str, Callable[[], Sequence[TaskSpec]]]]:
        text = planner.result.output if planner.result else ""
        if planner.status.succeeded:
            yield planner.agent, lambda: _plan_in(text).to_tasks()
        if job.config.planner == AUTO:
            yield RULES, lambda: tuple(self._rules.plan(job.request))


def _plan_in(text: str) -> "Plan":
    # Import this when it is needed, because few jobs have planners.
    from orchestrator.schemas.agent_output.plan import plan_in

    return plan_in(text)


def checked_plan(text: str) -> "Plan":
    """Return the plan in ``text``, a planner's answer. Raise InvalidRequest for an invalid plan."""
    plan = _plan_in(text)
    tasks = plan.to_tasks()
    dag.check(tasks)
    dag.check_overlaps(tasks)
    return plan


def _next_command(job: Job) -> str:
    text = f"no task was started; retry: {COMMAND} retry {job.id}"
    request = job.request
    if not job.is_root or len(request) > _MOST_REQUEST or not request.isprintable():
        return text
    # Put the command at the end, because the request in the command may contain any character.
    command = f"{COMMAND} run --planner {RULES} {quote(request)}"
    return f"{text}; or let the rules split the request: {command}"
