"""Pauses of one job, or of all jobs. Nothing new starts in a paused job until it resumes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.scheduler_commands import Stop
from orchestrator.core.outcome.job.reason import budget_command, reason_of
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.questions import Questions
from orchestrator.core.text.command_name import COMMAND


class Pauses:
    def __init__(self, trees: JobTrees, questions: Questions) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._questions = questions

    def pause(self, job_id: str, by: str, running: RunningMode, now: float) -> None:
        pause = Pause(at=now, by=by, running=running, job_id=job_id)
        self._pause_each(self._trees.subtree(job_id), pause, now)

    def pause_all(self, by: str, running: RunningMode, now: float) -> Pause:
        pause = Pause(at=now, by=by, running=running, cause=PauseCause.EVERYTHING)
        server_pause = self._trees.pause
        if server_pause is not None:
            pause = replace(server_pause, running=_stronger(server_pause.running, running))
        self._set_server_pause(pause)
        for root_id in self._trees.roots:
            self._pause_each(self._trees.subtree(root_id), pause, now)
        return pause

    def resume(self, job_id: str, by: str, now: float) -> None:
        pause = self._unit_of_work.jobs[job_id].pause
        if pause is not None and pause.cause is PauseCause.LIMIT:
            raise Conflict(
                f"cannot resume job {job_id}: it reached {pause.by}; raise the "
                f"limit: {budget_command(pause)}; or stop the job: {COMMAND} cancel {pause.job_id}"
            )
        if pause is not None and pause.cause is PauseCause.EVERYTHING:
            raise Conflict(
                f"cannot resume job {job_id} alone: key {pause.by!r} paused all jobs; resume all "
                f"jobs: {COMMAND} resume --all"
            )
        self._resume_each(self._trees.subtree(job_id), by, now)

    def impose(self, pause: Pause, now: float) -> None:
        """Pause a job and its descendants without a person's request, for example at a limit."""
        self._pause_each(self._trees.subtree(pause.job_id), pause, now)

    def lift(self, job_id: str, by: str, now: float) -> None:
        """End every pause of a job and of its descendants, except a pause of all jobs."""
        self._resume_each(self._trees.subtree(job_id), by, now)

    def resume_all(self, by: str, now: float) -> None:
        """End the pause of all jobs. Idempotent.

        A job stays paused if a limit or a person has paused the job or an ancestor job.
        """
        self._set_server_pause(None)
        for root_id in self._trees.roots:
            paused_ids = (
                each
                for each in self._trees.subtree(root_id)
                if (pause := self._unit_of_work.jobs[each].pause)
                and pause.cause is PauseCause.EVERYTHING
            )
            self._resume_each(paused_ids, by, now)

    def with_inherited_pause(self, job: Job, now: float) -> Job:
        """Pause ``job`` at its start if its parent job or all jobs are paused. Return the job."""
        pause = self._trees.inherited_pause(job)
        if pause is None:
            return job
        job = changed(job, pause=replace(pause, at=now))
        return changed(job, reason=reason_of(job))

    def emit_paused(self, job: Job, pause: Pause, running: RunningMode, now: float) -> None:
        payload = {"by": pause.by, "running": str(running)}
        self._unit_of_work.emit(EventKind.JOB_PAUSED, job, now, **payload)

    def stop_if_paused(self, worker: Worker) -> None:
        """Stop the worker's attempt if its job has a pause that stops running attempts.

        Call this after a restart, and when a preloaded attempt has begun.
        """
        pause = self._trees.job_of(worker).pause
        if pause is not None and pause.stops and worker.cancelled_by is None:
            self._stop_attempt(worker, pause)

    def _set_server_pause(self, pause: Pause | None) -> None:
        if pause != self._trees.pause:
            self._trees.pause = pause
            self._unit_of_work.note_pause(pause)

    def _pause_each(self, job_ids: Iterable[str], pause: Pause, now: float) -> None:
        for job_id in job_ids:
            job = self._unit_of_work.jobs[job_id]
            if job.status.ended or job.stop_cause is not None:
                continue
            combined = _combined(job.pause, pause)
            if combined != job.pause:
                self._set_pause(job, now, combined)
                self.emit_paused(job, pause, combined.running, now)
            self._hold_workers(job_id, combined)

    def _hold_workers(self, job_id: str, pause: Pause) -> None:
        for worker in self._trees.workers_of(job_id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is None:
                continue
            # Let other workers acquire the locks that this worker waits for.
            self._trees.locks.step_back(worker.key)
            if pause.stops and unfinished.alive and not unfinished.stopping:
                self._stop_attempt(worker, pause)

    def _stop_attempt(self, worker: Worker, pause: Pause) -> None:
        self._trees.unfinished[worker.key].stopping = True
        by, cause = f"the pause by key {pause.by!r}", ExitCause.PAUSED
        stop = Stop(worker.key, worker.attempt, EndedBy.CANCEL, by, cause)
        self._trees.commands.append(stop)

    def _resume_each(self, job_ids: Iterable[str], by: str, now: float) -> None:
        for job_id in job_ids:
            job = self._unit_of_work.jobs[job_id]
            if job.pause is None or job.stop_cause is not None:
                continue
            server_pause = self._trees.pause
            job = self._set_pause(job, now, replace(server_pause, at=now) if server_pause else None)
            self._let_finish(job)
            if job.pause is None:
                self._unit_of_work.emit(EventKind.JOB_RESUMED, job, now, by=by)
                self._trees.watch_wall_time(job)
            else:
                self._hold_workers(job_id, job.pause)

    def _let_finish(self, job: Job) -> None:
        """Clear the stop marks that a pause set on workers.

        A worker whose attempt is already being stopped then runs again after the attempt's end.
        """
        for worker in self._trees.workers_of(job.id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is not None:
                unfinished.stopping = worker.cancelled_by is not None

    def discount_approval(self, job: Job, now: float) -> None:
        """Exclude the job's wait for approval from the job's wall time.

        Only the time in which the job did nothing else is excluded.
        """
        since = self._trees.waits_for_approval_since(job)
        seconds = 0.0 if since is None else (job.pause.at if job.pause else now) - since
        if seconds > 0:
            paused_seconds = job.paused_seconds + seconds
            self._unit_of_work.update_job(job.id, paused_seconds=paused_seconds)

    def _set_pause(self, job: Job, now: float, pause: Pause | None) -> Job:
        fields: dict[str, Any] = {"pause": pause}
        if job.pause is not None and (pause is None or pause.at != job.pause.at):
            self._questions.resumed(job.id, now - job.pause.at, now)
            since = self._trees.waits_for_approval_since(job)
            # ``discount_approval`` will exclude the time after ``since``, so exclude only the time
            # before.
            seconds = (now if since is None else since) - job.pause.at
            fields["paused_seconds"] = job.paused_seconds + max(0.0, seconds)
        changed_job = changed(job, **fields)
        return self._unit_of_work.update_job(job.id, **fields, reason=reason_of(changed_job))


def _stronger(one: RunningMode, other: RunningMode) -> RunningMode:
    return RunningMode.STOP if RunningMode.STOP in (one, other) else RunningMode.FINISH


def _combined(current: Pause | None, requested: Pause) -> Pause:
    """Return one pause that combines a job's present pause, if any, and a new pause.

    The combined pause has the start of the present pause. It stops running attempts if one of the
    two pauses stops them. All other fields, such as the cause, come from the present pause.
    Exception: these fields come from the new pause if only the new pause has the cause ``PERSON``.
    """
    if current is None:
        return requested
    running = _stronger(current.running, requested.running)
    if requested.cause is PauseCause.PERSON and current.cause is not PauseCause.PERSON:
        return replace(requested, at=current.at, running=running)
    return replace(current, running=running)
