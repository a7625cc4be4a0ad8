"""The launchers whose contract ``core.ports.launcher`` is tested."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.launcher import Launch, Launcher, Proof
from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher
from orchestrator.launchers.local.local_launcher import Listener, LocalLauncher
from tests.integration.launchers.conftest import Reports, wait_until
from tests.support.cluster import TestCluster, node

#: Returns a new launcher, as a new server creates it.
NewLauncher = Callable[[], Launcher]


class LauncherSite:
    """An open launcher, its reports, and the directory of its attempts."""

    def __init__(
        self,
        directory: Path,
        new_launcher: NewLauncher,
        node: str = "",
        is_ready: Callable[[Launcher], bool] = lambda launcher: True,
    ) -> None:
        """``node``: node of the attempts. ``is_ready``: returns True if attempts may start."""
        self.directory = directory
        self._node, self._is_ready = node, is_ready
        self._new_launcher = new_launcher
        self._job = uuid.uuid4().hex
        self.open()

    def open(self) -> None:
        """Open a new launcher, without a call of ``listen``."""
        self.reports = Reports()
        self.launcher = self._new_launcher()
        self.launcher.open(self.reports)
        self._listener: Listener | None = None

    def listen(self) -> None:
        """Call ``listen`` in a thread, as a server does after its recovery."""
        self._listener = Listener(self.launcher)
        self._listener.__enter__()
        wait_until(lambda: self._is_ready(self.launcher))

    def close(self, stop: bool = True) -> None:
        """Idempotent."""
        if self._listener is not None:
            self._listener.__exit__(None, None, None)
            self._listener = None
        self.launcher.close(stop=stop)

    def launch(self, name: str, *argv: str, **changes: object) -> Launch:
        settings: dict[str, object] = {
            "attempt_id": self.id(name),
            "argv": argv,
            "cwd": str(self.directory),
            "env": {"PATH": os.environ["PATH"]},
            "log": str(self.directory / f"{name}.log"),
            "exit_path": self.exit_path(name),
            "node": self._node,
        }
        return Launch(**{**settings, **changes})  # type: ignore[arg-type]

    def start(self, name: str, script: str, **changes: object) -> Launch:
        """Start a shell command."""
        launch = self.launch(name, "sh", "-c", script, **changes)
        self.launcher.start(launch)
        return launch

    def adopt(self, name: str, proof: Proof) -> bool:
        """Adopt an attempt that an earlier launcher started."""
        log = str(self.directory / f"{name}.log")
        return self.launcher.adopt(
            self.id(name), self.exit_path(name), proof.digest, node=self._node, log=log
        )

    def run(self, name: str, script: str, **changes: object) -> Exit:
        self.start(name, script, **changes)
        return self.reports.exit(name)

    def id(self, name: str) -> str:
        """Return an attempt id that is unique on the whole machine."""
        return f"{self._job}/{name}"

    def exit_path(self, name: str) -> str:
        return str(self.directory / f"{name}.exit.json")

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text() if path.exists() else ""


@contextmanager
def _local(directory: Path) -> Iterator[LauncherSite]:
    site = LauncherSite(directory, LocalLauncher)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def _cluster(directory: Path) -> Iterator[LauncherSite]:
    """A cluster whose attempts run on a node: another process on this machine."""
    cluster = TestCluster(directory)
    join_file = cluster.add("n1")

    def is_ready(launcher: Launcher) -> bool:
        assert isinstance(launcher, ClusterLauncher)
        return any(each.takes_workers and each.name for each in launcher.machines)

    site = LauncherSite(directory, cluster.launcher, "n1", is_ready)
    try:
        with node(join_file, directory / "n1"):
            yield site
    finally:
        site.close()


Adapter = Callable[[Path], AbstractContextManager[LauncherSite]]
ADAPTERS: Mapping[str, Adapter] = {"local": _local, "cluster": _cluster}
