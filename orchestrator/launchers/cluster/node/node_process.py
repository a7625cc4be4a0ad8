"""The processes of a node: the serving process, and its parent, which restarts it.

If the serving process is killed, workers keep running under their shims. If the parent process is
killed, too, no process extends the node's lease, and the shims stop the workers.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from orchestrator.core.errors import Conflict
from orchestrator.core.ports.worktree_transfer import NodeWorktrees
from orchestrator.launchers.cluster.connection.link import tcp_socket
from orchestrator.launchers.cluster.node.node_daemon import AgentSearch, NodeDaemon, Space
from orchestrator.launchers.cluster.node.node_settings import NodeSettings
from orchestrator.launchers.process import process_control

#: Seconds between the end of the serving process and the start of the next one.
_RESTART_SECONDS = 0.1
#: Exit code of a process that must not be started again.
REJECTED = 1


@contextmanager
def locked(directory: Path, name: str) -> Iterator[None]:
    """Hold the lock of a node's state directory. Create the directory if it does not exist.

    Raise Conflict if the node already runs on this machine. Raise OSError if the directory cannot
    be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"node {name!r} already runs on this machine; stop it first") from None
        yield
    finally:
        os.close(lock)


def run(
    settings: NodeSettings,
    say: Callable[[str], None],
    find_agents: AgentSearch,
    space: Space,
    worktrees: NodeWorktrees | None = None,
) -> int:
    """Run the node until a signal arrives, or until the server rejects the node.

    Return the exit code. ``find_agents`` searches for agents. ``space`` reads the machine's memory
    and disk. ``worktrees`` is required for a node with its own file system. The caller must hold
    the lock of the state directory (``locked``). Raise OSError if a port or the state directory
    cannot be used.
    """
    api = api_socket(settings.directory)
    stopping: list[int] = []
    serving = 0

    def stop(number: int, _: object) -> None:
        stopping.append(number)
        if serving:
            with suppress(ProcessLookupError):
                os.kill(serving, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        while True:
            parent = os.getpid()
            serving = os.fork()
            if serving == 0:
                _serve(
                    partial(NodeDaemon, settings, say, find_agents, space, worktrees), api, parent
                )
            if stopping:
                os.kill(serving, signal.SIGTERM)
            _, status = os.waitpid(serving, 0)
            code = os.waitstatus_to_exitcode(status)
            if stopping or code in (0, REJECTED):
                return max(0, code)
            time.sleep(_RESTART_SECONDS)
    finally:
        api.close()


def _serve(make_daemon: Callable[[], NodeDaemon], api: socket.socket, parent: int) -> None:
    """Serve the node in this forked process. Never returns."""
    code = 70
    try:
        process_control.signal_at_parents_end(signal.SIGKILL)
        if os.getppid() == parent:
            # Use a separate process group, so that Ctrl-C reaches only the parent.
            os.setpgid(0, 0)
            code = asyncio.run(_run(make_daemon(), api))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


async def _run(daemon: NodeDaemon, api: socket.socket) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.leave)
    return await daemon.run(api)


def api_socket(directory: Path) -> socket.socket:
    """Return the socket for the workers' API calls.

    The socket uses its former port if no other program uses it, because running workers call this
    port.
    """
    stored = directory / "api_port"
    api = tcp_socket(socket.AF_INET)
    api.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        api.bind(("127.0.0.1", int(stored.read_text())))
    except (OSError, ValueError):
        api.bind(("127.0.0.1", 0))
    stored.write_text(str(api.getsockname()[1]))
    api.listen(128)
    api.setblocking(False)
    return api
