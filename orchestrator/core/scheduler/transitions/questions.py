"""Questions of tasks to people: asking, answers, timeouts.

While a task waits for a person, it uses no slot, process, or API key.
"""

import heapq
from dataclasses import replace

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.human_input.question import Decision, Question
from orchestrator.core.model.job import Job, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import WorkerEnd
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers
from orchestrator.core.text.command_name import COMMAND

_STATUSES = {Decision.APPROVE: WorkerStatus.SUCCESS, Decision.REJECT: WorkerStatus.FAILED}


class Questions:
    def __init__(self, trees: JobTrees, running: RunningWorkers, worker_end: WorkerEnd) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._worker_end = worker_end

    def turn(self, now: float) -> None:
        """Ask the questions that are due, and end the questions whose timeout has expired."""
        for key in list(self._trees.to_ask):
            worker = self._unit_of_work.workers.get(key)
            is_pending = worker is not None and worker.status is WorkerStatus.PENDING
            if worker is None or not is_pending or not self._trees.is_ready(worker):
                del self._trees.to_ask[key]
            elif not self._trees.is_paused(worker.job_id):
                del self._trees.to_ask[key]
                self._ask(worker, now)
        while self._trees.questions_due and self._trees.questions_due[0][0] <= now:
            _, key = heapq.heappop(self._trees.questions_due)
            self._time_out(key, now)

    def answer(
        self, worker: Worker, decision: Decision, by: str, comment: str, now: float
    ) -> Worker:
        self._check_open(worker)
        return self._end_question(worker, decision, by, comment, now)

    def restore_timeout(self, worker: Worker) -> None:
        """After a restart, restore the timeout of an open question."""
        if worker.question is not None and worker.status is WorkerStatus.WAITING:
            self._schedule_timeout(worker, worker.question)

    def resumed(self, job_id: str, seconds: float, now: float) -> None:
        """Extend the timeouts of a job's open questions by the length of a pause."""
        for worker in self._trees.workers_of(job_id):
            question = worker.question
            if question is not None and worker.status is WorkerStatus.WAITING:
                due_at = None if question.due_at is None else question.due_at + seconds
                extended = replace(question, due_at=due_at, counted_from=now)
                self._unit_of_work.update_worker(worker.key, question=extended)
                self._schedule_timeout(worker, extended)

    def _ask(self, worker: Worker, now: float) -> None:
        task = self._trees.task_of(worker)
        job = self._running.begin(worker, now)
        due_at = None if task.timeout is None else now + task.timeout
        question = Question(asked_at=now, text=task.approve, due_at=due_at, counted_from=now)
        self._unit_of_work.move_worker(
            worker.key,
            WorkerStatus.WAITING,
            reason=f"waiting for a person: {task.approve}",
            waiting_for=WaitingFor(WaitKind.ANSWER),
            started_at=now,
            question=question,
            result=None,
        )
        self._schedule_timeout(worker, question)
        payload = {"task_id": task.id, "question": task.approve, "due_at": due_at}
        self._unit_of_work.emit(EventKind.QUESTION_ASKED, job, now, worker.id, **payload)

    def _schedule_timeout(self, worker: Worker, question: Question) -> None:
        if question.due_at is not None:
            heapq.heappush(self._trees.questions_due, (question.due_at, worker.key))

    def _time_out(self, key: WorkerKey, now: float) -> None:
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.question is None or worker.status is not WorkerStatus.WAITING:
            return
        due_at = worker.question.due_at
        # After a pause, ``resumed`` extends the timeout, and schedules it again.
        if due_at is not None and due_at <= now and not self._trees.is_paused(worker.job_id):
            decision = Decision(self._trees.task_of(worker).on_timeout or Decision.REJECT)
            self._end_question(worker, decision, "", "", now)

    def _check_open(self, worker: Worker) -> None:
        task_id, job_id = worker.task_id, worker.job_id
        if not worker.is_question:
            raise Conflict(
                f"cannot answer task {task_id!r} of job {job_id}: it has no question; "
                "nothing was changed"
            )
        if worker.question is not None and not worker.question.is_open and worker.status.ended:
            raise Conflict(
                f"task {task_id!r} of job {job_id} is already {worker.question.outcome}; "
                "nothing was changed"
            )
        if worker.status is not WorkerStatus.WAITING or worker.key not in self._trees.unfinished:
            status_text = f"its status is {worker.status}"
            state = status_text if worker.status.ended else "its question is not asked yet"
            raise Conflict(
                f"cannot answer task {task_id!r} of job {job_id}: {state}; nothing was changed; "
                f"show the job: {COMMAND} status {job_id}"
            )

    def _end_question(
        self, worker: Worker, decision: Decision, by: str, comment: str, now: float
    ) -> Worker:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        for each in (job, *self._trees.ancestors(job)):
            self._exclude_wait(each, worker, now)
        question = worker.question or Question(asked_at=now)
        answered = replace(question, decision=decision, by=by, comment=comment, answered_at=now)
        text = f"Question: {task.approve}\nAnswer: {answered.outcome}"
        worker = self._unit_of_work.update_worker(
            worker.key, question=answered, result=WorkerResult(output=text)
        )
        payload: dict[str, object] = {"task_id": task.id, "answer": str(decision), "by": by}
        payload |= {"comment": comment}
        self._unit_of_work.emit(EventKind.QUESTION_ANSWERED, job, now, worker.id, **payload)
        verdict = Verdict(status=_STATUSES[decision], reason=answered.outcome)
        self._worker_end.answered(worker, verdict, now)
        return self._unit_of_work.workers[worker.key]

    def _exclude_wait(self, job: Job, worker: Worker, now: float) -> None:
        """Exclude the wait for a person's answer from the job's wall time.

        ``worker``: the worker with the question. Only the time in which no worker of the job ran is
        excluded.
        """
        question = worker.question
        if question is None or self._trees.slots.running_in(job.id):
            return
        job_ids = self._trees.subtree(job.id)
        ends = (each.ended_at for job_id in job_ids for each in self._trees.workers_of(job_id))
        idle_from = max([question.counted_from, *(end for end in ends if end is not None)])
        idle_seconds = (job.pause.at if job.pause else now) - idle_from
        if idle_seconds > 0:
            seconds = job.paused_seconds + idle_seconds
            self._unit_of_work.update_job(job.id, paused_seconds=seconds)
