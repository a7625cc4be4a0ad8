"""PID namespaces: when a namespace's init process dies, the kernel kills the whole namespace."""

import ctypes
import json
import os
import signal
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from resource import struct_rusage

from orchestrator.launchers.containment import namespace_init
from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import SpawnFailed, fork_quietly
from orchestrator.system import process_table

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
#: Timeout of the setup, which normally takes milliseconds.
_START_SECONDS = 20.0
_END_SECONDS = 5.0
_NO_USAGE = struct_rusage((0.0,) * 2 + (0,) * 14)


class Namespaces(Subreaper):
    """Containment by PID namespaces: each worker is the child of its own init process.

    If this process dies, its init processes die, and the kernel kills everything in their
    namespaces.
    """

    mode = "pidns"

    def __init__(self, settings: Message) -> None:
        super().__init__()
        self._limits: Message = settings["limits"]
        #: PID of a direct child of this process. When this child exits, the namespace ends.
        self._guard = 0
        self._init = 0
        #: The worker's PID outside the namespace; 0 when its end has been reported.
        self._worker = 0
        self._wire: socket.socket | None = None

    def _start(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str], source: int, output: int
    ) -> int:
        self._wire, init_end = socket.socketpair()
        self._wire.settimeout(_START_SECONDS)
        try:
            with init_end:
                self._start_init(init_end, source, output, cwd, env)
            self._worker = self._start_inside(argv, cwd, env)
        except (OSError, ValueError) as error:
            self._abandon()
            raise SpawnFailed(f"containment {self.mode} failed: {error}") from None
        except SpawnFailed:
            self._abandon()
            raise
        self._wire.setblocking(False)
        self.notices = self._wire.fileno()
        return self._worker

    def _start_init(
        self, init_end: socket.socket, source: int, output: int, cwd: str, env: Mapping[str, str]
    ) -> None:
        intermediate = fork_quietly()
        if intermediate == 0:
            _become_init(init_end, source, output)
        # This process adopts the init when the intermediate process ends.
        os.waitpid(intermediate, 0)
        self._guard = self._init = int(self._receive()["init"])

    def _start_inside(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> int:
        launch = {"argv": list(argv), "cwd": cwd, "env": dict(env), "limits": self._limits}
        assert self._wire is not None
        self._wire.sendall(json.dumps(launch).encode("ascii") + b"\n")
        self._receive()
        # The worker is the only child of the init process. The init process reaps the worker only
        # after it has received the next byte. Therefore the worker's PID is valid here.
        worker = process_table.children(self._init)[0]
        self._wire.sendall(b"\n")
        return worker

    def _receive(self) -> Message:
        assert self._wire is not None
        line = bytearray()
        while not line.endswith(b"\n"):
            # Read single bytes, so that no byte of the next message is read.
            byte = self._wire.recv(1)
            if not byte:
                raise SpawnFailed(
                    f"the init process of containment {self.mode} exited before the worker started"
                )
            line += byte
        message: Message = json.loads(line)
        if "error" in message:
            raise SpawnFailed(message["error"])
        return message

    def _abandon(self) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while not self.is_empty and time.monotonic() < deadline:
            Subreaper.kill(self)
            for _ in Subreaper.reap(self):
                pass
            time.sleep(0.001)
        self.close()

    def reap(self) -> Iterator[tuple[int, int, struct_rusage]]:
        yield from self._reported_end()
        for pid, status, usage in super().reap():
            if pid == self._guard:
                yield from self._reported_end()
                yield from self._killed_worker()
            yield pid, status, usage

    def _reported_end(self) -> Iterator[tuple[int, int, struct_rusage]]:
        if self._worker == 0 or self._wire is None:
            return
        try:
            line = self._wire.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            # The init was killed, for example by a limit, before it read this process's answer.
            line = b""
        self.notices = None  # No further event follows, except the end of the stream.
        if line:
            worker, self._worker = self._worker, 0
            yield worker, json.loads(line)["status"], _NO_USAGE

    def _killed_worker(self) -> Iterator[tuple[int, int, struct_rusage]]:
        # The kernel kills a worker together with its init process, which then cannot report the
        # end.
        if self._worker:
            worker, self._worker = self._worker, 0
            yield worker, signal.SIGKILL, _NO_USAGE

    def members(self) -> list[process_table.Process]:
        return list(process_table.descendants(self._init)) if self._init else []

    def detached(self, spare: Collection[int]) -> list[process_table.Process]:
        processes = (process_table.look_up(pid) for pid in process_table.children(self._init))
        return [each for each in processes if each and each.alive and each.pid not in spare]

    def close(self) -> str:
        if self._wire is not None:
            self._wire.close()
        self._wire = self.notices = None
        self._guard = self._init = self._worker = 0
        return ""


def _become_init(end: socket.socket, source: int, output: int) -> None:
    try:
        _unshare()
        pid = os.fork()
        if pid == 0:
            namespace_init.close_other_descriptors(end, source, output)
            namespace_init.serve(end, mounts_proc=True)
        end.sendall(b'{"init": %d}\n' % pid)
    except OSError as error:
        end.sendall(json.dumps({"error": f"containment pidns failed: {error}"}).encode() + b"\n")
    finally:
        os._exit(0)


def _unshare() -> None:
    # The next forked process is in the new namespaces. An ordinary user also needs a user
    # namespace.
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS | _CLONE_NEWPID | (0 if user == 0 else _CLONE_NEWUSER)
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    if user:
        # While the memory is hidden, the files in /proc/self belong to root.
        process_control.hide_memory(False)
        _write_map("setgroups", "deny")
        _write_map("uid_map", f"{user} {user} 1")
        _write_map("gid_map", f"{group} {group} 1")
        process_control.hide_memory()


def _write_map(name: str, content: str) -> None:
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(content)
