"""A cluster on this machine: certificates, a server's launcher, and node processes."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.options import place
from benchmarks.server import FOLDER, until
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.read_models import NodeState
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher, ClusterSettings
from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.local.local_launcher import Listener, LocalLauncher

STOP_SECONDS = 60.0


class Cluster:
    """Certificates and the list of nodes of one server, and the nodes' processes."""

    def __init__(self) -> None:
        self.directory = place()
        self.place = self.directory / "cluster"
        self.port = _free_port()
        self._authority = CertificateAuthority(self.place)
        self._authority.create()
        self._authority.renew_server(days=1)
        self._registry = NodeRegistry(self.place)
        self._registry.init(f"127.0.0.1:{self.port}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of a server whose workers all run on nodes."""
        return {
            "CLUSTER__LISTEN": f"127.0.0.1:{self.port}",
            "CLUSTER__CERTIFICATES": str(self.place),
            "CLUSTER__SLOTS_HERE": "0",
        }

    def launcher(self) -> ClusterLauncher:
        settings = ClusterSettings(
            host="127.0.0.1",
            port=self.port,
            directory=self.place,
            slots_here=0,
            terms=NodeLeaseTerms(),
            workspace=self.directory,
            least_memory_bytes=0,
        )
        api = "127.0.0.1", self.port
        return ClusterLauncher(LocalLauncher(), settings, [{"name": "shell"}], dict, lambda: api)

    def add(self, name: str) -> Path:
        """Add a node to the server's list. Return the path of the node's join file."""
        credentials = self._authority.issue(name, 1)
        self._registry.put(NodeEntry(name=name, serial=credentials.serial))
        path = self.directory / f"{name}.join"
        JoinFile(
            name=name,
            address=f"127.0.0.1:{self.port}",
            authority=self._authority.certificate,
            certificate=credentials.certificate,
            key=credentials.key,
        ).write(path)
        return path

    def join(self, name: str, slots: int) -> None:
        """Start the processes of a node, as the command ``node join`` does."""
        argv = [sys.executable, "-P", "-m", "orchestrator", "node", "join", str(self.add(name))]
        argv += ["--slots", str(slots), "--state", str(self.directory / name)]
        environment = {each: v for each, v in os.environ.items() if "ORCHESTRATOR_" not in each}
        with (self.directory / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                argv,
                cwd=self.directory,
                env={**environment, "PYTHONPATH": str(FOLDER)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def close(self) -> None:
        """Stop all nodes. Idempotent."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


class Site:
    """A cluster's launcher with some nodes. The object itself gets the launcher's events."""

    def __init__(self, launcher: LocalLauncher | ClusterLauncher) -> None:
        self.launcher = launcher
        self.on_end: Callable[[str, Exit], None] = lambda attempt_id, exit: None
        self.exits: dict[str, Exit] = {}
        self._changed = threading.Condition()
        launcher.open(self)
        self._listener = Listener(launcher)
        self._listener.__enter__()

    def close(self) -> None:
        self._listener.__exit__(None, None, None)
        self.launcher.close(stop=True)

    def nodes(self) -> Mapping[str, NodeState]:
        assert isinstance(self.launcher, ClusterLauncher)
        return {each.name: each for each in self.launcher.nodes()}

    def wait_for(self, *names: str) -> None:
        """Wait until workers may start on these nodes. Raise RuntimeError at the timeout."""

        def are_up() -> bool:
            nodes = self.nodes()
            return all(
                name in nodes and nodes[name].state == "up" and nodes[name].agents for name in names
            )

        until(are_up, f"nodes are up: {names}")

    def exit(self, attempt_id: str, seconds: float = 60.0) -> Exit:
        """Wait for an attempt's end, and return its exit. Raise RuntimeError at the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: attempt_id in self.exits, seconds):
                raise RuntimeError(f"{attempt_id} has not ended")
            return self.exits[attempt_id]

    # Events of the launcher

    def started(self, attempt_id: str, pid: int) -> None:
        pass

    def begun(self, attempt_id: str, at: float) -> None:
        pass

    def returned(self, attempt_id: str) -> None:
        pass

    def ended(self, attempt_id: str, exit: Exit) -> None:
        with self._changed:
            self.exits[attempt_id] = exit
            self._changed.notify_all()
        self.on_end(attempt_id, exit)


def launch(directory: Path, name: str, node: str, *argv: str) -> Launch:
    return Launch(
        attempt_id=f"bench/{name}/1",
        argv=argv,
        cwd=str(directory),
        env={"PATH": os.environ["PATH"], "HOME": "/"},
        log=str(directory / f"{name}.log"),
        exit_path=str(directory / f"{name}.exit.json"),
        node=node,
        grace=1.0,
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
