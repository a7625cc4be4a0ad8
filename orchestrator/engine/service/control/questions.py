"""The use cases that show a question with the results of its dependencies, and that answer it."""

from collections.abc import Sequence

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.errors import NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.dag import sources
from orchestrator.core.model.human_input import Decision
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports import Store
from orchestrator.core.ports.read_models import AskedQuestion, CompletedDependency
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.control.job_control import check_unfinished
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
        given = worker.question
        if given and (given.decision, given.by, given.comment) == (decision, caller.name, comment):
            # The caller repeats this call, probably because it did not receive the first response.
            return self._access.job(caller, job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            check_unfinished(scheduler, job)
            scheduler.answer(worker.key, decision, caller.name, comment, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def question(self, caller: Caller, job_id: str, task_id: str) -> AskedQuestion:
        """Return a task's question with the results of its dependencies.

        Raise NotFound if the task does not exist or is no question, or if its question has not been
        asked yet.
        """
        self._access.job(caller, job_id)
        worker = self._worker_of_task(job_id, task_id)
        if worker.question is None:
            named = f"task {task_id!r} of job {job_id}"
            if worker.is_question:
                raise NotFound(f"the question of {named} has not been asked yet")
            raise NotFound(f"{named} is not a question")
        tasks, workers = self._store.tasks(job_id), self._store.workers(job_id)
        task = next(each for each in tasks if each.id == task_id)
        made = dependency_results(task, tasks, workers)
        return AskedQuestion(text=task.approve, question=worker.question, made=made)

    def _worker_of_task(self, job_id: str, task_id: str) -> Worker:
        found = [each for each in self._store.workers(job_id) if each.task_id == task_id]
        if not found:
            known = dict.fromkeys(each.task_id for each in self._store.workers(job_id))
            names = ", ".join(list(known)[:10])
            raise NotFound(f"job {job_id} has no task {task_id!r}; its tasks: {names}")
        return found[0]


def dependency_results(
    task: TaskSpec, tasks: Sequence[TaskSpec], workers: Sequence[Worker]
) -> Sequence[CompletedDependency]:
    """Return the results of a question's dependencies, as a basis for the person's decision.

    The result of a dependency is the result of its chosen worker.
    """
    by_id = {each.id: each for each in tasks}
    found = []
    for task_id in sources(by_id, task):
        best = chosen([each for each in workers if each.task_id == task_id])
        if best is not None:
            found.append(CompletedDependency(task_id=task_id, worker=best))
    return found
