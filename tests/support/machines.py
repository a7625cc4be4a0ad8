"""Network and process namespaces of this machine that stand for other machines."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.cluster import NodeProcess

#: The first process of a machine: it starts a program, and reaps orphans until it is killed.
_INIT = 'trap : TERM; "$@" & while :; do sleep 1000 & wait; done'


def hiding_prefix(*directories: Path) -> tuple[str, ...]:
    """Return the words before a command that sees ``directories`` as empty."""
    mounts = [f"mount -t tmpfs none {shlex.quote(str(each))}" for each in directories]
    return "unshare", "-m", "sh", "-c", " && ".join((*mounts, 'exec "$0" "$@"'))


def run(command: str) -> None:
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=30)


class Namespace:
    """A network namespace with one link to this machine."""

    def __init__(self, number: int = 0) -> None:
        """``number``: below 64, and different for each namespace of this process.

        Raise CalledProcessError or OSError if this machine cannot create namespaces.
        """
        own = os.getpid() % 12_800
        self.name = self.link = f"orch{own}x{number}"
        first = 4 * number
        self.server, self.node = (
            f"10.{200 + own % 50}.{own // 50}.{n}" for n in (first + 1, first + 2)
        )
        run(f"ip netns add {self.name}")
        try:
            self._connect()
            run(f"ip addr add {self.server}/30 dev {self.link}")
            run(f"ip link set {self.link} up")
            self.run_inside("ip link set lo up")
            self.run_inside("ip link set e0 up")
            self.run_inside(f"ip addr add {self.node}/30 dev e0")
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        """Create the link, with the name ``e0`` in the namespace."""
        run(f"ip link add {self.link} type veth peer name e0 netns {self.name}")

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that runs in the namespace."""
        return "ip", "netns", "exec", self.name

    def run_inside(self, command: str) -> None:
        """Run a command in the namespace. Raise CalledProcessError."""
        run(f"ip netns exec {self.name} {command}")

    def cut(self) -> None:
        run(f"ip link set {self.link} down")

    def reconnect(self) -> None:
        run(f"ip link set {self.link} up")

    def cut_one_way(self, to: str) -> None:
        """Drop all packets to ``to`` ("node" or "server") by a wrong link-layer address."""
        nowhere = "lladdr 02:00:00:00:00:01 nud permanent"
        if to == "node":
            run(f"ip neigh replace {self.node} dev {self.link} {nowhere}")
        else:
            self.run_inside(f"ip neigh replace {self.server} dev e0 {nowhere}")

    def reconnect_one_way(self, to: str) -> None:
        if to == "node":
            run(f"ip neigh del {self.node} dev {self.link}")
        else:
            self.run_inside(f"ip neigh del {self.server} dev e0")

    def close(self) -> None:
        """Idempotent."""
        subprocess.run(f"ip netns del {self.name}", shell=True, capture_output=True, check=False)
        subprocess.run(f"ip link del {self.link}", shell=True, capture_output=True, check=False)


def skip_or_fail(what: str, error: BaseException) -> None:
    """Skip the test with the reason ``what``; in CI, raise ``error``."""
    if os.environ.get("CI"):
        raise error
    pytest.skip(f"{what}: {error}")


@contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """Create network namespaces. Skip the test if this machine cannot create them."""
    made: list[Namespace] = []
    try:
        try:
            made += [Namespace(number) for number in range(count)]
        except (subprocess.CalledProcessError, OSError) as error:
            skip_or_fail("this machine cannot create network namespaces", error)
        yield made
    finally:
        for each in made:
            each.close()


class Machine:
    """A node with its own PID and network namespaces. The machine can be switched off."""

    def __init__(
        self,
        name: str,
        network: Namespace,
        join_file: Path,
        state: Path,
        hidden: tuple[Path, ...] = (),
    ) -> None:
        """``hidden``: directories that the machine sees as empty. The node then has own files."""
        self.name, self.network, self._hidden = name, network, hidden
        self._join_file, self._state = join_file, state
        self._node: NodeProcess | None = None

    @property
    def is_on(self) -> bool:
        return self._node is not None

    @property
    def output(self) -> str:
        path = self._state.with_name(f"{self._state.name}.log")
        return path.read_text() if path.exists() else ""

    def boot(self) -> None:
        """Switch the machine on."""
        new = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        environ = {each: v for each, v in os.environ.items() if "ORCHESTRATOR" not in each}
        hidden = hiding_prefix(*self._hidden) if self._hidden else ()
        self._node = NodeProcess(
            self._join_file,
            self._state,
            environ=environ,
            prefix=(*self.network.prefix, *hidden, *new, "bash", "-c", _INIT, "init"),
            own_files=bool(self._hidden),
        )

    def off(self) -> None:
        """Kill all processes of the machine at once. Idempotent."""
        if self._node is not None:
            init = _only_child(self._node.process.pid)
            with suppress(ProcessLookupError):
                os.kill(init or self._node.process.pid, signal.SIGKILL)
            self._node.process.wait()
            self._node = None

    def pids(self) -> list[int]:
        """Return the pids of the machine's processes, except its first process."""
        return [pid for pid in _in_network(self.network) if pid not in self._above()]

    def node_pids(self) -> list[int]:
        """Return the pids of the node's parent process and serving process, if they exist."""
        parent = self._parent()
        return [each for each in (parent, _only_child(parent)) if each]

    @property
    def daemon(self) -> int:
        """The pid of the serving process; 0 if no process serves now."""
        return _only_child(self._parent())

    def signal_all(self, number: int) -> None:
        """Send a signal to all processes of the machine, except its first process."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _above(self) -> tuple[int, ...]:
        if self._node is None:
            return ()
        return self._node.process.pid, _only_child(self._node.process.pid)

    def _parent(self) -> int:
        if self._node is None:
            return 0
        init = _only_child(self._node.process.pid)
        found = [pid for pid in _children(init) if b"node_process" in _command(pid)]
        return found[0] if found else 0


def _children(pid: int) -> list[int]:
    if not pid:
        return []
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _only_child(pid: int) -> int:
    found = _children(pid)
    return found[0] if found else 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _in_network(network: Namespace) -> list[int]:
    """Return the pids of the processes in a network namespace."""
    inode = os.stat(f"/run/netns/{network.name}").st_ino
    pids = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.stat(directory / "ns" / "net").st_ino == inode:
                pids.append(int(directory.name))
    return pids
