"""Decisions of people about a job: approval of its plan, questions of its tasks, pauses.

Nothing new starts in a paused job until it resumes. Tasks that wait for a person hold no slot, no
process, and no API key.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.command_name import COMMAND
from orchestrator.core.errors import Conflict, OutdatedPlan
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input import Decision, Pause, PauseCause, Question, RunningMode
from orchestrator.core.model.job import NO_PLAN, Job, TaskSpec, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.job_facts import NO_FACTS, PlanFallback
from orchestrator.core.model.states import JobStatus, MergeState, WaitKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.job.reason import budget_command, paused, reason_of
from orchestrator.core.scheduler.commands import Stop
from orchestrator.core.scheduler.dag import PlanProgress, planning_task
from orchestrator.core.scheduler.planned_job import held_for_approval
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import changed
from orchestrator.core.scheduler.transitions.finish import Completion
from orchestrator.core.scheduler.transitions.worker_start import RunningWorkers

_STATUSES = {Decision.APPROVE: WorkerStatus.SUCCESS, Decision.REJECT: WorkerStatus.FAILED}


class Questions:
    def __init__(self, trees: JobTrees, running: RunningWorkers, completion: Completion) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._completion = completion

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

    @property
    def next_time(self) -> float | None:
        """Return when the next timeout of a question expires."""
        return self._trees.questions_due[0][0] if self._trees.questions_due else None

    def answer(
        self, worker: Worker, decision: Decision, by: str, comment: str, now: float
    ) -> Worker:
        """End an open question with a person's answer.

        Raise Conflict if the worker has no open question.
        """
        self._check_open(worker)
        return self._end(worker, decision, by, comment, now)

    def found(self, worker: Worker) -> None:
        """Watch the timeout of an open question again, after a restart."""
        if worker.question is not None and worker.status is WorkerStatus.WAITING:
            self._watch(worker, worker.question)

    def resumed(self, job_id: str, seconds: float, now: float) -> None:
        """Extend the timeouts of a job's open questions by the length of a pause."""
        for worker in self._trees.workers_of(job_id):
            found = worker.question
            if found is not None and worker.status is WorkerStatus.WAITING:
                due_at = None if found.due_at is None else found.due_at + seconds
                question = replace(found, due_at=due_at, counted_from=now)
                self._unit_of_work.update_worker(worker.key, question=question)
                self._watch(worker, question)

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
        self._watch(worker, question)
        payload = {"task_id": task.id, "question": task.approve, "due_at": due_at}
        self._unit_of_work.emit(EventKind.QUESTION_ASKED, job, now, worker.id, **payload)

    def _watch(self, worker: Worker, question: Question) -> None:
        if question.due_at is not None:
            heapq.heappush(self._trees.questions_due, (question.due_at, worker.key))

    def _time_out(self, key: WorkerKey, now: float) -> None:
        worker = self._unit_of_work.workers.get(key)
        if worker is None or worker.question is None or worker.status is not WorkerStatus.WAITING:
            return
        due_at = worker.question.due_at
        # The end of the pause extends the timeout, and watches the question again.
        if due_at is not None and due_at <= now and not self._trees.is_paused(worker.job_id):
            decision = Decision(self._trees.task_of(worker).on_timeout or Decision.REJECT)
            self._end(worker, decision, "", "", now)

    def _check_open(self, worker: Worker) -> None:
        task_id, job_id = worker.task_id, worker.job_id
        if not worker.is_question:
            raise Conflict(f"task {task_id!r} of job {job_id} has no question; nothing was changed")
        if worker.question is not None and not worker.question.is_open and worker.status.ended:
            raise Conflict(f"task {task_id!r} is already {worker.question.outcome}")
        if worker.status is not WorkerStatus.WAITING or worker.key not in self._trees.unfinished:
            state = worker.status if worker.status.ended else "not asked yet"
            raise Conflict(
                f"task {task_id!r} of job {job_id} does not wait for an answer ({state}); show the "
                f"job: {COMMAND} status {job_id}"
            )

    def _end(self, worker: Worker, decision: Decision, by: str, comment: str, now: float) -> Worker:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        for each in (job, *self._trees.ancestors(job)):
            self._discount(each, worker, now)
        asked = worker.question or Question(asked_at=now)
        question = replace(asked, decision=decision, by=by, comment=comment, answered_at=now)
        text = f"Question: {task.approve}\nAnswer: {question.outcome}"
        worker = self._unit_of_work.update_worker(
            worker.key, question=question, result=WorkerResult(output=text)
        )
        payload: dict[str, object] = {"task_id": task.id, "answer": str(decision), "by": by}
        payload |= {"comment": comment}
        self._unit_of_work.emit(EventKind.QUESTION_ANSWERED, job, now, worker.id, **payload)
        verdict = Verdict(status=_STATUSES[decision], reason=question.outcome)
        self._completion.answered(worker, verdict, now)
        return self._unit_of_work.workers[worker.key]

    def _discount(self, job: Job, worker: Worker, now: float) -> None:
        """Exclude from the job's wall time the time in which it waited only for a person."""
        question = worker.question
        if question is None or self._trees.slots.running_in(job.id):
            return
        below = self._trees.subtree(job.id)
        ends = (each.ended_at for job_id in below for each in self._trees.workers_of(job_id))
        idle_from = max([question.counted_from, *(end for end in ends if end is not None)])
        idle = (job.pause.at if job.pause else now) - idle_from
        if idle > 0:
            seconds = job.paused_seconds + idle
            self._unit_of_work.update_job(job.id, paused_seconds=seconds)


class Pauses:
    def __init__(self, trees: JobTrees, questions: Questions) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._questions = questions

    def pause(self, job_id: str, by: str, running: RunningMode, now: float) -> None:
        """Pause a job and its descendants. Idempotent.

        ``running`` decides whether running attempts finish or stop.
        """
        pause = Pause(at=now, by=by, running=running, job_id=job_id)
        self._pause_each(self._trees.subtree(job_id), pause, now)

    def pause_all(self, by: str, running: RunningMode, now: float) -> None:
        """Pause every job, and every job that is submitted until ``resume_all``. Idempotent."""
        pause = Pause(at=now, by=by, running=running, cause=PauseCause.EVERYTHING)
        before = self._trees.pause
        if before is not None:
            pause = replace(before, running=_stronger(before.running, running))
        self._set_server_pause(pause)
        for root_id in self._trees.roots:
            self._pause_each(self._trees.subtree(root_id), pause, now)

    def resume(self, job_id: str, by: str, now: float) -> None:
        """Let a job and its descendants continue. Idempotent.

        Raise Conflict during ``pause_all``. The job's own pause ends even in this case.
        """
        pause = self._unit_of_work.jobs[job_id].pause
        if pause is not None and pause.cause is PauseCause.LIMIT:
            raise Conflict(
                f"job {job_id} has reached {pause.by}; raise the limit: "
                f"{budget_command(pause)}; or stop the job: {COMMAND} cancel {pause.job_id}"
            )
        if pause is not None and pause.cause is PauseCause.EVERYTHING:
            raise Conflict(
                f"all jobs are paused by {pause.by}; to resume all jobs, including job {job_id}: "
                f"{COMMAND} resume --all"
            )
        self._resume_each(self._trees.subtree(job_id), by, now)

    def impose(self, pause: Pause, now: float) -> None:
        """Pause a job and its descendants without a request of a person."""
        self._pause_each(self._trees.subtree(pause.job_id), pause, now)

    def lift(self, job_id: str, by: str, now: float) -> None:
        """End the pause of a job and its descendants, whatever its cause."""
        self._resume_each(self._trees.subtree(job_id), by, now)

    def resume_all(self, by: str, now: float) -> None:
        """End the pause of all jobs. Idempotent.

        Jobs that were also paused themselves stay paused.
        """
        self._set_server_pause(None)
        for root_id in self._trees.roots:
            paused = (
                each
                for each in self._trees.subtree(root_id)
                if self._cause_of(each) is PauseCause.EVERYTHING
            )
            self._resume_each(paused, by, now)

    def begun(self, job: Job, now: float) -> Job:
        """Return a starting job with the pause that applies to it, if any."""
        above = self._unit_of_work.jobs[job.parent_job_id].pause if job.parent_job_id else None
        pause = above or self._trees.pause
        if pause is None:
            return job
        job = changed(job, pause=replace(pause, at=now))
        return changed(job, reason=reason_of(job))

    def stop_again(self, worker: Worker) -> None:
        """Stop the worker's attempt again after a restart, if the pause stops attempts."""
        pause = self._trees.job_of(worker).pause
        if pause is not None and pause.stops and worker.cancelled_by is None:
            self._stop(worker, pause)

    def _set_server_pause(self, pause: Pause | None) -> None:
        if pause != self._trees.pause:
            self._trees.pause = pause
            self._unit_of_work.note_pause(pause)

    def _cause_of(self, job_id: str) -> PauseCause | None:
        pause = self._unit_of_work.jobs[job_id].pause
        return pause.cause if pause else None

    def _pause_each(self, job_ids: Iterable[str], pause: Pause, now: float) -> None:
        for job_id in job_ids:
            job = self._unit_of_work.jobs[job_id]
            if job.status.ended or job.stop_cause is not None:
                continue
            mine = _combined(job.pause, pause)
            if mine != job.pause:
                self._set(job, now, mine)
                payload = {"by": pause.by, "running": str(mine.running)}
                self._unit_of_work.emit(EventKind.JOB_PAUSED, job, now, **payload)
            self._hold_workers(job_id, mine)

    def _hold_workers(self, job_id: str, pause: Pause) -> None:
        for worker in self._trees.workers_of(job_id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is None:
                continue
            # Let other workers acquire the locks that this worker waits for.
            self._trees.locks.step_back(worker.key)
            if pause.stops and unfinished.alive and not unfinished.stopping:
                self._stop(worker, pause)

    def _stop(self, worker: Worker, pause: Pause) -> None:
        self._trees.unfinished[worker.key].stopping = True
        by, cause = f"the pause by key {pause.by}", ExitCause.PAUSED
        stop = Stop(worker.key, worker.attempt, EndedBy.CANCEL, by, cause)
        self._trees.commands.append(stop)

    def _resume_each(self, job_ids: Iterable[str], by: str, now: float) -> None:
        for job_id in job_ids:
            job = self._unit_of_work.jobs[job_id]
            if job.pause is None or job.stop_cause is not None:
                continue
            everything = self._trees.pause
            job = self._set(job, now, replace(everything, at=now) if everything else None)
            self._let_finish(job)
            if job.pause is None:
                self._unit_of_work.emit(EventKind.JOB_RESUMED, job, now, by=by)
                self._trees.watch_wall_time(job)
            else:
                self._hold_workers(job_id, job.pause)

    def _let_finish(self, job: Job) -> None:
        """Withdraw the stops of attempts that a pause requested.

        If an attempt is already ending, its worker runs again.
        """
        for worker in self._trees.workers_of(job.id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is not None:
                unfinished.stopping = worker.cancelled_by is not None

    def _set(self, job: Job, now: float, pause: Pause | None) -> Job:
        """Replace a job's pause. The seconds of the former pause do not count as wall time."""
        fields: dict[str, Any] = {"pause": pause}
        if job.pause is not None and (pause is None or pause.at != job.pause.at):
            seconds = now - job.pause.at
            fields["paused_seconds"] = job.paused_seconds + seconds
            self._questions.resumed(job.id, seconds, now)
        paused = changed(job, **fields)
        return self._unit_of_work.update_job(job.id, **fields, reason=reason_of(paused))


def _stronger(one: RunningMode, other: RunningMode) -> RunningMode:
    return RunningMode.STOP if RunningMode.STOP in (one, other) else RunningMode.FINISH


def _combined(present: Pause | None, asked: Pause) -> Pause:
    """Return the pause of a job that is paused again. It keeps the start time of the first pause.

    A pause of all jobs does not replace a person's pause of one job.
    """
    if present is None:
        return asked
    running = _stronger(present.running, asked.running)
    if asked.cause is PauseCause.PERSON and present.cause is not PauseCause.PERSON:
        return replace(asked, at=present.at, running=running)
    return replace(present, running=running)


def planning_plan(planner: Worker) -> PlanProgress:
    """Return the plan of a job that has no tasks yet. Its only task is the planner's."""
    return PlanProgress((planning_task(planner),), (planner,))


def plan_of(
    tasks: Sequence[TaskSpec], workers: Sequence[Worker], planner: Worker | None
) -> PlanProgress:
    """Return the plan's progress from stored tasks and workers."""
    return planning_plan(planner) if planner and not tasks else PlanProgress(tasks, workers)


class PlanApproval:
    """Planning: a job's planner, its plan, and the approval of the plan.

    A job without tasks has a plan with one task, which one worker runs: the planner. The planner is
    not in the job's list of workers. All rules for workers apply to it: slots, timeouts, retries,
    stops, and restarts.
    """

    def __init__(self, trees: JobTrees, completion: Completion, pauses: Pauses) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._completion = completion
        self._pauses = pauses

    def awaited(self, job_id: str) -> bool:
        """True if the job's planner has ended, but its tasks are not added yet."""
        return job_id in self._completion.planning

    def is_rendering(self, job_id: str) -> bool:
        """True if all workers of the job have ended, and the job is being merged and reported."""
        return job_id in self._completion.rendering

    def planner(self, job_id: str) -> Worker:
        """Return the job's planner. Raise KeyError for a job without a planner."""
        return self._unit_of_work.workers[self._trees.planners[job_id]]

    def taken(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        source: str,
        reason: str,
        now: float,
    ) -> None:
        """Add the job's tasks from its plan.

        ``source``: the planner. ``reason``: why it is not the requested planner.
        """
        self._completion.planning.discard(job_id)
        planner, facts = self.planner(job_id), self._unit_of_work.jobs[job_id].facts
        fallback = PlanFallback(agent=planner.agent, reason=reason) if reason else None
        facts = replace(facts, plan_error="", plan_fallback=fallback)
        why = paused(self._unit_of_work.jobs[job_id])
        job = self._unit_of_work.update_job(job_id, plan_source=source, reason=why, facts=facts)
        self._unit_of_work.add_tasks(job, tasks, workers)
        self._count_in_parent(job, len(workers))
        count = len(tasks)
        payload: dict[str, object] = {"source": source, "tasks": count, "reason": reason}
        if reason:
            payload["fallback_from"] = planner.agent
        self._unit_of_work.emit(EventKind.JOB_PLANNED, job, now, None, **payload)
        if job.config.approve:
            job = self._unit_of_work.update_job(job_id, **held_for_approval(job))
        else:
            job = self._unit_of_work.move_job(job_id, JobStatus.PENDING)
        self._trees.install(job, PlanProgress(tasks, workers))
        self._completion.check_job(job_id, now)

    def _count_in_parent(self, job: Job, workers: int) -> None:
        if job.parent_key is not None:
            parent = self._unit_of_work.workers[job.parent_key]
            self._unit_of_work.update_worker(
                parent.key, child_workers=parent.child_workers + workers
            )

    def impossible(self, job_id: str, reason: str, now: float) -> None:
        """End a job without tasks, because no plan is possible."""
        facts = replace(self._unit_of_work.jobs[job_id].facts, plan_error=reason)
        job = self._unit_of_work.update_job(job_id, plan_source=NO_PLAN, reason=reason, facts=facts)
        self._completion.end_job(job, now)

    def approve(self, job_id: str, by: str, now: float, comment: str) -> None:
        """Start the tasks of a planned job.

        Raise Conflict if the job does not wait for approval.
        """
        self.check_waits(job_id)
        job = self._unit_of_work.move_job(
            job_id,
            JobStatus.PENDING,
            awaits_approval=False,
            reason=paused(self._unit_of_work.jobs[job_id]),
        )
        payload = {"by": by, **({"comment": comment} if comment else {})}
        self._unit_of_work.emit(EventKind.JOB_APPROVED, job, now, None, **payload)
        self._trees.queue_ready(job_id)

    def edit(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        by: str,
        now: float,
    ) -> None:
        """Replace the plan that waits for approval. Call ``check_version`` first."""
        before = list(self._trees.plans[job_id].workers)
        for key in before:
            self._trees.locks.forgo(key)
            del self._trees.unfinished[key]
        version = self._unit_of_work.jobs[job_id].plan_version + 1
        job = self._unit_of_work.update_job(job_id, plan_version=version)
        self._unit_of_work.replace_plan(job, before, tasks, workers)
        self._count_in_parent(job, len(workers) - len(before))
        payload: dict[str, object] = {"by": by, "version": version, "tasks": len(tasks)}
        self._unit_of_work.emit(EventKind.PLAN_EDITED, job, now, None, **payload)
        self._trees.install(job, PlanProgress(tasks, workers))

    def check_version(self, job_id: str, version: int) -> None:
        """Raise Conflict if the job does not wait for approval, or its plan has another version."""
        self.check_waits(job_id)
        present = self._unit_of_work.jobs[job_id].plan_version
        if version != present:
            raise OutdatedPlan(
                f"the plan of job {job_id} has version {present}, not {version}; read it again, "
                "and repeat the edit",
                version=present,
            )

    def check_waits(self, job_id: str) -> None:
        """Raise Conflict if the job does not wait for approval."""
        job = self._unit_of_work.jobs.get(job_id)
        if job is None or job.stop_cause or not self._trees.waits_for_approval(job):
            raise Conflict(f"job {job_id} is not waiting for approval")

    def begin_again(self, job_id: str, now: float, **changes: object) -> Job:
        """Return an ended job to the phase in which it continues: planning, or its tasks."""
        job, plan = self._unit_of_work.jobs[job_id], self._trees.plans[job_id]
        status, changes = JobStatus.RUNNING, {**changes, **_NOTHING_ENDED}
        if plan.planner is not None:
            agent = self._unit_of_work.workers[plan.planner].agent
            status, changes["plan_source"] = JobStatus.PLANNING, agent
        elif job.facts.plan_fallback:
            # The planner ``rules`` has created the tasks as a fallback, and the tasks stay.
            changes["facts"] = replace(NO_FACTS, plan_fallback=job.facts.plan_fallback)
        if plan.planner is None and self._awaits_approval_again(job):
            status = JobStatus.PLANNING
            changes |= held_for_approval(changed(job, **changes))
        job = self._unit_of_work.move_job(job_id, status, **changes)
        begun = self._pauses.begun(job, now)
        if begun is job:
            return job
        return self._unit_of_work.update_job(job_id, pause=begun.pause, reason=begun.reason)

    def _awaits_approval_again(self, job: Job) -> bool:
        return job.config.approve and not any(map(_was_started, self._trees.workers_of(job.id)))


#: The fields that describe a job's end, with their values while the job runs.
_NOTHING_ENDED: Mapping[str, object] = {
    "reason": "",
    "cancelled_by": None,
    "stop_cause": None,
    "paused_seconds": 0.0,
    "merge_state": MergeState.NONE,
    "facts": NO_FACTS,
}


def _was_started(worker: Worker) -> bool:
    return worker.attempt > 0
