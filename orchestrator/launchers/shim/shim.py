"""A shim: the small parent process of a worker. A shim runs attempts one after another.

A *launch* is the server's message that describes an attempt. During an attempt, the server may
send more launches to the shim. The shim begins these *preloaded* launches after the attempt. If the
attempt takes long, the shim returns the preloaded launches to the server.

If the server exits, the shim continues until its attempt has ended. After the orphan timeout, the
shim stops the worker, because the worker may cost money. A later server has no socket to this shim,
and controls the shim by signals: SIGTERM cancels the attempt; SIGUSR1 and SIGUSR2 pause and resume
the clock of the attempt's timeout.
"""

import os
import select
import signal
import socket
import time
from collections import deque

from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.containment.mode_implementation import containment_for, enforced_limits
from orchestrator.launchers.exit_record.run_file import encoded
from orchestrator.launchers.process.channel import Channel, Message
from orchestrator.launchers.process.lease_file import LeaseWatch
from orchestrator.launchers.shim.orphan_timeout import OrphanTimeout
from orchestrator.launchers.shim.shim_attempt import ShimAttempt, sooner

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

#: Seconds to wait before a start is reported. If the worker ends earlier, one message reports the
#: start and the end.
_GATHER_SECONDS = 0.02
#: Maximum milliseconds of one poll (24 hours).
_LONGEST_MILLISECONDS = 86_400_000.0


def serve(end: socket.socket, settings: Message) -> None:
    """Run this process as a shim, until the shim ends. A fatal error is reported to the server.

    ``end``: the socket to the server. ``settings``: the containment settings; see
    ``containment_for``.
    """
    channel = Channel(end)
    try:
        _Shim(channel, settings).run()
    except Exception:
        # Imported only when needed, because the import takes a tenth of the spawner's start.
        import traceback

        channel.send({"failed": traceback.format_exc()})
        raise


def wake_on_signals(numbers: tuple[signal.Signals, ...]) -> int:
    """Return a descriptor that becomes readable when one of the signals arrives.

    Each byte is the number of a signal.
    """
    reading_end, writing_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing_end, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _ignore)
    return reading_end


def _ignore(_number: int, _frame: object) -> None:
    # The byte on the descriptor of ``wake_on_signals`` is enough.
    ...


class _Shim:
    def __init__(self, channel: Channel, settings: Message) -> None:
        os.setsid()
        self._signals = wake_on_signals(_SIGNALS)
        self._containment = containment_for(settings)
        self._limits, self._enforced = settings["limits"], enforced_limits(settings)
        self._channel = channel
        self._connected = True
        self._attempt: ShimAttempt | None = None
        #: Descriptors of the attempt that are registered in ``_poll``: its output, and
        #: the notices of its containment.
        self._watched: tuple[int | None, int | None] = (None, None)
        #: The latest launch. The next message contains only the differences from this launch.
        self._launched: Message = {"env": {}}
        #: Preloaded launches, in the order in which they begin.
        self._preloaded: deque[Message] = deque()
        #: Time at which the current attempt began.
        self._began_at = 0.0
        #: Seconds from ``_began_at`` until preloaded launches are returned.
        self._preload_seconds = 0.0
        #: The orphan timeout; None while a server is connected.
        self._orphan_timeout: OrphanTimeout | None = None
        #: The lease in the launch's lease file; None if the launch has no lease file, or if the
        #: lease has ended.
        self._lease_watch: LeaseWatch | None = None
        #: The PID of a worker whose start is not reported yet; 0: none.
        self._unreported = 0
        #: Time at which the start of the worker ``_unreported`` is to be reported.
        self._report_at = 0.0
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        while self._connected or self._attempt is not None:
            self._turn()

    def _turn(self) -> None:
        output, notices = self._watched
        ready = dict(self._poll.poll(self._milliseconds_to_wait()))
        if self._attempt is not None and ready.get(self._channel.fileno(), 0) & select.POLLHUP:
            # Set this before the attempt's end is handled: the shim must then sync the exit record
            # to the disk, because no server stores the end.
            self._attempt.has_server = False
        if self._unreported and time.monotonic() >= self._report_at:
            self._channel.send({"started": self._unreported})
            self._unreported = 0
        if self._channel.has_unsent:
            self._channel.flush()
        if output in ready and self._attempt is not None:
            self._attempt.read_output(time.monotonic())
        if notices in ready and self._attempt is not None:
            self._attempt.reap(time.monotonic())
            self._report_if_done()
        if self._signals in ready:
            self._handle_signals()
        if self._connected and self._channel.fileno() in ready:
            self._handle_messages()
        if self._attempt is not None:
            self._stop_if_due(self._attempt)
            self._attempt.run_due_actions(time.monotonic())
            self._report_if_done()
        if self._preloaded and time.monotonic() >= self._began_at + self._preload_seconds:
            self._return_launches(self._remove_preloaded())
        self._watch_attempt()

    def _watch_attempt(self) -> None:
        # Unregister closed descriptors, because ``poll`` would report them as ready forever.
        output = self._attempt.output if self._attempt else None
        descriptors, watched = (output, self._containment.notices), self._watched
        if descriptors == watched:
            return
        for descriptor in watched:
            if descriptor is not None and descriptor not in descriptors:
                self._poll.unregister(descriptor)
        for descriptor in descriptors:
            if descriptor is not None and descriptor not in watched:
                self._poll.register(descriptor, select.POLLIN)
        self._watched = descriptors

    def _milliseconds_to_wait(self) -> float | None:
        wakes_at = self._attempt.wakes_at if self._attempt else None
        if self._orphan_timeout is not None and self._orphan_timeout.wakes_at is not None:
            wakes_at = sooner(wakes_at, self._orphan_timeout.wakes_at)
        if self._lease_watch is not None and self._attempt is not None:
            wakes_at = sooner(wakes_at, self._lease_watch.wakes_at)
        if self._unreported:
            wakes_at = sooner(wakes_at, self._report_at)
        if self._preloaded:
            wakes_at = sooner(wakes_at, self._began_at + self._preload_seconds)
        if wakes_at is None:
            return None
        return min(max(0.0, (wakes_at - time.monotonic()) * 1000 + 0.5), _LONGEST_MILLISECONDS)

    def _stop_if_due(self, attempt: ShimAttempt) -> None:
        if self._orphan_timeout is not None and self._orphan_timeout.is_over(time.monotonic()):
            self._orphan_timeout = None
            attempt.stop("cancel", "orphan_lease", ExitCause.ORPHAN_TIMEOUT, time.monotonic())
        if self._lease_watch is not None and self._lease_watch.is_over(time.monotonic()):
            self._lease_watch = None
            attempt.end_lease(time.monotonic())

    def _handle_signals(self) -> None:
        for number in os.read(self._signals, 4096):
            if number == signal.SIGTERM and self._attempt is None:
                self._disconnect()
            elif self._attempt is not None:
                self._handle_signal(self._attempt, number)

    def _handle_signal(self, attempt: ShimAttempt, number: int) -> None:
        now = time.monotonic()
        if number == signal.SIGCHLD:
            attempt.reap(now)
            self._report_if_done()
        elif number == signal.SIGTERM:
            attempt.stop("cancel", "", ExitCause.SIGNAL, now)
        else:
            attempt.set_waiting(number == signal.SIGUSR1, now)

    def _handle_messages(self) -> None:
        messages, is_connected = self._channel.receive()
        for message in messages:
            self._handle_message(message)
        if not is_connected:
            self._disconnect()

    def _handle_message(self, message: Message) -> None:
        if "launch" in message:
            self._launched = complete_launch(message["launch"], self._launched)
            if self._attempt is None:
                self._begin(self._launched)
                self._report_if_done()
            else:
                self._preload_seconds = message["kept_seconds"]
                self._preloaded.append(self._launched)
        elif "return" in message:
            self._return_launches(self._remove_preloaded(message["return"]))
        elif self._attempt is None or message.get("attempt") not in (None, self._attempt.id):
            return  # The message was for an attempt that has just ended.
        elif "stop" in message:
            ended_by, stopped_by, cause = message["stop"]
            self._attempt.stop(ended_by, stopped_by, cause, time.monotonic())
        elif "waiting" in message:
            self._attempt.set_waiting(message["waiting"], time.monotonic())

    def _begin(self, launch: Message) -> ShimAttempt:
        self._attempt = ShimAttempt(launch, self._containment, self._limits, self._enforced)
        # A server of an earlier release sends no lease.
        lease_file, now = launch.get("lease_file", ""), time.monotonic()
        self._lease_watch = LeaseWatch(lease_file, now) if lease_file else None
        if self._lease_watch is not None and self._lease_watch.is_over(now):
            self._unreported = self._attempt.reject_start(now)
        else:
            self._unreported = self._attempt.start(now)
        self._report_at, self._began_at = now + _GATHER_SECONDS, now
        return self._attempt

    def _begin_preloaded(self, launch: Message) -> Message:
        attempt = self._begin(launch)
        pid, self._unreported = self._unreported, 0
        return {"begun": attempt.id, "pid": pid, "at": attempt.record["started_at"]}

    def _remove_preloaded(self, attempt: str = "") -> list[str]:
        """Remove the preloaded launch of ``attempt``. If ``attempt`` is "", remove all of them.

        Return the ids of the removed launches' attempts.
        """
        launches = [each for each in self._preloaded if attempt in ("", each["attempt"])]
        for each in launches:
            self._preloaded.remove(each)
        return [each["attempt"] for each in launches]

    def _return_launches(self, attempts: list[str]) -> None:
        if attempts:
            self._channel.send({"returned": attempts})

    def _report_if_done(self) -> None:
        """Report the end of a finished attempt to the server, and begin the next preloaded launch.

        If a process of the attempt could not be killed, begin no launch, and close the connection
        to the server. A shim without a connection exits.
        """
        while self._attempt is not None and self._attempt.is_done:
            attempt, self._attempt = self._attempt, None
            # Most messages have only these fields, and filling a template is faster than encoding.
            clean = b"true" if attempt.is_clean else b"false"
            head = b'{"ended": %s, "clean": %s, "pid": %d' % (
                attempt.encoded_record,
                clean,
                self._unreported,
            )
            self._unreported = 0
            fields: Message = {}
            if not attempt.is_clean:
                fields["returned"] = self._remove_preloaded()
            elif self._preloaded and attempt.has_server:
                fields["next"] = self._begin_preloaded(self._preloaded.popleft())
            # Sending cannot block, because only a few small messages are sent between two launches.
            report = head + (b", %s" % encoded(fields)[1:] if fields else b"}")
            self._channel.queue_encoded(report)
            self._channel.flush()
            if not attempt.is_clean:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            self._preloaded.clear()
            if self._attempt is not None:
                self._attempt.has_server = False
            self._poll.unregister(self._channel)
            # The orphan timeout. A server of an earlier release does not send these two fields.
            terms = self._launched.get("lease_lock", ""), self._launched.get("lease_seconds", 0.0)
            self._orphan_timeout = OrphanTimeout(*terms, time.monotonic())


def complete_launch(message: Message, before: Message) -> Message:
    """Return a complete launch: the launch ``before``, with the changes in ``message``."""
    if "env_gone" not in message:
        # A server of an earlier release sends complete launches. Such a server runs if the product
        # was updated after the server's start.
        return message
    env = {**before["env"], **message["env"]}
    for name in message["env_gone"]:
        del env[name]
    return {**before, **message, "env": env}
