"""Runs ended workers again, in an ended or a running job.

A retry runs the unsuccessful workers again. Feedback runs one worker again, even if the worker
succeeded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import FEEDBACK, before
from orchestrator.core.model.human_input.feedback import MOST_ROUNDS, Feedback
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded
from orchestrator.core.outcome.job.unmerged_changes import earlier_parts
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.scheduler.transitions.planning import Planning
from orchestrator.core.text.formatting import plural

#: Makes the parent worker wait for a job again. Arguments: the worker's key, the job's id, and the
#: time.
Attach = Callable[[WorkerKey, str, float], None]


class Reruns:
    def __init__(
        self,
        trees: JobTrees,
        planning: Planning,
        pauses: Pauses,
        job_end: JobEnd,
        attach: Attach,
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._planning = planning
        self._pauses = pauses
        self._job_end = job_end
        self._attach = attach

    def retry(self, job_id: str, by: str, now: float) -> int:
        workers = self._trees.workers_of(job_id)
        succeeded = tasks_succeeded(workers)
        facts = self._unit_of_work.jobs[job_id].facts
        half_done = facts.half_done
        retried = [each for each in workers if not succeeded[each.task_id] or each.id in half_done]
        rejected_ids = facts.refused
        for worker in workers:
            if worker.id in rejected_ids and worker.status.succeeded:
                # A later merge rejection may retry the worker. The worker then has its full number
                # of retries.
                self._unit_of_work.update_worker(worker.key, budget_from=worker.attempt)
        earlier = (
            *facts.earlier_parts,
            *earlier_parts(each for each in retried if each.id in half_done),
        )
        self._rewind_all(retried)
        self._reopen(job_id, by, now, retried=len(retried), earlier_parts=earlier)
        return len(retried)

    def resolve_again(self, job_id: str, by: str, now: float) -> None:
        for worker in self._trees.workers_of(job_id):
            if worker.status.succeeded:
                self._unit_of_work.update_worker(worker.key, budget_from=worker.attempt)
        self._reopen(job_id, by, now, retried=0)

    def retry_worker(self, worker: Worker, by: str, now: float) -> int:
        retried = [worker, *self._skipped_after(worker)]
        self._rewind_all(retried)
        self._run_again(worker.job_id, retried, by, now, retried=len(retried))
        return len(retried)

    def give_feedback(
        self, worker: Worker, feedback: Feedback, agent: str, landed: Sequence[str], now: float
    ) -> None:
        result = worker.result or WorkerResult()
        rounds = (*result.feedback, feedback)[-MOST_ROUNDS:]
        # If this attempt fails and is rolled back, the next attempt starts from the change that the
        # person commented on.
        good = before(worker.attempt + 1)
        result = replace(result, feedback=rounds, good=good, conflicts=(), unresolved=False)
        changes = {"result": result, "agent": agent or worker.agent}
        count = len(feedback.comments)
        comments = plural(count, "comment") if count else "a comment"
        pending_worker = self._rewind(
            worker, FEEDBACK, f"feedback of {feedback.by}: {comments}", **changes
        )
        job = self._trees.job_of(worker)
        payload: dict[str, object] = {"by": feedback.by, "comments": len(feedback.comments)}
        payload |= {"attempt": feedback.attempt, "commit": feedback.commit, "landed": list(landed)}
        self._unit_of_work.emit(EventKind.FEEDBACK_GIVEN, job, now, worker.id, **payload)
        landed_on = tuple(dict.fromkeys((*job.facts.landed_on, *landed)))
        self._run_again(job.id, [pending_worker], feedback.by, now, landed_on=landed_on)

    def _skipped_after(self, worker: Worker) -> Iterator[Worker]:
        plan = self._trees.plans[worker.job_id]
        hopeful = {worker.task_id}
        for task in plan.tasks.values():
            task_workers = [self._unit_of_work.workers[key] for key in plan.workers_of(task.id)]
            skipped = [each for each in task_workers if each.status is WorkerStatus.SKIPPED]
            open_needs = hopeful.intersection(task.depends_on)
            if (
                open_needs
                and skipped
                and all(
                    dependency in hopeful or plan.done(dependency) for dependency in task.depends_on
                )
            ):
                hopeful.add(task.id)
                yield from skipped

    def _run_again(
        self, job_id: str, workers: Sequence[Worker], by: str, now: float, **options: Any
    ) -> None:
        job = self._unit_of_work.jobs[job_id]
        if job.status.ended:
            self._reopen(job_id, by, now, **options)
            return
        facts = replace(job.facts, landed_on=options.get("landed_on", job.facts.landed_on))
        if facts != job.facts:
            self._unit_of_work.update_job(job_id, facts=facts)
        self._trees.reinstall(job, self._plan_progress(job_id), [each.key for each in workers])

    def _reopen(
        self, job_id: str, by: str, now: float, retried: int | None = None, **facts: Any
    ) -> None:
        ended_job = self._unit_of_work.jobs[job_id]
        run, kept = ended_job.run + 1, ended_job.facts
        # Changes that a person included stay included until the person excludes them.
        facts = {"taken": kept.taken, "taken_jobs": kept.taken_jobs, **facts}
        facts = {"landed_on": kept.landed_earlier, **facts}
        job = self._planning.reopen_job(job_id, now, started_at=now, ended_at=None, run=run)
        job = self._unit_of_work.update_job(job_id, facts=replace(job.facts, **facts))
        if retried is not None:
            payload: dict[str, Any] = {"by": by, "workers": retried, "run": run}
            self._unit_of_work.emit(EventKind.JOB_RETRIED, job, now, **payload)
        self._unit_of_work.emit(EventKind.JOB_REOPENED, job, now, by=by, run=run)
        if job.pause is not None:
            self._pauses.emit_paused(job, job.pause, job.pause.running, now)
        self._trees.install(job, self._plan_progress(job_id))
        self._trees.watch_wall_time(job)
        # A person may have changed the job's limit on workers.
        self._trees.slots.add_job(job, self._trees.ancestors(job))
        if job.parent_key is not None:
            self._attach(job.parent_key, job_id, now)
        self._job_end.check_job(job_id, now)

    def _plan_progress(self, job_id: str) -> PlanProgress:
        tasks = list(self._trees.plans[job_id].tasks.values())
        return PlanProgress(tasks, self._trees.workers_of(job_id))

    def _rewind_all(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            self._rewind(worker, "", "")

    def _rewind(self, worker: Worker, failure: str, reason: str, **changes: Any) -> Worker:
        return self._unit_of_work.move_worker(
            worker.key,
            WorkerStatus.PENDING,
            reason=reason,
            failure=failure,
            budget_from=worker.attempt,
            not_before=0.0,
            ended_at=None,
            cancelled_by=None,
            **changes,
        )
