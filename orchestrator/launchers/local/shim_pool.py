"""The server's side of the shims: a connection to each shim, and the pool of all shims."""

import itertools
import logging
import os
import select
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.attempt.attempt_result import LeftoverProcess
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch, Proof
from orchestrator.launchers.containment.containment_settings import ContainmentSettings
from orchestrator.launchers.local.spawner_client import ShimEnd, SpawnerProcess
from orchestrator.launchers.process.channel import Channel, Message
from orchestrator.system import process_table

logger = logging.getLogger(__name__)

#: Seconds that a worker may run before its shim returns the preloaded launches.
PRELOAD_SECONDS = 0.05


class ShimLink:
    """A shim: its socket, its spawner, and the attempt that it runs. Not thread-safe."""

    def __init__(self, spawner: SpawnerProcess, serial: int) -> None:
        """Request a new shim with the number ``serial`` from the spawner.

        Raise OSError if the request cannot be sent.
        """
        self.spawner = spawner
        self.serial = serial
        self._channel = Channel(spawner.fork_shim(serial))
        #: The launch that is being run; None if the shim is idle.
        self.launch: Launch | None = None
        #: Preloaded launches, by attempt id, in the order in which the shim begins them.
        self.preloaded: dict[str, Launch] = {}
        #: True if the shim runs no further attempt, because a process of its attempt remains.
        self.is_leaving = False
        #: True if the shim has returned launches because its current worker runs long.
        self.is_slow = False
        #: The latest launch that was sent to the shim. The next message contains only the
        #: differences from this launch.
        self._sent: Mapping[str, Any] = {}
        self._sent_env: Mapping[str, str] = {}
        self.idle_since = 0.0
        self._stop_request: tuple[str, str, ExitCause] | None = None
        self._is_waiting = False
        #: True after the spawner's report that the shim and all its leftover processes have ended.
        self.is_end_reported = False
        #: Leftover processes of the shim that the spawner has killed.
        self.leftover_processes: tuple[LeftoverProcess, ...] = ()
        #: True if the shim has started its worker.
        self.is_at_work = False
        #: Why the spawner could not fork the shim.
        self.refused = ""

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def has_unsent(self) -> bool:
        return self._channel.has_unsent

    @property
    def may_have_begun(self) -> bool:
        """True if the worker of an exited shim may have started.

        A shim reports a start with a delay. Before the report, a worker can kill its shim and
        remove the proof of the start.
        """
        # Unread data proves that the shim has not read its launch. With preloaded launches, unread
        # data proves nothing, because it may be a preloaded launch.
        return self.is_at_work or bool(self.preloaded) or not self._channel.is_unread

    @property
    def is_busy(self) -> bool:
        """True if the shim has a launch that it has not reported as ended."""
        return self.launch is not None or bool(self.preloaded)

    @property
    def is_open(self) -> bool:
        return self.fileno() >= 0

    @property
    def stops_with_server(self) -> bool:
        """True if this server stopped the attempt during the server's own shutdown."""
        return self._stop_request is not None and self._stop_request[2] is ExitCause.SHUTDOWN

    def start(self, launch: Launch) -> None:
        self.launch = launch
        self.is_at_work = self.is_slow = False
        self._stop_request = None
        self._is_waiting = False
        self._channel.send({"launch": self._message(launch)})

    def preload(self, launch: Launch) -> None:
        """Queue a launch that the shim begins after its earlier launches. ``flush`` sends it."""
        self.preloaded[launch.attempt_id] = launch
        self._channel.queue({"launch": self._message(launch), "kept_seconds": PRELOAD_SECONDS})

    def withdraw_launch(self, attempt_id: str) -> None:
        """Ask the shim to return a preloaded launch. A launch that has begun is not returned."""
        self._channel.send({"return": attempt_id})

    def record_next_launch(self, attempt_id: str) -> None:
        """Record that the shim runs a preloaded launch now."""
        self.launch = self.preloaded.pop(attempt_id)
        self.is_at_work = self.is_slow = False
        self._stop_request = None
        self._is_waiting = False

    def _message(self, launch: Launch) -> dict[str, Any]:
        # Send only the differences: the workers of a job differ in few fields, and encoding all
        # fields takes three times as long.
        fields = _fields(launch)
        message = _differences(fields, self._sent)
        message["env"] = _differences(launch.env, self._sent_env)
        # Only the shim gets the secret. The stored launch never contains the secret.
        message["record_secret"] = launch.proof.secret
        message["env_gone"] = [name for name in self._sent_env if name not in launch.env]
        self._sent, self._sent_env = fields, launch.env
        return message

    def record_start(self) -> None:
        """Record that the shim has started its worker.

        Also forget the secret of the exit record, because only the shim needs it from now on.
        """
        self.is_at_work = True
        if self.launch is not None and self.launch.proof.secret:
            self.launch = changed(self.launch, proof=Proof(self.launch.proof.digest))

    def stop(
        self,
        attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        """Stop an attempt, whether or not it has begun.

        If its launch is only preloaded, the shim is also asked to return the launch without a
        start. If the attempt has begun, only the first call decides how and why it ended.
        """
        if attempt_id in self.preloaded:
            self.withdraw_launch(attempt_id)
        else:
            self._stop_request = self._stop_request or (ended_by, stopped_by, cause)
        self._channel.send({"stop": [ended_by, stopped_by, cause], "attempt": attempt_id})

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        self._is_waiting = waiting
        self._channel.send({"waiting": waiting, "attempt": attempt_id})

    def take_over(self, other: "ShimLink", launch: Launch) -> None:
        """Start an attempt that the shim ``other`` did not begin.

        Messages about this attempt that were sent to ``other`` are sent to this shim, too.
        """
        self.start(launch)
        if other._is_waiting:
            self.waiting(launch.attempt_id, True)
        if other._stop_request is not None:
            self.stop(launch.attempt_id, *other._stop_request)

    def flush(self) -> None:
        self._channel.flush()

    def receive(self) -> tuple[list[Message], bool]:
        return self._channel.receive()

    def close(self) -> None:
        """Disconnect. An idle shim then exits at once, a busy shim after its attempt."""
        self._channel.close()


def _fields(launch: Launch) -> dict[str, Any]:
    return {
        "attempt": launch.attempt_id,
        "argv": launch.argv,
        "cwd": launch.cwd,
        "make_cwd": launch.make_cwd,
        "stdin": launch.stdin,
        "log": launch.log,
        "exit_path": launch.exit_path,
        "timeout": launch.timeout,
        "grace": launch.grace,
        "umask": launch.umask,
        "log_limit_bytes": launch.log_limit_bytes,
        "secrets": launch.secrets,
        "lease_lock": launch.lease_lock,
        "lease_seconds": launch.lease_seconds,
        "lease_file": launch.lease_file,
    }


def _differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in now.items() if name not in before or before[name] != value
    }


#: Number of idle shims that remain. Further idle shims are closed after ``IDLE_SECONDS``.
IDLE_SHIMS = 4
IDLE_SECONDS = 3.0

_READ, _READ_WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT


class ShimPool:
    """The idle and busy shims of a launcher.

    Registers their sockets with an epoll object. Not thread-safe: the launcher's lock guards it.
    """

    def __init__(
        self,
        epoll: select.epoll,
        containment: ContainmentSettings,
        lease_file: str,
        first: SpawnerProcess | None,
    ) -> None:
        """``first``: a spawner for which ``begin`` has not been called; None: start a spawner."""
        self._epoll = epoll
        self._containment = containment
        self._lease_file = lease_file
        self._serials = itertools.count(1)
        self._next = first
        self._spawner: SpawnerProcess | None = None
        #: The current spawner, and replaced spawners that have not yet reported the ends of all
        #: their shims.
        self._spawners: list[SpawnerProcess] = []
        self._links: dict[int, ShimLink] = {}
        #: Idle shims. The most recently used shim is the last, and is used next.
        self._idle: list[ShimLink] = []
        #: Shims that died during an attempt, until their leftover processes have ended. Keys are
        #: serial numbers.
        self._dead_links: dict[int, ShimLink] = {}

    @property
    def spawner(self) -> SpawnerProcess:
        """The current spawner, started if necessary. Raise OSError if the start fails."""
        if self._spawner is None:
            self._spawner = self._begin_spawner()
            self._spawners.append(self._spawner)
            self._epoll.register(self._spawner, _READ)
        return self._spawner

    def _begin_spawner(self) -> SpawnerProcess:
        spawner, self._next = self._next or SpawnerProcess.start(), None
        try:
            spawner.begin(self._containment.for_shims(), self._watched_server())
        except OSError:
            spawner.close()
            raise
        return spawner

    def _watched_server(self) -> Mapping[str, object]:
        if not self._lease_file:
            return {}
        pid = os.getpid()
        keepers = [each.pid for each in self._spawners]
        ticks = process_table.start_ticks(pid)
        return {"lease_file": self._lease_file, "pid": pid, "ticks": ticks, "keepers": keepers}

    def acquire(self) -> ShimLink:
        """Return an idle shim, or a new shim. Raise OSError if no shim can be started."""
        return self._idle.pop() if self._idle else self._new_link()

    def least_loaded(self) -> ShimLink | None:
        """Return the busy shim with the fewest preloaded launches; None if none is suitable."""
        busy = (
            link
            for link in self._links.values()
            if link.launch
            and link.spawner is self._spawner
            and not (link.is_slow or link.is_end_reported)
        )
        return min(busy, key=lambda link: len(link.preloaded), default=None)

    def _new_link(self) -> ShimLink:
        try:
            link = ShimLink(self.spawner, next(self._serials))
        except ConnectionError:
            # The spawner died a moment ago, and its end was not processed yet.
            self._replace_spawner()
            link = ShimLink(self.spawner, next(self._serials))
        self._links[link.fileno()] = link
        self._epoll.register(link, _READ)
        return link

    def release(self, link: ShimLink) -> None:
        """Keep an idle shim for the next attempt. Close the shim if its spawner was replaced.

        A replaced spawner would not adopt and kill leftover processes of the shim's next attempt.
        """
        if link.spawner is not self._spawner:
            self._drop(link)
            return
        link.idle_since = time.monotonic()
        self._idle.append(link)

    def at(self, descriptor: int) -> ShimLink | None:
        return self._links.get(descriptor)

    def watch(self, link: ShimLink) -> None:
        """Watch a shim's socket for incoming data, and for writability if data is queued."""
        self._epoll.modify(link, _READ_WRITE if link.has_unsent else _READ)

    @property
    def has_surplus(self) -> bool:
        return len(self._idle) > IDLE_SHIMS

    def close_surplus(self) -> None:
        """Close surplus idle shims that have been idle for ``IDLE_SECONDS``."""
        limit = time.monotonic() - IDLE_SECONDS
        while self.has_surplus and self._idle[0].idle_since <= limit:
            self._drop(self._idle.pop(0))

    def handle_closed_socket(self, link: ShimLink) -> bool:
        """Handle the closed socket of a shim that has exited.

        Return False if the shim was idle, or if its spawner will report the end of the shim's
        leftover processes later (see ``ended_shims``). Otherwise return True: the caller must then
        find out how the shim's attempt ended.
        """
        self._drop(link)
        if link in self._idle:
            self._idle.remove(link)
        if not link.is_busy:
            return False
        if link.is_end_reported or link.spawner not in self._spawners:
            return True
        self._dead_links[link.serial] = link
        return False

    def _drop(self, link: ShimLink) -> None:
        del self._links[link.fileno()]
        self._epoll.unregister(link)
        link.close()

    def ended_shims(self) -> list[ShimLink]:
        """Return the dead shims whose leftover processes have ended.

        A shim that died while it was idle is usually not returned.
        """
        dead_links: list[ShimLink | None] = []
        for spawner in list(self._spawners):
            messages, is_running = spawner.receive()
            dead_links += map(self._record_end, messages)
            if not is_running:
                dead_links += self._abandon(spawner)
            if spawner is self._spawner and (spawner.is_retired or not is_running):
                self._replace_spawner()
        return [link for link in dead_links if link is not None]

    def _record_end(self, shim: ShimEnd) -> ShimLink | None:
        link = self._dead_links.pop(shim.serial, None)
        if link is None:
            link = next((each for each in self._links.values() if each.serial == shim.serial), None)
        if link is not None:
            link.is_end_reported, link.leftover_processes, link.refused = (
                True,
                shim.leftover_processes,
                shim.refused,
            )
        return link

    def _abandon(self, spawner: SpawnerProcess) -> list[ShimLink]:
        """Discard a spawner that has ended together with its keeper.

        Return the spawner's shims that have died without a report.
        """
        self._epoll.unregister(spawner)
        spawner.close()
        self._spawners.remove(spawner)
        unreported = [link for link in self._dead_links.values() if link.spawner is spawner]
        for link in unreported:
            del self._dead_links[link.serial]
        return unreported

    def _replace_spawner(self) -> None:
        # Busy shims continue. Their former spawner still reports their ends.
        former, self._spawner = self._spawner, None
        if former is not None:
            logger.error(
                "the spawner has ended unexpectedly; starting another spawner",
                extra={"action": "spawner_ended", "pid": former.pid},
            )
        while self._idle:
            self._drop(self._idle.pop())
        try:
            _ = self.spawner
        except OSError:
            # The next call that needs a shim retries the start. If the retry fails, the attempt of
            # that call reports the failure.
            logger.exception(
                "cannot start the spawner; the next start of a worker retries",
                extra={"action": "spawner_start"},
            )

    def close(self) -> None:
        """Disconnect all shims. Idle shims exit; busy shims exit after their attempts."""
        has_work = any(link.is_busy for link in self._links.values())
        for link in list(self._links.values()):
            self._drop(link)
        for spawner in self._spawners:
            spawner.close(has_work)
