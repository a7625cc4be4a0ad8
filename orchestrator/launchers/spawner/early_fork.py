"""Forks the spawner's process at a server's first step. Standard library only.

The fork is faster than the start of another Python process. The spawner's memory is small, because
the server imports its modules later.
"""

import os
import socket
import sys
from contextlib import suppress

from orchestrator.launchers.process import process_control
from orchestrator.launchers.process.crash_injection import INHERITED_VARIABLES
from orchestrator.launchers.spawner import spawner

#: The command line of the spawner, its keeper, and their shims.
TITLE = "orchestrator: spawner"

#: PID and control socket of the forked process. Empty if no process was forked, or if ``take`` has
#: returned the process.
_forked: list[tuple[int, socket.socket]] = []


def fork() -> None:
    """Fork the spawner. The caller must have only one thread.

    Call ``take`` to get the spawner. If ``take`` is not called, the spawner exits together with
    this process. On systems other than Linux, this function does nothing.
    """
    if sys.platform != "linux":  # elsewhere, libraries may not support a fork without exec
        return
    try:
        # A packet socket keeps each request together with its descriptor.
        control, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other_end:
            pid = os.fork()
            if pid == 0:
                _run(other_end.detach())
    except OSError:
        return  # In this case, the server starts the process later, and reports the error.
    _forked.append((pid, control))


def take() -> tuple[int, socket.socket] | None:
    """Return the PID and the control socket of the forked spawner.

    Return None if no spawner was forked, or if an earlier call has returned the spawner.
    """
    return _forked.pop() if _forked else None


def _run(control: int) -> None:
    try:
        _leave_server(control)
        spawner.serve(control)
    finally:
        os._exit(1)


def _leave_server(control: int) -> None:
    """Discard inherited descriptors and variables of the server, except ``control``.

    Other processes can still read the discarded variables in /proc, until the spawner's first step
    hides its memory.
    """
    process_control.set_title(TITLE)
    os.setsid()
    os.chdir("/")
    # The server has the same umask: other users must not read the files of workers.
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    # Do not use ``os.closerange``: on older kernels, it takes minutes if the limit of open files is
    # high.
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != control:
            with suppress(OSError):  # The descriptor of the list itself is closed already.
                os.close(descriptor)
    for name in os.environ.keys() - set(INHERITED_VARIABLES):
        del os.environ[name]
    sys.dont_write_bytecode = True
