"""Nodes for tests: certificates, a launcher with links, and node processes on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher, ClusterSettings, Demand
from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.containment.containment_settings import ContainmentSettings
from orchestrator.launchers.local.local_launcher import LocalLauncher
from tests.support.ports import free_port

REPOSITORY = Path(__file__).parents[2]
_PROGRAM = (
    "import os, sys; from pathlib import Path; "
    "from orchestrator.launchers.cluster.node.join_file import JoinFile; "
    "from orchestrator.launchers.cluster.node.node_process import run; "
    "own = {'own_files': sys.argv[4] == 'own'}; "
    "found = JoinFile.read(Path(sys.argv[1])).unpack(Path(sys.argv[2]), int(sys.argv[3]), **own); "
    "from orchestrator.agents.availability.node_availability import node_report; "
    "look = lambda agents: node_report(agents, os.environ); "
    "from orchestrator.engine.runtime.machine_headroom import memory_and_disk; "
    "from orchestrator.git.worktrees.node_worktrees import NodeRepository; "
    "repository = NodeRepository(Path(sys.argv[2]) / 'repository.git'); "
    "sys.exit(run(found, lambda line: print(line, flush=True), look, memory_and_disk, repository))"
)
#: Short, so that a test of a lost node takes seconds.
QUICK = NodeLeaseTerms(beat=0.2, notice=1.5, lease=3.0, slack=2.0)


class TestCluster:
    """The certificates and the list of nodes of one server, in ``directory / "cluster"``."""

    __test__ = False

    def __init__(
        self,
        directory: Path,
        terms: NodeLeaseTerms = QUICK,
        host: str = "127.0.0.1",
        containment: ContainmentSettings | None = None,
    ) -> None:
        self.directory = directory
        self.certificates = directory / "cluster"
        self.project = directory / "nodes-project"
        self.project.mkdir(parents=True, exist_ok=True)
        (self.project / "README.md").write_text("a project")
        self.port = free_port()
        self.host, self.terms, self.containment = host, terms, containment
        self.authority = CertificateAuthority(self.certificates)
        self.authority.create()
        self.authority.renew_server(days=1)
        self.registry = NodeRegistry(self.certificates)
        self.registry.init(f"{host}:{self.port}")

    def launcher(
        self,
        slots_here: int = 1,
        scheduler: str = "",
        adapt: tuple[int, int] | None = None,
        demand: Demand = lambda machine, most: 0,
    ) -> ClusterLauncher:
        settings = ClusterSettings(
            host=self.host,
            port=self.port,
            directory=self.certificates,
            slots_here=slots_here,
            terms=self.terms,
            workspace=self.directory,
            shared=(self.project,),
            places={"project": self.project},
            least_memory_bytes=0,
            scheduler=scheduler,
            adapt=adapt,
        )
        return ClusterLauncher(
            LocalLauncher(self.containment),
            settings,
            [{"name": "shell"}],
            dict,
            lambda: ("127.0.0.1", self.port),
            demand=demand,
        )

    def add(self, name: str, days: float = 1, host: str = "") -> Path:
        """Add a node; return its join file. ``host``: the server's address for the node."""
        issued = self.authority.issue(name, days)
        self.registry.put(NodeEntry(name=name, serial=issued.serial))
        path = self.directory / f"{name}.join"
        JoinFile(
            name=name,
            address=f"{host or self.host}:{self.port}",
            addresses=() if host else self.registry.addresses,
            authority=self.authority.certificate,
            certificate=issued.certificate,
            key=issued.key,
        ).write(path)
        return path


class NodeProcess:
    """A node that runs in separate processes. Its output is in ``<state>.log``."""

    def __init__(
        self,
        join_file: Path,
        state: Path,
        slots: int = 2,
        environ: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        before: str = "",
        own_files: bool = False,
    ) -> None:
        """``prefix``: words before the node's command. ``before``: Python code to run first."""
        shares = "own" if own_files else "shared"
        program = f"{before}{_PROGRAM}"
        argv = [*prefix, sys.executable, "-c", program, str(join_file), str(state), str(slots)]
        argv.append(shares)
        self._log = state.with_name(f"{state.name}.log")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=REPOSITORY, env=environ, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    @property
    def daemon(self) -> int:
        """The pid of the serving process; 0 if no process serves now."""
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(found[0]) if found else 0

    def kill(self) -> None:
        """Kill both processes of the node, its parent and its serving process, with SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Terminate the node. Idempotent."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def node(join_file: Path, state: Path, **settings: int) -> Iterator[NodeProcess]:
    process = NodeProcess(join_file, state, **settings)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.end()
