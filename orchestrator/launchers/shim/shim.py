"""A shim: the small parent process of a worker. It serves one attempt at a time, then the next.

Without its server, it lives until its attempt has ended. For later servers, which have no socket
to it, there are signals: SIGTERM cancels the attempt; SIGUSR1 and SIGUSR2 pause and resume the
clock.
"""

import os
import select
import signal
import socket
import time
import traceback

from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.containment.factory import family_for, held_by_family
from orchestrator.launchers.process.channel import Channel, Message
from orchestrator.launchers.shim.orphan_timeout import OrphanTimeout
from orchestrator.launchers.shim.shim_attempt import ShimAttempt, sooner

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

#: A worker that ends within this time is reported once.
_GATHER_SECONDS = 0.02
#: Maximum timeout of poll: 24 days.
_LONGEST_MILLISECONDS = 86_400_000.0


def serve(end: socket.socket, plan: Message) -> None:
    """Run a shim in its own process; report a fatal error on its socket."""
    channel = Channel(end)
    try:
        _Shim(channel, plan).run()
    except Exception:
        channel.send({"failed": traceback.format_exc()})
        raise


def wake_on_signals(numbers: tuple[signal.Signals, ...]) -> int:
    """Return a descriptor from which the numbers of received signals can be read as bytes."""
    reading_end, writing_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing_end, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _noted)
    return reading_end


def _noted(_number: int, _frame: object) -> None:
    """Do nothing, because the byte in the pipe is enough."""


class _Shim:
    def __init__(self, channel: Channel, plan: Message) -> None:
        os.setsid()
        self._signals = wake_on_signals(_SIGNALS)
        self._family = family_for(plan)
        self._limits, self._held = plan["limits"], held_by_family(plan)
        self._channel = channel
        self._connected = True
        self._attempt: ShimAttempt | None = None
        #: The attempt's descriptors in ``_poll``: its output, and its family's notices.
        self._watched: tuple[int | None, int | None] = (None, None)
        #: The latest launch; the next message has only the differences from it.
        self._launched: Message = {"env": {}}
        #: Orphan timeout, which runs while no server is connected.
        self._lease: OrphanTimeout | None = None
        #: The worker's pid until its start is reported, and the time of the start.
        self._untold = 0
        self._tell_at = 0.0
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(channel, select.POLLIN)

    def run(self) -> None:
        while self._connected or self._attempt is not None:
            self._turn()

    def _turn(self) -> None:
        output, notices = self._watched
        ready = dict(self._poll.poll(self._patience()))
        if self._attempt is not None and ready.get(self._channel.fileno(), 0) & select.POLLHUP:
            # Set before the end of a worker that ends at the same time: no server saves its
            # record.
            self._attempt.has_server = False
        if self._untold and time.monotonic() >= self._tell_at:
            self._tell_start()
        if self._channel.has_unsent:
            self._channel.flush()
        if output in ready:
            self._read_output()
        if notices in ready and self._attempt is not None:
            self._attempt.reap(time.monotonic())
            self._report_if_done()
        if self._signals in ready:
            self._take_signals()
        if self._connected and self._channel.fileno() in ready:
            self._take_messages()
        if self._attempt is not None:
            self._heed_lease(self._attempt)
            self._attempt.pass_time(time.monotonic())
            self._report_if_done()
        self._watch()

    def _watch(self) -> None:
        """Unregister closed descriptors, which would count as ready forever."""
        output = self._attempt.output if self._attempt else None
        wanted, watched = (output, self._family.notices), self._watched
        if wanted == watched:
            return
        for descriptor in watched:
            if descriptor is not None and descriptor not in wanted:
                self._poll.unregister(descriptor)
        for descriptor in wanted:
            if descriptor is not None and descriptor not in watched:
                self._poll.register(descriptor, select.POLLIN)
        self._watched = wanted

    def _patience(self) -> float | None:
        """Return the milliseconds until the next action is due; None if there is none."""
        wakes_at = self._attempt.wakes_at if self._attempt else None
        if self._lease is not None and self._lease.wakes_at is not None:
            wakes_at = sooner(wakes_at, self._lease.wakes_at)
        if self._untold:
            wakes_at = sooner(wakes_at, self._tell_at)
        if wakes_at is None:
            return None
        return min(max(0.0, (wakes_at - time.monotonic()) * 1000 + 0.5), _LONGEST_MILLISECONDS)

    def _heed_lease(self, attempt: ShimAttempt) -> None:
        if self._lease is not None and self._lease.is_over(time.monotonic()):
            self._lease = None
            attempt.stop("cancel", "orphan_lease", ExitCause.ORPHAN_LEASE, time.monotonic())

    def _read_output(self) -> None:
        if self._attempt is not None:
            self._attempt.read_output(time.monotonic())

    def _take_signals(self) -> None:
        for number in os.read(self._signals, 4096):
            if number == signal.SIGTERM and self._attempt is None:
                self._disconnect()
            elif self._attempt is not None:
                self._take_signal(self._attempt, number)

    def _take_signal(self, attempt: ShimAttempt, number: int) -> None:
        now = time.monotonic()
        if number == signal.SIGCHLD:
            attempt.reap(now)
            self._report_if_done()
        elif number == signal.SIGTERM:
            attempt.stop("cancel", "", ExitCause.SIGNAL, now)
        else:
            attempt.set_waiting(number == signal.SIGUSR1, now)

    def _take_messages(self) -> None:
        messages, connected = self._channel.receive()
        for message in messages:
            self._take_message(message)
        if not connected:
            self._disconnect()

    def _take_message(self, message: Message) -> None:
        if "launch" in message:
            self._launch(message["launch"])
        elif self._attempt is None:
            return  # The message was for an attempt that has just ended.
        elif "stop" in message:
            ended_by, stopped_by, cause = message["stop"]
            self._attempt.stop(ended_by, stopped_by, cause, time.monotonic())
        elif "waiting" in message:
            self._attempt.set_waiting(message["waiting"], time.monotonic())

    def _launch(self, told: Message) -> None:
        launch = self._launched = completed(told, self._launched)
        self._attempt = ShimAttempt(launch, self._family, self._limits, self._held)
        pid = self._attempt.start(time.monotonic())
        self._untold, self._tell_at = pid, time.monotonic() + _GATHER_SECONDS
        self._report_if_done()

    def _tell_start(self) -> None:
        self._channel.send({"started": self._untold})
        self._untold = 0

    def _report_if_done(self) -> None:
        """Report the attempt's end. The shim ends after an attempt that left a process behind."""
        attempt = self._attempt
        if attempt is None or not attempt.is_done:
            return
        self._attempt = None
        # Never blocks: there are at most two small messages between two launches.
        end = b'{"ended": %s, "clean": %s, "pid": %d}'
        clean = b"true" if attempt.is_clean else b"false"
        self._channel.queue_encoded(end % (attempt.encoded_record, clean, self._untold))
        self._channel.flush()
        self._untold = 0
        if not attempt.is_clean:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            if self._attempt is not None:
                self._attempt.has_server = False
            self._poll.unregister(self._channel)
            # An earlier release of the server sends no orphan timeout.
            terms = self._launched.get("lease_lock", ""), self._launched.get("lease_seconds", 0.0)
            self._lease = OrphanTimeout(*terms, time.monotonic())


def completed(told: Message, before: Message) -> Message:
    """Return a whole launch from the previous launch and the differences."""
    if "env_gone" not in told:
        # The server is of an earlier release, because its folder was updated while it runs.
        return told
    env = {**before["env"], **told["env"]}
    for name in told["env_gone"]:
        del env[name]
    return {**before, **told, "env": env}
