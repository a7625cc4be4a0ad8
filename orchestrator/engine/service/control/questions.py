"""The use cases that show a question with the results of its dependencies, and that answer it."""

from collections.abc import Sequence

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.errors import NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.dag import sources
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports import Store
from orchestrator.core.ports.read_models import AskedQuestion, CompletedDependency
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.control.job_control import check_unfinished
from orchestrator.engine.service.queries.job_details import no_such_task
from orchestrator.engine.supervisor.supervisor import Supervisor


class QuestionCalls:
    def __init__(self, supervisor: Supervisor, store: Store, access: Access) -> None:
        self._supervisor = supervisor
        self._store = store
        self._access = access

    def answer(
        self, caller: Caller, job_id: str, task_id: str, decision: Decision, comment: str
    ) -> Job:
        """Answer the question of a task that waits for a person.

        Raise NotFound for an unknown task, and Conflict for a task that does not wait for an
        answer.
        """
        self._access.check_person(caller)
        job = self._access.changeable(caller, job_id)
        worker = self._worker_of_task(job_id, task_id)
        question = worker.question
        if question and (question.decision, question.by, question.comment) == (
            decision,
            caller.name,
            comment,
        ):
            # The caller repeats this call, probably because it did not receive the first response.
            return self._access.job(caller, job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, job)
            scheduler.answer(worker.key, decision, caller.name, comment, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def question(self, caller: Caller, job_id: str, task_id: str) -> AskedQuestion:
        """Return a task's question with the results of its dependencies.

        Raise NotFound if the task does not exist or is not a question, or if the question has not
        been asked yet.
        """
        self._access.job(caller, job_id)
        worker = self._worker_of_task(job_id, task_id)
        if worker.question is None:
            task_name = f"task {task_id!r} of job {job_id}"
            if worker.is_question:
                raise NotFound(
                    f"the question of {task_name} has not been asked yet; list the tasks: "
                    f"{COMMAND} status {job_id}"
                )
            raise NotFound(f"{task_name} is not a question; list open questions: {COMMAND} inbox")
        tasks, workers = self._store.tasks(job_id), self._store.workers(job_id)
        task = next(each for each in tasks if each.id == task_id)
        results = dependency_results(task, tasks, workers)
        return AskedQuestion(text=task.approve, question=worker.question, results=results)

    def _worker_of_task(self, job_id: str, task_id: str) -> Worker:
        workers = self._store.workers(job_id)
        worker = next((each for each in workers if each.task_id == task_id), None)
        if worker is None:
            raise no_such_task(job_id, task_id, (each.task_id for each in workers))
        return worker


def dependency_results(
    task: TaskSpec, tasks: Sequence[TaskSpec], workers: Sequence[Worker]
) -> Sequence[CompletedDependency]:
    """Return the results of a question's dependencies, as a basis for the person's decision.

    The result of a dependency is the result of its chosen worker.
    """
    tasks_by_id = {each.id: each for each in tasks}
    results = []
    for task_id in sources(tasks_by_id, task):
        winner = chosen([each for each in workers if each.task_id == task_id])
        if winner is not None:
            results.append(CompletedDependency(task_id=task_id, worker=winner))
    return results
