"""The server's side of the spawner and of the shims, busy and idle."""

import itertools
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.model.attempt.attempt_result import Stray
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch, Proof
from orchestrator.launchers.local.containment_settings import ContainmentPlan
from orchestrator.launchers.process import crash_injection
from orchestrator.launchers.process.channel import Channel, Message
from orchestrator.security.product_files import PACKAGES

#: -S and -E keep the start short and independent of the server's environment. They also remove
#: this package from the import path, so its path is an argument.
_PROGRAM = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from orchestrator.launchers.spawner.spawner import main; main()"
)
_END_SECONDS = 5.0
_PASSED = ("LD_LIBRARY_PATH", crash_injection.VARIABLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShimGone:
    """Message: a shim and all its leftover processes have ended."""

    serial: int
    #: The killed processes.
    strays: tuple[Stray, ...]
    #: Why the shim could not be forked; empty if it was forked.
    refused: str = ""


class SpawnerProcess:
    """A spawner that runs under its keeper. Methods raise OSError if it cannot be started or
    called.
    """

    def __init__(self, plan: ContainmentPlan, serials: Iterator[int]) -> None:
        """``serials``: serial numbers for its shims, shared with all other spawners."""
        self._serials = serials
        #: True if the spawner or the keeper has ended: it forks no more shims, but still reports
        #: existing ones.
        self.is_retired = False
        # Packets, so that a request and its descriptor stay together.
        self._control, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other_end:
            try:
                self._process = _start(plan, other_end.fileno())
            except OSError:
                self._control.close()
                raise
        self._control.setblocking(False)

    @property
    def pid(self) -> int:
        """The pid of the keeper; in mode ``basic``, which has none, of the spawner."""
        return self._process.pid

    def fileno(self) -> int:
        return self._control.fileno()

    def fork_shim(self) -> tuple[int, socket.socket]:
        """Request a shim. Return its serial number and the socket to it, to which messages can be
        written at once.
        """
        serial = next(self._serials)
        own_end, shim_end = socket.socketpair()
        with shim_end:
            try:
                socket.send_fds(self._control, [b"%d" % serial], [shim_end.fileno()])
            except OSError:
                own_end.close()
                raise
        return serial, own_end

    def receive(self) -> tuple[list[ShimGone], bool]:
        """Return received messages, and True if the spawner or its keeper still runs."""
        told: list[ShimGone] = []
        while True:
            try:
                packet = self._control.recv(1 << 16)
            except BlockingIOError:
                return told, True
            except OSError:
                return told, False
            if not packet:
                return told, False
            message = json.loads(packet)
            if "retired" in message:
                self.is_retired = True
            else:
                told.append(_shim_gone(message))

    def close(self, has_work: bool = False) -> None:
        """Disconnect: the spawner ends with its last shim. If shims have work, do not wait for
        that.
        """
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if has_work else _END_SECONDS)
        if self._process.returncode is None:
            # The spawner continues without this process. Otherwise Popen would warn when it is
            # deleted.
            self._process.returncode = 0


def _shim_gone(message: dict[str, Any]) -> ShimGone:
    strays = tuple(Stray(**stray) for stray in message["strays"])
    return ShimGone(serial=message["shim"], strays=strays, refused=message["refused"])


def _start(plan: ContainmentPlan, control: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-S", "-E", "-B", "-c", _PROGRAM]
    argv += [PACKAGES, plan.for_shims(), str(control)]
    # An empty environment, because other processes of the user could read the server's keys.
    # Without the server's output, too, which an outliving shim would keep open.
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in _PASSED if name in os.environ},
        pass_fds=(control,),
        start_new_session=True,
    )


class ShimLink:
    """A shim: its socket, its spawner, and the attempt that it serves. Not thread-safe."""

    def __init__(self, spawner: SpawnerProcess) -> None:
        """Request a new shim. Raise OSError if that is not possible."""
        self.spawner = spawner
        self.serial, end = spawner.fork_shim()
        self._channel = Channel(end)
        #: The launch at work; None if the shim is idle.
        self.launch: Launch | None = None
        #: The latest launch that the shim knows; the next message has only the differences.
        self._told: Mapping[str, Any] = {}
        self._told_env: Mapping[str, str] = {}
        self.idle_since = 0.0
        self._asked_to_stop: tuple[str, str, ExitCause] | None = None
        self._is_waiting = False
        #: The spawner has reported that the shim and all its leftovers have ended.
        self.is_gone = False
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

        The shim reports a start with a delay. Before that, the worker may kill its shim and remove
        the attempt's claim.
        """
        return self.is_at_work or not self._channel.is_unread

    @property
    def is_open(self) -> bool:
        return self.fileno() >= 0

    def start(self, launch: Launch) -> None:
        self.launch = launch
        self.is_at_work = False
        self._asked_to_stop = None
        self._is_waiting = False
        self._channel.send({"launch": self._message(launch)})

    def _message(self, launch: Launch) -> dict[str, Any]:
        # Workers of a job differ in few fields, and encoding all fields took three times as long.
        fields = _fields(launch)
        message = _differences(fields, self._told)
        message["env"] = _differences(launch.env, self._told_env)
        # Only in the message, never in the stored launch.
        message["record_secret"] = launch.proof.secret
        message["env_gone"] = [name for name in self._told_env if name not in launch.env]
        self._told, self._told_env = fields, launch.env
        return message

    def has_begun(self) -> None:
        """Record that the shim runs with the secret, and delete the secret here, because no other
        process needs it.
        """
        self.is_at_work = True
        if self.launch is not None and self.launch.proof.secret:
            self.launch = replace(self.launch, proof=Proof(self.launch.proof.digest))

    def stop(self, ended_by: str, stopped_by: str, cause: ExitCause = ExitCause.NONE) -> None:
        self._asked_to_stop = self._asked_to_stop or (ended_by, stopped_by, cause)
        self._channel.send({"stop": [ended_by, stopped_by, cause]})

    def waiting(self, waiting: bool) -> None:
        self._is_waiting = waiting
        self._channel.send({"waiting": waiting})

    def take_over(self, other: "ShimLink", launch: Launch) -> None:
        """Start an attempt that another shim did not begin, and send this shim the other's
        messages.
        """
        self.start(launch)
        if other._is_waiting:
            self.waiting(True)
        if other._asked_to_stop is not None:
            self.stop(*other._asked_to_stop)

    def flush(self) -> None:
        self._channel.flush()

    def receive(self) -> tuple[list[Message], bool]:
        return self._channel.receive()

    def close(self) -> None:
        """Disconnect. An idle shim then ends; a busy shim ends with its attempt."""
        self._channel.close()


def _fields(launch: Launch) -> dict[str, Any]:
    """Return all fields except the environment."""
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
        "log_limit_bytes": launch.log_limit_bytes,
        "secrets": launch.secrets,
        "lease_lock": launch.lease_lock,
        "lease_seconds": launch.lease_seconds,
    }


def _differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in now.items() if name not in before or before[name] != value
    }


logger = logging.getLogger(__name__)

#: Number of idle shims that are kept; others end after a while.
IDLE_SHIMS = 4
IDLE_SECONDS = 3.0

_READ, _READ_WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT


class ShimPool:
    """The idle and busy shims of a launcher.

    Registers its sockets with an epoll object. Not thread-safe: guarded by the launcher.
    """

    def __init__(self, epoll: select.epoll, plan: ContainmentPlan) -> None:
        self._epoll = epoll
        self._plan = plan
        self._serials = itertools.count(1)
        self._spawner: SpawnerProcess | None = None
        #: The present spawner, and replaced spawners that still report their last shims.
        self._spawners: list[SpawnerProcess] = []
        self._links: dict[int, ShimLink] = {}
        #: Idle shims; the most recently used one is last, and is used next.
        self._idle: list[ShimLink] = []
        #: By serial number: shims that ended at work, until their leftover processes have ended.
        self._fallen: dict[int, ShimLink] = {}

    @property
    def spawner(self) -> SpawnerProcess:
        """Return the spawner. Raise OSError if there is none and none can be started."""
        if self._spawner is None:
            self._spawner = SpawnerProcess(self._plan, self._serials)
            self._spawners.append(self._spawner)
            self._epoll.register(self._spawner, _READ)
        return self._spawner

    def take(self) -> ShimLink:
        """Return an idle shim, or a new one. Raise OSError if there is none."""
        return self._idle.pop() if self._idle else self._new_link()

    def _new_link(self) -> ShimLink:
        try:
            link = ShimLink(self.spawner)
        except ConnectionError:
            # The spawner has just died, and its end was not yet noticed.
            self._replace_spawner()
            link = ShimLink(self.spawner)
        self._links[link.fileno()] = link
        self._epoll.register(link, _READ)
        return link

    def give_back(self, link: ShimLink) -> None:
        """Keep a shim for the next attempt, if a spawner would still adopt its leftover
        processes.
        """
        if link.spawner is not self._spawner:
            self._drop(link)
            return
        link.idle_since = time.monotonic()
        self._idle.append(link)

    def at(self, descriptor: int) -> ShimLink | None:
        return self._links.get(descriptor)

    def watch(self, link: ShimLink) -> None:
        """Watch for writability if unsent data remains."""
        self._epoll.modify(link, _READ_WRITE if link.has_unsent else _READ)

    @property
    def has_surplus(self) -> bool:
        return len(self._idle) > IDLE_SHIMS

    def let_idle_go(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        while self.has_surplus and self._idle[0].idle_since <= limit:
            self._drop(self._idle.pop(0))

    def fell(self, link: ShimLink) -> bool:
        """Handle a closed shim socket. Return True if no spawner will report its leftovers' end."""
        self._drop(link)
        if link in self._idle:
            self._idle.remove(link)
        if link.launch is None:
            return False
        if link.is_gone or link.spawner not in self._spawners:
            return True
        self._fallen[link.serial] = link
        return False

    def _drop(self, link: ShimLink) -> None:
        del self._links[link.fileno()]
        self._epoll.unregister(link)
        link.close()

    def gone(self) -> list[tuple[ShimLink, tuple[Stray, ...]]]:
        """Return busy shims that have died with all leftover processes, as reported by their
        spawners.
        """
        ended: list[tuple[ShimLink | None, tuple[Stray, ...]]] = []
        for spawner in list(self._spawners):
            told, is_there = spawner.receive()
            ended += [(self._noted(shim), shim.strays) for shim in told]
            if not is_there:
                ended += [(link, ()) for link in self._abandon(spawner)]
            if spawner is self._spawner and (spawner.is_retired or not is_there):
                self._replace_spawner()
        return [(link, strays) for link, strays in ended if link is not None]

    def _noted(self, shim: ShimGone) -> ShimLink | None:
        """Record the death of a shim. Return its link; None if the link was closed before."""
        link = self._fallen.pop(shim.serial, None)
        if link is None:
            link = next((each for each in self._links.values() if each.serial == shim.serial), None)
        if link is not None:
            link.is_gone, link.refused = True, shim.refused
        return link

    def _abandon(self, spawner: SpawnerProcess) -> list[ShimLink]:
        """Discard a spawner that has ended with its keeper. Return the dead shims that it did not
        report.
        """
        self._epoll.unregister(spawner)
        spawner.close()
        self._spawners.remove(spawner)
        lonely = [link for link in self._fallen.values() if link.spawner is spawner]
        for link in lonely:
            del self._fallen[link.serial]
        return lonely

    def _replace_spawner(self) -> None:
        """Start another spawner; busy shims continue without their earlier spawner."""
        old, self._spawner = self._spawner, None
        if old is not None:
            logger.error("spawner ended", extra={"action": "spawner_ended", "pid": old.pid})
        while self._idle:
            self._drop(self._idle.pop())
        try:
            _ = self.spawner
        except OSError:
            # The next required shim retries, and its attempt reports the failure.
            logger.exception("cannot start a spawner", extra={"action": "spawner_start"})

    def close(self) -> None:
        """Disconnect all shims: idle shims end; busy shims continue until their attempt
        has ended.
        """
        has_work = any(link.launch for link in self._links.values())
        for link in list(self._links.values()):
            self._drop(link)
        for spawner in self._spawners:
            spawner.close(has_work)
