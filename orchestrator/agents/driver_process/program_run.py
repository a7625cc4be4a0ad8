"""Runs an agent's program to its end: reads its output, times it, and stops it if necessary."""

import contextlib
import errno
import math
import os
import selectors
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from uuid import uuid4

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    AgentOutcome,
    Ending,
    InputReadEvent,
    LogReader,
    Reader,
    SessionReader,
)
from orchestrator.agents.activity.line_splitter import LineSplitter
from orchestrator.agents.activity.log_writers import PeopleLog, RawStream
from orchestrator.agents.activity.outside_edits import OutsideEdits
from orchestrator.agents.activity.session_follower import SessionFollower
from orchestrator.agents.ai_tools.invocation.call import AgentCall
from orchestrator.agents.driver_process.agent_process import AgentProcess, read
from orchestrator.agents.driver_process.mailbox import Mailbox, message_prompt
from orchestrator.agents.driver_process.usage_watch import EarlyStop, UsageWatch
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ErrorClass

#: Maximum seconds between checks of the timeouts.
_LOOK_SECONDS = 0.5
#: Seconds from SIGTERM to the kill of a program that has used up a limit. The time is short because
#: each further step costs money, and because opencode ignores SIGTERM.
_OVER_SECONDS = 0.5
_STDERR_BYTES = 8 * 1024
#: Maximum seconds to wait, after the final answer, until the program reads a message. Then the
#: program's standard input is closed, so that the program exits.
UNREAD_SECONDS = 10.0
#: Errors of starting a program while an update replaces its files. A later start may succeed.
PASSING_ERRNOS = (errno.ENOENT, errno.EACCES, errno.ETXTBSY)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTimeouts:
    """Timeouts of a program's run, in seconds. 0 means no timeout, except for stop and unheard."""

    stall: float
    #: Maximum silence after a rate limit.
    pause: float
    #: Maximum time from the final answer to the exit.
    finish: float
    #: Time from SIGTERM to the kill.
    stop: float
    #: Maximum silence after the start. After this time, standard input is closed.
    unheard: float


class Program:
    """One run of a program. Any thread and a signal handler may call ``stop``."""

    def __init__(
        self,
        reader: Reader,
        watch: UsageWatch,
        timeouts: RunTimeouts,
        journal: PeopleLog,
        stream: RawStream,
        *,
        on_session: Callable[[str], None],
        mailbox: Mailbox,
    ) -> None:
        """``on_session`` is called with the session's id as soon as the program reports the id.

        ``mailbox``: messages to the program, if the program reads messages.
        """
        self._reader = reader
        self._edits = OutsideEdits()
        self._watch = watch
        self._timeouts = timeouts
        self._journal = journal
        self._stream = stream
        self._follower: SessionFollower | None = None
        #: The session's id, as reported by the program.
        self.session = ""
        self._on_session = on_session
        self._mailbox = mailbox
        self._look_at = 0.0
        self._out, self._err = LineSplitter(), LineSplitter(_STDERR_BYTES)
        self._stderr = ""
        self._stop_request: EarlyStop | None = None
        self._stop_at = 0.0
        #: True if the driver itself is being stopped.
        self._killed = False
        self._stopping: EarlyStop | None = None
        self._kill_at = 0.0
        self._began = self._heard = time.monotonic()
        #: True if the program has written to standard output.
        self._has_spoken = False
        self._finished_at: float | None = None
        #: Time at which the latest message was passed to the program (monotonic).
        self._unread_since = 0.0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def stop(self, why: EarlyStop) -> None:
        """Stop the program soon.

        After several calls, the reason of the first call and the shortest ``why.patience`` apply.
        """
        stop_at = time.monotonic() + why.patience
        self._stop_at = stop_at if self._stop_request is None else min(self._stop_at, stop_at)
        self._stop_request = self._stop_request or why
        self._killed |= why.reason is ErrorClass.KILLED
        with contextlib.suppress(BlockingIOError):  # the pipe is full, so a wake-up is pending
            os.write(self._wake_write, b"x")

    def run(
        self, call: AgentCall, environ: Mapping[str, str], on_check: Callable[[], None]
    ) -> AgentOutcome:
        """Run the program to its end, and return the result. Never raises OSError.

        ``on_check`` is called at intervals while the program runs.
        """
        if call.session is not None:
            self._follower = SessionFollower(call.session)
            if call.resumes and isinstance(self._reader, SessionReader):
                # Read the earlier lines first, so that usage of earlier runs does not count again.
                for source, line in self._follower.earlier():
                    self._reader.session_line(line, source)
                self._reader.resumed()
        try:
            child = AgentProcess(
                call.argv,
                environ,
                prompt_on_stdin=call.prompt_on_stdin,
                prompt=call.prompt,
                open_input=call.input_line is not None,
            )
        except OSError as error:
            text = f"cannot start {call.argv[0]}: {error.strerror or error}"
            changing = error.errno in PASSING_ERRNOS
            kind = ErrorClass.START if changing else ErrorClass.CONFIG
            return AgentOutcome(error_class=kind, error=text)
        try:
            self._watch_until_exit(child, call, on_check)
            self._handle_rest(child)
        finally:
            child.kill()
            child.close()
        return replace(self._reader.outcome(self._ending(child)), outside=self._edits.outside())

    def _watch_until_exit(
        self, child: AgentProcess, call: AgentCall, on_check: Callable[[], None]
    ) -> None:
        with selectors.DefaultSelector() as selector:
            child.watch(selector)
            selector.register(self._wake_read, selectors.EVENT_READ)
            if call.input_line is not None:
                child.queue_line(call.input_line(prompt_of(call), str(uuid4())), selector)
            while child.returncode is None:
                if call.input_line is not None and child.is_input_open:
                    self._pass_messages(child, call.input_line, selector)
                self._turn(child, selector, on_check)

    def _pass_messages(
        self, child: AgentProcess, line: Callable[[str, str], str], selector: selectors.BaseSelector
    ) -> None:
        for each in () if self._stopping else self._mailbox.fetch_new():
            child.queue_line(line(message_prompt(each), each.id), selector)
            self._unread_since = time.monotonic()
        if not self._watch.finished:
            if not self._has_spoken and time.monotonic() - self._began > self._timeouts.unheard:
                child.close_input()
            return
        is_unread = time.monotonic() - self._unread_since > UNREAD_SECONDS
        if not self._mailbox.has_unread or is_unread:
            child.close_input()

    def _turn(
        self,
        child: AgentProcess,
        selector: selectors.BaseSelector,
        on_check: Callable[[], None],
    ) -> None:
        for key, _ in selector.select(_LOOK_SECONDS):
            if child.is_input(key.fd):
                child.flush_input(selector)
            elif key.fd != child.end:
                self._read_output(child, key.fd, selector)
        if self._follower is not None and self._follower.due(time.monotonic()):
            self._follow(self._follower)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            on_check()
        self._enforce_timeouts(child, now)

    def _read_output(
        self, child: AgentProcess, descriptor: int, selector: selectors.BaseSelector
    ) -> None:
        data = read(descriptor)
        if data == b"":
            selector.unregister(descriptor)
        elif data and descriptor == child.stdout:
            self._handle_output(data)
        elif data and descriptor == child.stderr:
            self._handle_error_output(data)

    # -- output ---------------------------------------------------------------------------------

    def _handle_output(self, data: bytes) -> None:
        self._heard, self._has_spoken = time.monotonic(), True
        try:
            for line in self._out.add(data):
                events = list(self._reader.line(line))
                # Save the session's id before the events are handled: the worker may be killed
                # after this answer, and a later attempt needs the id.
                self._name_session()
                self._handle_events(events)
        finally:
            # Save the data even if handling a line raises: the raw output must contain this line.
            self._stream.save(data)

    def _handle_events(self, events: Iterable[AgentEvent]) -> None:
        for event in events:
            if isinstance(event, InputReadEvent):
                self._mailbox.mark_read(event.id)
            self._edits.record(event)
            why = self._watch.observe(event)
            if why is not None:
                self.stop(why)
        if not self._watch.finished:
            self._finished_at = None
        elif self._finished_at is None:
            self._finished_at = time.monotonic()

    def _name_session(self) -> None:
        if self._reader.session != self.session:
            self.session = self._reader.session
            self._on_session(self.session)

    def _follow(self, follower: SessionFollower) -> None:
        if isinstance(self._reader, SessionReader):
            for source, line in follower.lines():
                self._handle_events(self._reader.session_line(line, source))

    def _handle_error_output(self, data: bytes) -> None:
        self._heard = time.monotonic()
        self._stderr = (self._stderr + data.decode("utf-8", "replace"))[-_STDERR_BYTES:]
        for line in self._err.add(data):
            self._handle_log_line(line)

    def _handle_log_line(self, line: str) -> None:
        events = list(self._reader.log_line(line)) if isinstance(self._reader, LogReader) else []
        if events:
            self._handle_events(events)
        else:
            self._journal.say(line)

    def _handle_rest(self, child: AgentProcess) -> None:
        for data in child.remaining_output(child.stdout):
            self._handle_output(data)
        for data in child.remaining_output(child.stderr):
            self._handle_error_output(data)
        if self._follower is not None:
            self._follow(self._follower)
        last_line = self._out.rest()
        if last_line:
            self._handle_events(self._reader.line(last_line))
            self._name_session()
        if last_error := self._err.rest():
            self._journal.say(last_error)

    # -- times ----------------------------------------------------------------------------------

    def _enforce_timeouts(self, child: AgentProcess, now: float) -> None:
        if self._stopping is not None:
            if now >= self._kill_at:
                child.kill()
            return
        request = self._requested_stop(now)
        why = request or self._stop_for_timeout(now)
        if why is not None:
            self._stopping = why
            is_at_limit = why.reason is ErrorClass.LIMIT
            self._kill_at = now + min(
                self._timeouts.stop, _OVER_SECONDS if is_at_limit else math.inf
            )
            self._journal.say(f"! stopped: {why.because}")
            child.terminate()

    def _requested_stop(self, now: float) -> EarlyStop | None:
        request = self._stop_request
        if request is None or now < self._stop_at:
            return None
        if not self._watch.finished:
            return request
        is_at_limit = request.reason is ErrorClass.LIMIT and request.patience > 0
        if not is_at_limit and request.reason is not ErrorClass.KILLED:
            return request
        # The final answer is complete. After a limit, let the program exit normally. If the driver
        # is being stopped, stop the program now without a failure, because the driver still needs
        # time to report the answer.
        return replace(request, reason=ErrorClass.NONE) if self._killed else None

    def _stop_for_timeout(self, now: float) -> EarlyStop | None:
        timeouts = self._timeouts
        if self._finished_at is not None:
            late = now - self._finished_at > timeouts.finish > 0
            # The work is done, so a program that does not exit is not a failure.
            return (
                EarlyStop(ErrorClass.NONE, "the agent did not exit after its final result")
                if late
                else None
            )
        silent = now - self._heard
        if self._watch.rate_limit and silent > timeouts.pause > 0:
            return EarlyStop(ErrorClass.RATE_LIMIT, self._watch.rate_limit)
        if silent <= timeouts.stall or not timeouts.stall:
            return None
        if self._watch.waits():
            self._heard = now
            return None
        why = f"the agent printed nothing for {timeouts.stall:g} s (workers.stall_seconds)"
        return EarlyStop(ErrorClass.TIMEOUT, why)

    def _ending(self, child: AgentProcess) -> Ending:
        why = self._stopping or EarlyStop(ErrorClass.NONE, "")
        # The driver stopped the program after the final answer, so the exit code does not matter.
        late = self._stopping is not None and why.reason is ErrorClass.NONE
        code = 0 if late else child.returncode
        return Ending(
            code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            stderr=self._stderr,
            stopped_for=why.reason,
            stopped_because=why.because,
        )


def prompt_of(call: AgentCall) -> str:
    content = call.prompt.read_bytes() if call.prompt else sys.stdin.buffer.read()
    return content.decode("utf-8", "replace")
