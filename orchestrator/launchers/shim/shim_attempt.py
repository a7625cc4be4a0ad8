"""One attempt inside its shim, from its lock to its published exit record."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from signal import SIGCONT, SIGTERM

from orchestrator.core import failpoints
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.exit_record.run_file import LockRefused, RunFile, encoded
from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_limits import LimitWatch, limit_at_end
from orchestrator.launchers.process.worker_process import SpawnFailed, make_directory, start_failure
from orchestrator.launchers.shim.worker_log import WorkerLog
from orchestrator.security.secrets.masking import Masker
from orchestrator.system import process_table


class TimeoutClock:
    """Counts the working seconds of a worker for its timeout. Times are monotonic seconds.

    Time in which the worker waits, for example for a child job, does not count. ``start`` and
    ``pause`` are idempotent.
    """

    def __init__(self, timeout: float | None) -> None:
        self._remaining = timeout
        #: The start of the running clock; None while it is paused.
        self._since: float | None = None

    def start(self, now: float) -> None:
        if self._since is None:
            self._since = now

    def pause(self, now: float) -> None:
        if self._since is not None and self._remaining is not None:
            self._remaining -= now - self._since
        self._since = None

    @property
    def deadline(self) -> float | None:
        """The time at which the timeout expires if the clock is not paused; None: never."""
        if self._remaining is None or self._since is None:
            return None
        return self._since + self._remaining


#: Maximum number of leftover processes that are listed for one attempt.
MOST_LISTED = 20


class LeftoverProcesses:
    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._found: dict[tuple[int, int], Message] = {}

    @property
    def is_full(self) -> bool:
        return len(self._found) >= MOST_LISTED

    def note(self, processes: list[process_table.Process]) -> None:
        for process in processes[:MOST_LISTED]:
            if not self.is_full:
                command = process_table.command_line(process.pid) or process.command
                stray = {"pid": process.pid, "command": self._masker.text(command)}
                self._found.setdefault((process.pid, process.ticks), stray)

    def listed(self) -> list[Message]:
        return list(self._found.values())


#: Seconds of silence after which held-back output is written, although it may be the beginning of a
#: short secret.
_SILENCE_SECONDS = 0.05
#: Seconds between SIGTERM and SIGKILL after the end of the attempt's lease.
LEASE_GRACE_SECONDS = 1.0
#: Seconds between SIGTERM and SIGKILL for leftover processes.
_LEFTOVER_GRACE_SECONDS = 0.2
_KILL_INTERVAL_SECONDS = 0.002
#: Seconds after which a killed process counts as unkillable, because it hangs in the kernel or
#: belongs to another user.
UNKILLABLE_SECONDS = 10.0
_CHUNK = 64 * 1024
#: Maximum bytes that are read from the pipe after the worker's end.
_DRAIN_BYTES = 1024 * 1024


class _Phase(StrEnum):
    RUNNING = "running"
    #: The worker got a SIGTERM, and its grace time runs.
    STOPPING = "stopping"
    #: The worker has ended; its leftover processes get a SIGTERM.
    SWEEPING = "sweeping"
    #: All processes are killed until none remains.
    KILLING = "killing"
    DONE = "done"


class ShimAttempt:
    """One attempt, which the shim's loop runs. Times are monotonic seconds."""

    def __init__(
        self, launch: Message, containment: Subreaper, limits: Message, enforced: Collection[str]
    ) -> None:
        """``containment`` starts and ends the processes.

        ``enforced``: names of the limits that the containment enforces instead of the shim.
        """
        self._launch = launch
        self.id: str = launch["attempt"]
        self._containment = containment
        self._limits = limits
        self._watch = LimitWatch(limits, enforced)
        self._phase = _Phase.RUNNING
        #: Time at which the current phase ends. In the phase RUNNING, the clock decides instead.
        self._phase_ends = 0.0
        self._kill_until = 0.0
        self._clock = TimeoutClock(launch["timeout"])
        self._masker = Masker(launch["secrets"])
        self._lock: RunFile | None = None
        self._log: WorkerLog | None = None
        self._heard_at = 0.0
        self._leftover_processes = LeftoverProcesses(self._masker)
        self._cpu_seconds = 0.0
        self._peak_kib = 0
        #: PID of the worker's main process; 0 after this process was reaped.
        self._worker = 0
        #: Read end of the worker's output; None after the complete output was read.
        self.output: int | None = None
        #: Write end of the pipe. It stays open, so that a worker's end causes one event (SIGCHLD)
        #: instead of two.
        self._output_write_end = -1
        #: True if a connected server will receive and store the worker's end.
        self.has_server = True
        self.record: Message = {"attempt": launch["attempt"], "ended_by": "exit", "cause": ""}
        self.record["containment"] = containment.mode
        # An earlier release of the server sends no secret.
        if secret := launch.get("record_secret"):
            self.record["secret"] = secret
        #: The exit record as JSON; empty until the attempt has ended.
        self.encoded_record = b""

    @property
    def is_done(self) -> bool:
        return self._phase is _Phase.DONE

    @property
    def is_clean(self) -> bool:
        """True if no process of the attempt remains, so that the shim can run another attempt."""
        return self._containment.is_empty

    def start(self, now: float) -> int:
        """Start the worker. Return its PID; 0 if the start failed and the attempt has ended."""
        self.record["started_at"] = time.time()
        try:
            self._lock = RunFile.acquire(self._launch["exit_path"])
            self._lock.write_holder(self._launch["attempt"])
            self._worker = self._start_worker()
            failpoints.reached("worker: started")
            self._lock.add_worker(self._worker, self._containment.traces)
        except LockRefused as error:
            # The server finds the outcome of a refused attempt itself.
            self.record["refused"] = True
            self._fail("lost", ExitCause.NONE, str(error), now)
        except (SpawnFailed, OSError) as error:
            self._fail(*start_failure(error), now)
        self._clock.start(now)
        return self._worker

    def reject_start(self, now: float) -> int:
        """End the attempt without a start, because its lease has ended. Return 0.

        The attempt's lock is not acquired: another server may already need the lock to start the
        attempt.
        """
        self.record["started_at"] = time.time()
        error = "not started: the lease of its server or node had ended"
        self._fail("cancel", ExitCause.LEASE_ENDED, error, now)
        return 0

    def _start_worker(self) -> int:
        launch = self._launch
        if launch.get("make_cwd"):  # an earlier release of the server created the directory itself
            make_directory(launch["cwd"])
        self._log = WorkerLog(launch["log"], launch["log_limit_bytes"], self._masker)
        env = {**launch["env"], process_table.MARKER: launch["attempt"]}
        self.output, self._output_write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(self._output_write_end, True)
        with _umask(launch.get("umask")):
            return self._containment.start(
                launch["argv"], launch["cwd"], env, launch["stdin"], self._output_write_end
            )

    def _fail(self, ended_by: str, cause: ExitCause, error: str, now: float) -> None:
        self.record.update(ended_by=ended_by, cause=cause, error=self._masker.text(error))
        if self._worker == 0:
            self._finish()
        else:
            self._kill(now)

    def stop(self, ended_by: str, stopped_by: str, cause: str, now: float) -> None:
        """Begin to stop the attempt: SIGTERM now, SIGKILL after the grace time.

        Idempotent: the first call decides the fields ``ended_by``, ``stopped_by``, and ``cause`` of
        the exit record.
        """
        if self._phase is not _Phase.RUNNING:
            return
        self.record.update(ended_by=ended_by, stopped_by=stopped_by, cause=cause)
        self._enter(_Phase.STOPPING, now + self._launch["grace"])
        # Signal only the worker's own process group, so that an agent has time to end its tools.
        for number in (SIGTERM, SIGCONT):
            process_control.signal_group(self._worker, number)

    def end_lease(self, now: float) -> None:
        """Stop the attempt because its lease has ended. Idempotent.

        The remaining grace time is at most ``LEASE_GRACE_SECONDS``. Otherwise, this attempt could
        still run when another machine starts the next attempt.
        """
        self.stop("cancel", "", ExitCause.LEASE_ENDED, now)
        if self._phase is _Phase.STOPPING:
            self._phase_ends = min(self._phase_ends, now + LEASE_GRACE_SECONDS)

    def set_waiting(self, waiting: bool, now: float) -> None:
        if waiting:
            self._clock.pause(now)
        else:
            self._clock.start(now)

    def read_output(self, now: float) -> None:
        self._read_chunk()
        self._heard_at = now

    def _read_chunk(self) -> int:
        if self.output is None or self._log is None:
            return 0
        try:
            chunk = os.read(self.output, _CHUNK)
        except BlockingIOError:
            return 0
        self._log.write(chunk)
        return len(chunk)

    @property
    def wakes_at(self) -> float | None:
        """Time of the next call of ``run_due_actions``; None: not before the next event."""
        due = self._clock.deadline if self._phase is _Phase.RUNNING else self._phase_ends
        if self._watch.due is not None and self._worker:
            due = sooner(due, self._watch.due)
        if self._log is not None and self._log.has_held_output:
            due = sooner(due, self._heard_at + _SILENCE_SECONDS)
        return due

    def run_due_actions(self, now: float) -> None:
        """Run the actions that are due at ``now``. Idempotent."""
        if self._log is not None and now >= self._heard_at + _SILENCE_SECONDS:
            self._log.write_held_output()
        if self._worker and self._watch.due is not None and now >= self._watch.due:
            self._check_limits(now)
        if self._phase is _Phase.RUNNING:
            deadline = self._clock.deadline
            if deadline is not None and now >= deadline:
                stopped_by = f"timeout ({self._launch['timeout']:g} s)"
                self.stop("timeout", stopped_by, ExitCause.TASK_TIMEOUT, now)
        elif now >= self._phase_ends and self._phase is not _Phase.DONE:
            if self._worker == 0 and self._containment.is_empty:
                # The last process was no child of this process, so no signal reported its end.
                self._finish()
            else:
                self._kill(now)

    def _check_limits(self, now: float) -> None:
        hit = self._watch.check(self._containment.members(), now)
        if hit and self._phase in (_Phase.RUNNING, _Phase.STOPPING):
            self._watch.due = None
            self.record.update(ended_by="limit", error=hit)
            self._kill(now)

    def reap(self, now: float) -> None:
        for pid, status, usage in self._containment.reap():
            self._cpu_seconds += usage.ru_utime + usage.ru_stime
            # The kernel's peak includes the worker before its exec, when it still has this shim's
            # memory. Therefore the peak is never smaller than the shim's own size.
            self._peak_kib = max(self._peak_kib, usage.ru_maxrss)
            if pid == self._worker:
                self._worker_ended(status)
        if self._worker:
            return
        if self._containment.is_empty:
            self._finish()
        elif self._phase is _Phase.KILLING:
            self._kill(now)
        elif self._phase is not _Phase.SWEEPING:
            self._sweep(now)

    def _worker_ended(self, status: int) -> None:
        self._worker = 0
        self.record["ended_at"] = time.time()
        if os.WIFSIGNALED(status):
            self.record["signal"] = os.WTERMSIG(status)
        else:
            self.record["code"] = os.waitstatus_to_exitcode(status)

    def _sweep(self, now: float) -> None:
        """Terminate the processes that remain after the worker's main process has exited."""
        members = self._containment.members()
        self._leftover_processes.note(members)
        self._enter(_Phase.SWEEPING, now + _LEFTOVER_GRACE_SECONDS)
        for process in members:
            process_control.send_signal(process, SIGTERM)
            process_control.send_signal(process, SIGCONT)

    def _kill(self, now: float) -> None:
        """Kill all processes once.

        ``reap`` and ``run_due_actions`` repeat the kill until no process remains. If a process
        cannot be killed for a long time, finish the attempt with an error.
        """
        if self._phase is _Phase.KILLING and now > self._kill_until:
            remaining_pids = ", ".join(str(process.pid) for process in self._containment.members())
            self.record["error"] = f"processes that could not be killed: {remaining_pids}"
            self._finish()
            return
        detached = self._containment.detached(spare=(self._worker,)) if self._may_list else []
        self._containment.kill()
        self._leftover_processes.note(detached)
        if self._phase is not _Phase.KILLING:
            self._kill_until = now + UNKILLABLE_SECONDS
        self._enter(_Phase.KILLING, now + _KILL_INTERVAL_SECONDS)

    @property
    def _may_list(self) -> bool:
        # A stop also kills tools that the worker is still using. Such tools are no leftover
        # processes.
        are_leftover = self.record["ended_by"] == "exit" or self._phase is not _Phase.KILLING
        return are_leftover and not self._leftover_processes.is_full

    def _enter(self, phase: _Phase, ends_at: float) -> None:
        self._phase, self._phase_ends = phase, ends_at

    def _finish(self) -> None:
        self._drain()
        self._phase = _Phase.DONE
        self._note_limit(self._containment.close())
        self.record.setdefault("ended_at", time.time())
        self.record.update(
            cpu_seconds=self._cpu_seconds,
            peak_memory_bytes=self._peak_kib * 1024,
            strays=self._leftover_processes.listed(),
        )
        if self._log is not None:
            self._log.close()
            self.record.update(
                log_bytes=self._log.written_bytes,
                log_truncated=self._log.is_truncated,
                log_lost=self._log.is_lost,
            )
        self._publish()

    def _note_limit(self, hit: str) -> None:
        code, number = self.record.get("code"), self.record.get("signal")
        hit = limit_at_end(self._limits, code, number) or hit
        if hit and self.record["ended_by"] == "exit" and (code or number):
            self.record.update(ended_by="limit", error=hit)

    def _drain(self) -> None:
        # Read a limited number of bytes, because a process that could not be killed may still write
        # to the pipe.
        drained_bytes = 0
        while drained_bytes < _DRAIN_BYTES and (length := self._read_chunk()):
            drained_bytes += length
        if self.output is not None:
            os.close(self.output)
            os.close(self._output_write_end)
            self.output = None

    def _publish(self) -> None:
        self.encoded_record = encoded(self.record)
        if self._lock is None:
            return
        try:
            self._lock.publish(self.encoded_record, synced=not self.has_server)
        except OSError as error:
            # The connected server still receives the end, in this shim's next message. Only a
            # restarted server would find the attempt without a record.
            reason = self.record.get("error") or "cannot write the exit record"
            self.record["error"] = f"{reason}: {error}"
            self.encoded_record = encoded(self.record)
            self._lock.release()


@contextmanager
def _umask(number: int | None) -> Iterator[None]:
    """Set the umask that a process inherits if it is started in the ``with`` block.

    The umask belongs to the whole process. Changing it is safe, because a shim has only one thread.
    """
    if number is None:
        yield
        return
    former = os.umask(number)
    try:
        yield
    finally:
        os.umask(former)


def sooner(time: float | None, other: float) -> float:
    """Return the earlier of two times. If ``time`` is None (never), return ``other``."""
    return other if time is None or other < time else time
