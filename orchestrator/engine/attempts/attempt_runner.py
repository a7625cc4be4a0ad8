"""Executes the scheduler's commands to start and stop attempts, and reports the attempts' ends."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.findings import FinishedRun
from orchestrator.core.gates.gate import Gate
from orchestrator.core.lazy_dataclass import changed, dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.job import Attempt, TaskSpec, Worker
from orchestrator.core.model.scheduler_commands import (
    CreateContext,
    SetWaiting,
    Start,
    Stop,
    WithdrawLaunch,
)
from orchestrator.core.outcome.shortage_errors import NO_ROOM, is_full_disk, is_shortage
from orchestrator.core.ports import Assignment, Workspace
from orchestrator.core.ports.launcher import Launch, Launcher
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.assignment import AssignmentBuilder
from orchestrator.engine.attempts.attempt_gates import AttemptGates
from orchestrator.engine.attempts.evidence_reader import EvidenceReader, evidence_of_error
from orchestrator.engine.attempts.launch_preparation import (
    IssuedCredentials,
    LaunchPreparation,
    RunningAttempt,
)
from orchestrator.engine.attempts.shared_context_runs import SharedContextRuns
from orchestrator.engine.gates.gate_process import GateProcess
from orchestrator.engine.gates.gate_runner import GateRunner
from orchestrator.engine.runtime import clock
from orchestrator.engine.runtime.background_pool import BackgroundPool
from orchestrator.engine.runtime.running_processes import PreloadHandlers, RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import (
    AttemptBegun,
    AttemptEnded,
    AttemptHeld,
    AttemptReturned,
    Call,
    Post,
)
from orchestrator.engine.worktrees.setup_commands import why_failed
from orchestrator.engine.worktrees.worker_changes import WorkerChanges, WorkerWorktree
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

logger = logging.getLogger(__name__)

#: Causes of stops that no caller requested, each with the error text for the lost attempt.
_UNREQUESTED_STOPS = {
    ExitCause.SHUTDOWN: "the server was stopped during the attempt",
    ExitCause.SIGNAL: "another process stopped the supervising process",
    ExitCause.ORPHAN_TIMEOUT: "no server was running for longer than workers.orphan_timeout",
    ExitCause.LEASE_ENDED: (
        "the worker's machine was stopped, or lost the connection to the server or the database"
    ),
}
#: Causes of stops for which exit code 0 still means that the worker finished its work.
_MAY_FINISH = (ExitCause.SHUTDOWN, ExitCause.PAUSED)


@dataclass(frozen=True, slots=True)
class LateEnd:
    """The late result of an attempt that counted as lost."""

    attempt: Attempt
    exit: Exit
    evidence: Evidence
    #: Path of the attempt's exit record.
    record: str


#: Ends for which the attempt has no result: it was lost, stopped, or not started.
_NO_RESULT = (EndedBy.LOST, EndedBy.CANCEL, EndedBy.SPAWN_FAILED)


class AttemptRunner:
    """Starts, stops, and adopts attempts, and reports the ends of attempts.

    Only the supervisor's thread may pass commands of the scheduler to this class.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        launcher: Launcher,
        processes: RunningProcesses,
        preparation: LaunchPreparation,
        evidence_reader: EvidenceReader,
        workspace: Workspace,
        assignments: AssignmentBuilder,
        contexts: SharedContextRuns,
        worktrees: Worktrees,
        gate_runner: GateRunner,
        attempt_gates: AttemptGates,
        post: Post,
        moved_error: Callable[[], str],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else "".

        After such a move, no attempt starts.
        """
        self._moved_error = moved_error
        self._post = post
        self._scheduler = scheduler
        self._assignments = assignments
        self._contexts = contexts
        self._launcher = launcher
        self._processes = processes
        self._preparation = preparation
        self._evidence_reader = evidence_reader
        self._workspace = workspace
        self._worktrees = worktrees
        self._background = BackgroundPool()
        self._gate_runner = gate_runner
        self._attempt_gates = attempt_gates
        #: Names of the setup processes that prepare worktrees, by attempt id.
        self._setting_up: dict[str, str] = {}

    @property
    def waits_for_space(self) -> str:
        """The reason why attempts wait for disk space; "" if no attempt waits."""
        return self._background.space_retries.reason

    def start(self, command: Start, issued: IssuedCredentials) -> None:
        """Prepare and launch an attempt. If the attempt cannot start, report the attempt's end.

        ``issued``: the attempt's API key and node.
        """
        if command.preload:
            self._preload(command, issued)
            return
        worker = self._scheduler.view.workers[command.key]
        assignment = None
        try:
            assignment = self._assignments.assignment_for(self._scheduler, worker, clock.now())
            if self._assignments.takes_long(assignment):
                self._background.begin(
                    worker.attempt_id, partial(self._start_in_background, assignment, issued)
                )
                return
            launch, running = self._preparation.prepare(assignment, issued)
        except Exception as error:
            if is_full_disk(error):
                # From now on, a background thread prepares the attempt. Register the attempt, so
                # that a stop finds it in ``BackgroundPool``.
                self._background.begin(worker.attempt_id, lambda: None)
                if assignment is None:
                    self._assign_later(worker, issued, error)
                else:
                    self._start_failed(assignment, issued, error)
                return
            self._report_failed_start(worker, error)
        else:
            self._launch(launch, running)

    def _preload(self, command: Start, issued: IssuedCredentials) -> None:
        """Preload the launch of a worker that waits for a slot: send the launch to a busy shim.

        If the launch cannot be sent, the worker starts later, when the worker has a slot. A
        permanent error is then reported by this later start.
        """
        worker = changed(self._scheduler.view.workers[command.key], attempt=command.attempt)
        message = AttemptReturned(worker.key, command.attempt)
        attempt_id = worker.attempt_id
        try:
            assignment = self._assignments.assignment_for(self._scheduler, worker, clock.now())
            if self._assignments.takes_long(assignment):
                self._post(message)
                return
            launch, running = self._preparation.prepare(assignment, issued)
        except Exception:
            logger.debug("a launch cannot be preloaded", extra={"worker": worker.id}, exc_info=True)
            self._preparation.release(attempt_id)
            self._post(message)
            return
        handlers = PreloadHandlers(
            lambda at: self._post(AttemptBegun(worker.key, worker.attempt, at)),
            partial(self._launch_returned, attempt_id, message),
        )
        failpoints.reached("preload: prepared")
        self._processes.expect_preloaded(
            attempt_id, partial(self._process_ended, running), handlers
        )
        if not self._launcher.preload(launch):
            self._processes.returned(attempt_id)
        failpoints.reached("preload: sent")

    def _launch_returned(self, attempt_id: str, message: AttemptReturned) -> None:
        self._preparation.release(attempt_id)
        self._post(message)

    def withdraw_launch(self, command: WithdrawLaunch) -> None:
        self._launcher.withdraw_launch(command.key.attempt_id(command.attempt))

    def _launch(self, launch: Launch, running: RunningAttempt) -> None:
        failpoints.reached("launch: prepared")
        self._processes.expect(launch.attempt_id, partial(self._process_ended, running))
        self._launcher.start(launch)
        failpoints.reached("launch: sent")

    def _report_failed_start(self, worker: Worker, error: Exception) -> None:
        self._preparation.release(worker.attempt_id)
        self._background.space_retries.done(worker.attempt_id)
        logger.warning("a worker cannot start", extra={"worker": worker.id}, exc_info=True)
        self._post(
            AttemptEnded(worker.key, worker.attempt, _exit_of_failed_start(error), Evidence())
        )

    def _assign_later(self, worker: Worker, issued: IssuedCredentials, error: Exception) -> None:
        """Wait for disk space, then compose the attempt's assignment in the supervisor's thread."""
        call = Call(lambda scheduler, now: self._assign_again(worker, issued, now), Future())
        self._wait_for_space(worker, partial(self._post, call), error)

    def _assign_again(self, worker: Worker, issued: IssuedCredentials, now: float) -> None:
        attempt_id = worker.attempt_id
        if self._background.early_exit(attempt_id):
            self._report_early_stop(worker)
            return
        try:
            assignment = self._assignments.assignment_for(self._scheduler, worker, now)
        except Exception as error:
            if is_full_disk(error):
                self._assign_later(worker, issued, error)
                return
            self._background.ready(attempt_id, lambda: None)
            self._report_failed_start(worker, error)
        else:
            self._background.submit(partial(self._start_in_background, assignment, issued))

    def _start_in_background(self, assignment: Assignment, issued: IssuedCredentials) -> None:
        worker = assignment.worker
        attempt_id = worker.attempt_id
        if self._background.early_exit(attempt_id):
            self._report_early_stop(worker)
            return
        try:
            assignment, worktree = self._assignments.completed(assignment)
            if worktree is None or self._gate_runner.is_set_up(worktree.directory):
                self._prepare_and_launch(assignment, issued, worktree)
                return
            run = GateProcess(
                root_id=worker.root_id,
                owner=worker.id,
                gate=Gate(name="", run=""),
                cwd=worktree.cwd,
                worktree=worktree.directory,
            )
            on_ran = partial(self._setup_ended, assignment, issued, worktree)
            self._gate_runner.set_up(run, on_ran, partial(self._setting_up.__setitem__, attempt_id))
        except Exception as error:
            self._start_failed(assignment, issued, error)

    def _start_failed(
        self, assignment: Assignment, issued: IssuedCredentials, error: Exception
    ) -> None:
        """Retry or report the failed start of an attempt.

        If the disk was full, start the same attempt again later. A new attempt would need new rows
        in the database, and therefore disk space. After any other error, report the attempt's end.
        """
        worker = assignment.worker
        attempt_id = worker.attempt_id
        if is_full_disk(error):
            self._preparation.release(attempt_id)
            self._wait_for_space(
                worker, partial(self._start_in_background, assignment, issued), error
            )
            if self._background.early_exit(attempt_id):
                self._background.space_retries.wake(attempt_id)
            return
        self._background.ready(attempt_id, lambda: None)
        self._report_failed_start(worker, error)

    def _wait_for_space(self, worker: Worker, work: Callable[[], None], error: Exception) -> None:
        reason = self._moved_error() or f"waiting for disk space: {_last_line(error)}"
        if self._background.space_retries.hold(worker.attempt_id, work, reason):
            self._post(AttemptHeld(worker.key, worker.attempt, reason))

    def _end_wait_for_space(self, worker: Worker) -> None:
        if self._background.space_retries.done(worker.attempt_id):
            logger.info("disk space is available again", extra={"worker": worker.id})
            self._post(AttemptHeld(worker.key, worker.attempt, ""))

    def _report_early_stop(self, worker: Worker) -> bool:
        """Report the end of an attempt that was stopped before its launch.

        Return True if the attempt was stopped; otherwise, do nothing and return False.
        """
        attempt_id = worker.attempt_id
        self._background.space_retries.done(attempt_id)
        early_exit = self._background.ready(attempt_id, lambda: None)
        if early_exit is not None:
            self._post(AttemptEnded(worker.key, worker.attempt, early_exit, Evidence()))
        return early_exit is not None

    def _setup_ended(
        self,
        assignment: Assignment,
        issued: IssuedCredentials,
        worktree: WorkerWorktree,
        setup_run: FinishedRun | None,
    ) -> None:
        """Launch the attempt after the setup commands of its worktree have run.

        ``setup_run``: the result of the setup commands; None if the commands were stopped.
        """
        worker = assignment.worker
        attempt_id = worker.attempt_id
        self._setting_up.pop(attempt_id, None)
        why = "" if setup_run is None else why_failed(setup_run)
        if setup_run is None or why:
            if not self._report_early_stop(worker) and why:
                self._report_failed_start(worker, RepositoryError(why))
            return
        try:
            self._prepare_and_launch(assignment, issued, self._worktrees.with_tools(worktree))
        except Exception as error:
            self._start_failed(assignment, issued, error)

    def _prepare_and_launch(
        self, assignment: Assignment, issued: IssuedCredentials, worktree: WorkerWorktree | None
    ) -> None:
        worker = assignment.worker
        attempt_id = worker.attempt_id
        launch, running = self._preparation.prepare(assignment, issued, worktree)
        self._end_wait_for_space(worker)
        early_exit = self._background.ready(attempt_id, lambda: self._launch(launch, running))
        if early_exit is not None:
            self._preparation.release(attempt_id, running.scratch)
            self._post(AttemptEnded(worker.key, worker.attempt, early_exit, Evidence()))

    def stop(self, command: Stop) -> None:
        attempt_id = command.key.attempt_id(command.attempt)
        ended_by, stopped_by, cause = EndedBy(command.ended_by), command.stopped_by, command.cause
        exit = Exit(ended_by=ended_by, stopped_by=stopped_by, cause=cause)
        worker = self._scheduler.view.workers[command.key]
        attempt_worker = replace(worker, attempt=command.attempt)
        process = self._setting_up.get(attempt_id)
        if process:
            self._gate_runner.stop_set_up(process, ended_by, stopped_by)
        spares_gates = ended_by is EndedBy.LIMIT or cause is ExitCause.PAUSED
        if spares_gates and self._attempt_gates.is_unreported(attempt_worker):
            # The attempt's process has ended. A limit or a pause does not stop the attempt's gates,
            # because gates cost no steps, tokens, or money.
            return
        if self._background.stop(attempt_id, exit) or self._attempt_gates.stop(
            attempt_worker, exit
        ):
            self._background.space_retries.wake(attempt_id)
        else:
            self._launcher.stop(attempt_id, ended_by, stopped_by, cause)

    def close(self) -> None:
        """Start no further attempts. Idempotent.

        The next server starts the attempts that have not started yet.
        """
        self._background.close()
        self._gate_runner.close()

    def set_waiting(self, command: SetWaiting) -> None:
        self._launcher.waiting(command.key.attempt_id(command.attempt), command.waiting)
        worker = self._scheduler.view.workers[command.key]
        try:
            self._workspace.link_recursive(worker)
        except OSError:
            logger.warning(
                "cannot create the link <worker>_recursive",
                extra={"worker": worker.id},
                exc_info=True,
            )

    def make_context(self, command: CreateContext) -> None:
        """Begin to create the job's shared context. Later, ``ContextPrepared`` is posted."""
        job = self._scheduler.view.jobs[command.job_id]
        self._contexts.begin(job, self._scheduler.view.jobs[job.root_id])

    def adopt(self, worker: Worker) -> None:
        """Register an attempt that an earlier server started, so that its end is reported."""
        task = self._scheduler.view.task_of(worker)
        running = self._adopted_attempt(worker, task)
        self._processes.expect(
            worker.attempt_id, partial(self._process_ended, running, adopted=True)
        )

    def _adopted_attempt(self, worker: Worker, task: TaskSpec) -> RunningAttempt:
        needs_worktree = self._worktrees.rule.needs_worktree(
            self._scheduler.view.job_of(worker), task, worker
        )
        worktree = self._worktrees.existing(worker) if needs_worktree else None
        return self._preparation.adopted(worker, task, worktree)

    def late_ends(self, now: float) -> Iterator[LateEnd]:
        """Yield the late results of lost attempts whose exit records can be read now."""
        for attempt in self._scheduler.lost_attempts_to_read(now):
            worker = self._scheduler.view.workers[attempt.key]
            attempt_id = attempt.id
            record_path = self._workspace.exit_record(worker, attempt.number)
            try:
                exit = self._launcher.determine_end(attempt_id, record_path, attempt.record_hash)
                if exit.ended_by in _NO_RESULT:
                    continue
                task = self._scheduler.view.task_of(worker)
                attempt_worker = replace(worker, attempt=attempt.number)
                running, job = (
                    self._adopted_attempt(attempt_worker, task),
                    self._scheduler.view.job_of(worker),
                )
                evidence = self._evidence_reader.read(running, exit)
            except OSError as error:
                # Do not log a full disk here: each check would log the error again, and other code
                # reports a full disk.
                if not is_shortage(error):
                    payload = {"path": record_path}
                    logger.warning("a late result is unreadable", extra=payload, exc_info=True)
                continue
            else:
                evidence = self._attempt_gates.late_evidence(running, job, exit, evidence)
                yield LateEnd(attempt, exit, evidence, record_path)

    # -- outcomes of attempts -------------------------------------------------------------------

    def _process_ended(self, running: RunningAttempt, exit: Exit, *, adopted: bool = False) -> None:
        attempt_id = running.worker.attempt_id
        self._preparation.release(attempt_id)
        if running.scratch:
            self._background.submit(partial(self._preparation.release, attempt_id, running.scratch))
        failpoints.reached("attempt: end received")
        if not self._is_cancelled(running.worker):
            exit = _corrected_exit(exit, adopted=adopted)
        self._attempt_gates.record_process_end(running.worker)
        empty_changes = self._evidence_reader.changes.of_empty_directory(running)
        if empty_changes is None:
            self._background.submit(partial(self._report, running, exit))
        else:
            self._report(running, exit, empty_changes)

    def _is_cancelled(self, worker: Worker) -> bool:
        view = self._scheduler.view
        current_worker, job = view.workers.get(worker.key, worker), view.jobs.get(worker.job_id)
        return current_worker.cancelled_by is not None or (
            job is not None and job.stop_cause is not None
        )

    def _report(
        self, running: RunningAttempt, exit: Exit, changes: WorkerChanges | None = None
    ) -> None:
        """Save the attempt's work, run the gates, and report the attempt's end.

        If the disk is full, or if the workspace or project was moved, retry later. ``changes``: the
        attempt's changes; None: find the changes.
        """
        worker = running.worker
        job = self._scheduler.view.jobs.get(worker.job_id)
        try:
            evidence = self._evidence_unless_moved(running, exit, changes)
        except OSError as error:
            if not self._attempt_gates.is_stopped(worker):
                self._wait_for_space(worker, partial(self._report, running, exit, changes), error)
                if self._attempt_gates.is_stopped(worker):
                    self._background.space_retries.wake(worker.attempt_id)
                return
            evidence = evidence_of_error(
                running, f"cannot commit the changes of the worker: {error}"
            )
        self._end_wait_for_space(worker)
        self._attempt_gates.begin(running, job, exit, evidence, self._post_end)

    def _evidence_unless_moved(
        self, running: RunningAttempt, exit: Exit, changes: WorkerChanges | None
    ) -> Evidence:
        """Return the attempt's evidence.

        Raise OSError if the disk is full, or if the workspace or the project was moved.
        """
        # Check first, because reading the evidence commits the attempt's changes. After a move,
        # another directory may be at the old path, and the commit would be created there.
        if running.worktree is not None and (error_text := self._moved_error()):
            raise OSError(error_text)
        evidence = self._evidence_reader.read(running, exit, changes)
        if error_text := self._moved_error():
            # A directory was moved while the evidence was read. Files may therefore be missing that
            # the attempt has created.
            raise OSError(error_text)
        return evidence

    def _post_end(self, running: RunningAttempt, exit: Exit, evidence: Evidence) -> None:
        self._post(AttemptEnded(running.worker.key, running.worker.attempt, exit, evidence))


def _corrected_exit(exit: Exit, *, adopted: bool) -> Exit:
    """Return the exit of an attempt that no caller cancelled, with the correct ``ended_by``.

    - EXIT: a shutdown or a pause stopped the attempt, but the exit code 0 shows that the attempt
      had finished its work.
    - LOST: otherwise, if a shutdown, a signal from outside, the orphan timeout, or the end of the
      node's lease stopped the attempt.
    - Unchanged: all other cases.

    ``adopted``: True if an earlier server started the attempt. The shutdown of a server stops the
    shim of an adopted attempt by a signal. So for an adopted attempt, a signal counts as a
    shutdown.
    """
    if exit.cause is ExitCause.SIGNAL and adopted:
        exit = replace(exit, cause=ExitCause.SHUTDOWN)
    if exit.ended_by is EndedBy.CANCEL and exit.code == 0 and exit.cause in _MAY_FINISH:
        return replace(exit, ended_by=EndedBy.EXIT, stopped_by="")
    # A worker may exceed a limit while it is being stopped. The stop came first, so the limit does
    # not decide.
    is_stopped = exit.ended_by is EndedBy.CANCEL or exit.cause is ExitCause.SHUTDOWN
    error = _UNREQUESTED_STOPS.get(exit.cause) if is_stopped else None
    return replace(exit, ended_by=EndedBy.LOST, error=error) if error else exit


def _last_line(error: Exception) -> str:
    message = (getattr(error, "strerror", None) or str(error)).strip().splitlines()[-1]
    path = getattr(error, "filename", None)
    return f"{message}: {path}" if path else message


def _exit_of_failed_start(error: Exception) -> Exit:
    if is_shortage(error):
        error_text = f"{NO_ROOM}: {error}"
        return Exit(ended_by=EndedBy.LOST, cause=ExitCause.NO_ROOM, error=error_text)
    return Exit(ended_by=EndedBy.SPAWN_FAILED, error=f"cannot start: {error}")
