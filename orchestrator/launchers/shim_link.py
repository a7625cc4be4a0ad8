"""The server's side of one shim."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.exit_cause import ExitCause
from orchestrator.core.launching import Launch, Proof
from orchestrator.launchers.channel import Channel, Message
from orchestrator.launchers.spawning import SpawnerProcess


class ShimLink:
    """A shim: its socket, who forked it, and the attempt that it serves. Not thread-safe."""

    def __init__(self, spawner: SpawnerProcess) -> None:
        """Have a shim forked. Raise OSError when that is not possible."""
        self.spawner = spawner
        self.serial, end = spawner.fork_shim()
        self._channel = Channel(end)
        #: None when it is idle.
        self.launch: Launch | None = None
        #: What the shim knows of the launch before, which the next is told by its differences from.
        self._told: Mapping[str, Any] = {}
        self._told_env: Mapping[str, str] = {}
        self.idle_since = 0.0
        self._asked_to_stop: tuple[str, str, ExitCause] | None = None
        self._is_waiting = False
        #: The spawner has told that it and all that it left is gone.
        self.is_gone = False
        #: Its worker has been started.
        self.is_at_work = False
        #: Why it could not be forked, as the spawner has told.
        self.refused = ""

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def has_unsent(self) -> bool:
        return self._channel.has_unsent

    @property
    def may_have_begun(self) -> bool:
        """Of a shim that is gone. It tells a start some time later: a worker is faster than that,
        which kills its shim and removes the attempt's claim."""
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
        # Workers of a job differ in a few names: the whole took three times as long to encode.
        fields = _fields(launch)
        message = _differences(fields, self._told)
        message["env"] = _differences(launch.env, self._told_env)
        # Never in what is remembered of a launch.
        message["record_secret"] = launch.proof.secret
        message["env_gone"] = [name for name in self._told_env if name not in launch.env]
        self._told, self._told_env = fields, launch.env
        return message

    def has_begun(self) -> None:
        """The shim has the secret and is at work: nobody else needs it any more."""
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
        """Start what another shim did not come to, and tell what that one was told."""
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
        """An idle shim ends at this; one that is at work does when its attempt has ended."""
        self._channel.close()


def _fields(launch: Launch) -> dict[str, Any]:
    """All but the environment."""
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
