"""The init process of a worker's PID namespace.

The init process starts the worker, reaps processes, and reports the worker's end. The init process
ends together with its shim.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys

from orchestrator.launchers.process import process_control, worker_limits
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import SpawnFailed, start_worker

_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8


def main() -> None:
    """Run as the init process of a sandbox.

    The last command-line argument is the descriptor of the socket to the shim.
    """
    end = socket.socket(fileno=int(sys.argv[-1]))
    end.set_inheritable(False)
    serve(end, mounts_proc=False)


def close_other_descriptors(end: socket.socket, source: int, output: int) -> None:
    """Close all descriptors except the socket, the worker's input, and the worker's output."""
    for standard, descriptor in enumerate((source, output, output)):
        os.dup2(descriptor, standard)
    os.closerange(3, end.fileno())
    os.closerange(end.fileno() + 1, 1 << 16)


def serve(end: socket.socket, mounts_proc: bool) -> None:
    """Run until the namespace contains no other process.

    ``mounts_proc``: True to mount /proc first.
    """
    try:
        _serve(end, mounts_proc)
    except Exception as error:
        _send(end, {"error": f"cannot set up the PID namespace: {error}"})
    finally:
        os._exit(0)


def _serve(end: socket.socket, mounts_proc: bool) -> None:
    # The shim sends this message only after the intermediate process (``Namespaces._start_init``)
    # has ended. Therefore the shim is now the parent of this process.
    launch = _receive_launch(end)
    if mounts_proc:
        _die_with_parent(end)
        _mount_proc()
    try:
        worker = start_worker(
            launch["argv"],
            launch["cwd"],
            launch["env"],
            0,
            1,
            worker_limits.kernel_limit_setter(launch["limits"]),
        )
    except SpawnFailed as error:
        _send(end, {"error": str(error)})
        return
    _send(end, {"started": worker})
    # This process must not keep the worker's pipe open.
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    end.recv(1)
    _reap(end, worker)


def _reap(end: socket.socket, worker: int) -> None:
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return
        if pid == worker:
            _send(end, {"status": status})


def _receive_launch(end: socket.socket) -> Message:
    with end.makefile("rb", buffering=0) as lines:
        line = b""
        while not line.endswith(b"\n"):
            chunk = lines.read(1 << 16)
            if not chunk:
                raise OSError("the shim exited")
            line += chunk
    launch: Message = json.loads(line)
    return launch


def _send(end: socket.socket, message: Message) -> None:
    try:
        end.sendall(json.dumps(message).encode("ascii") + b"\n")
    except OSError:
        os._exit(1)  # The shim has exited, so the namespace must end.


def _die_with_parent(end: socket.socket) -> None:
    process_control.signal_at_parents_end(signal.SIGKILL)
    # If the shim died before this call, this process gets no signal, but finds the socket closed.
    poll = select.poll()
    poll.register(end, 0)
    if poll.poll(0):
        os._exit(1)


def _mount_proc() -> None:
    # The former /proc shows the PIDs of another namespace.
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE)
    _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {target.decode()}: {os.strerror(code)}")
