"""A server with nodes: jobs whose workers run on several machines."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.site import store_settings
from tests.integration.site import (
    REPOSITORY,
    Answer,
    ServerProcess,
    shell,
    until,
    worker_processes,
)
from tests.support.cluster import NodeProcess, TestCluster
from tests.support.examples import nightly
from tests.support.ports import free_port

#: Command that starts a child job, waits for it, and prints the names of both nodes.
PARENT = "orchestrator spawn --wait --command 'echo child on $ORCHESTRATOR_NODE'; echo parent"


class ServedCluster:
    """A server that runs no workers itself, and its nodes."""

    def __init__(
        self,
        directory: Path,
        make_server: Callable[..., ServerProcess],
        slots_here: int = 0,
        backoff: float = 0.05,
        **sections: object,
    ) -> None:
        """``backoff``: seconds before a retry. ``sections``: more sections of the settings."""
        self.cluster = TestCluster(directory)
        self.directory = directory
        self.nodes: dict[str, NodeProcess] = {}
        settings = {
            "listen": f"127.0.0.1:{self.cluster.port}",
            "certificates": str(self.cluster.certificates),
            "slots_here": slots_here,
            "lease": 3,
        }
        common = {"max_retries": 1, "retry_backoff_seconds": backoff}
        self.server = make_server(cluster=settings, workers=common, **sections)

    def add(self, name: str) -> Path:
        """Add a node; return its join file."""
        return self.cluster.add(name)

    def join(self, name: str, **environ: str) -> NodeProcess:
        join_file = self.add(name)
        inherited = {each: v for each, v in os.environ.items() if "ORCHESTRATOR" not in each}
        inherited.update(environ)
        self.nodes[name] = NodeProcess(join_file, self.directory / name, environ=inherited)
        until(lambda: self.row(name)["agents"], f"{name} is up")
        return self.nodes[name]

    def row(self, name: str) -> Answer:
        rows = self.server.get("/nodes")["nodes"]
        return next((each for each in rows if each["name"] == name), {"agents": [], "state": ""})


@contextmanager
def ended(node: NodeProcess) -> Iterator[NodeProcess]:
    """End a node after the block."""
    try:
        yield node
    finally:
        node.end()


@pytest.fixture
def served(tmp_path: Path, make_server: Callable[..., ServerProcess]) -> Iterator[ServedCluster]:
    served = ServedCluster(tmp_path, make_server)
    yield served
    for node in served.nodes.values():
        node.end()


def test_workers_and_their_child_jobs_run_on_nodes(served: ServedCluster) -> None:
    served.join("n1")
    server = served.server
    task = shell(f"{PARENT} on $ORCHESTRATOR_NODE; curl -s $ORCHESTRATOR_API_URL/healthz")
    ended = server.run("x", [task, shell("echo $HOME > home")])
    assert ended["status"] == "completed"
    job = ended["job_id"]
    assert "parent on n1" in server.log(job, "worker_1")
    assert "child on n1" in server.log(job, "worker_1_1", depth=1)
    home = server.directory(job) / "depth_0" / "worker_2" / "home"
    assert home.read_text().strip() == os.environ["HOME"]
    assert (served.row("n1")["state"], served.row("n1")["running"]) == ("up", 0)


def test_a_killed_server_adopts_the_workers_of_its_nodes(served: ServedCluster) -> None:
    served.join("n1")
    server, release = served.server, served.directory / "release"
    job = server.submit("x", [shell(f"echo on; until [ -e {release} ]; do sleep 0.1; done; seq 9")])
    until(lambda: "on" in server.log(job, "worker_1"), "it runs")
    server.kill()
    server.start()
    until(lambda: served.row("n1")["state"] == "up", "the node is back")
    release.touch()
    [row] = server.wait(job)["results"]["tasks"]
    assert (row["status"], row["attempts"]) == ("success", 1)
    assert server.log(job, "worker_1") == "on\n" + "".join(f"{n}\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("store", "moves"), [("postgresql", True), *nightly(("sqlite", False), ("sqlite", True))]
)
def test_a_standby_server_adopts_the_workers_of_nodes(
    tmp_path: Path, make_server: Callable[..., ServerProcess], store: str, moves: bool
) -> None:
    """``moves``: True if the standby server listens for nodes at another address."""
    with ExitStack() as stack:
        served = ServedCluster(tmp_path, make_server, **store_settings(store, tmp_path, stack))
        server, release, effects = served.server, tmp_path / "release", tmp_path / "effects"
        port = free_port() if moves else served.cluster.port
        addresses = dict.fromkeys(f"127.0.0.1:{each}" for each in (served.cluster.port, port))
        served.cluster.registry.init(*addresses)
        node = stack.enter_context(ended(served.join("n1")))
        script = f"echo run >> {effects}; echo on; until [ -e {release} ]; do sleep 0.1; done"
        job = server.submit("x", [shell(f"{script}; seq 9")])
        until(lambda: "on" in server.log(job, "worker_1"), "it runs")
        server.change(cluster={"listen": f"127.0.0.1:{port}"})
        standby = server.popen("--port", "0", "--standby", fork=False)
        until(lambda: "standby: waiting" in server.output(), "it waits")
        server.kill()
        server.process = standby
        until(lambda: f'"pid": {standby.pid}' in server.record.read_text(), "it has taken over")
        until(lambda: served.row("n1")["state"] == "up", "the node is back")
        release.touch()
        [row] = server.wait(job)["results"]["tasks"]
        assert (row["status"], row["attempts"]) == ("success", 1)
        assert effects.read_text() == "run\n"
        assert server.log(job, "worker_1") == "on\n" + "".join(f"{n}\n" for n in range(1, 10))
        until(lambda: f"connected to 127.0.0.1:{port} as n1" in node.output, "at its address")
        server.stop()


def test_workers_of_a_killed_node_run_again_on_another(served: ServedCluster) -> None:
    first = served.join("n1")
    server, effects = served.server, served.directory / "effects"
    script = f"echo $ORCHESTRATOR_NODE >> {effects}; [ $ORCHESTRATOR_NODE = n2 ] || sleep 600"
    job = server.submit("x", [shell(script)])
    until(effects.exists, "it runs")
    served.join("n2")
    first.kill()
    [row] = server.wait(job)["results"]["tasks"]
    assert (row["status"], row["attempts"]) == ("success", 2)
    assert effects.read_text() == "n1\nn2\n"
    assert worker_processes(job) == []


def test_a_cancel_leaves_no_process_on_a_node(served: ServedCluster) -> None:
    served.join("n1")
    server = served.server
    script = "setsid sleep 600 & (sleep 600 &) ; echo on; sleep 600"
    job = server.submit("x", [shell(script)])
    until(lambda: "on" in server.log(job, "worker_1"), "it runs")
    assert worker_processes(job)
    assert server.call("POST", f"/jobs/{job}/cancel").status_code in (200, 202)
    assert server.wait(job)["status"] == "cancelled"
    assert worker_processes(job) == []


def test_an_agent_that_only_a_node_has_works_there(
    tmp_path: Path, make_server: Callable[..., ServerProcess]
) -> None:
    agents = {"mine": {"command": ["only-there"], "changes_files": False}}
    served = ServedCluster(tmp_path, make_server, slots_here=2, agents=agents)
    server, programs = served.server, tmp_path / "programs"
    programs.mkdir()
    task = {"prompt": "work", "agent": "mine"}
    refused = server.post("x", [task])
    assert (refused.status_code, "'mine' is not available" in refused.text) == (422, True)
    node = served.join("n1", PATH=f"{programs}:{os.environ['PATH']}")
    try:
        [lack] = [each for each in served.row("n1")["unusable_agents"] if each["name"] == "mine"]
        assert lack["reason"] == "command 'only-there' not found"
        assert "here, n1: command 'only-there' not found" in server.post("x", [task]).text
        program = programs / "only-there"
        program.write_text("#!/bin/sh\necho done on $ORCHESTRATOR_NODE\n")
        program.chmod(0o755)
        until(lambda: "mine" in served.row("n1")["agents"], "the node finds it")

        job = server.run("x", [task, {**task, "node": "n1"}])
        assert job["status"] == "completed"
        assert [row["output"] for row in job["results"]["tasks"]] == ["done on n1"] * 2
        at_here = server.post("x", [{**task, "node": "here"}])
        assert "agent 'mine' is not available on here: command" in at_here.json()["detail"]
        [shown] = [each for each in server.get("/agents")["agents"] if each["name"] == "mine"]
        assert (shown["usable"], shown["installed"], shown["nodes"]) == (True, False, ["n1"])

        unknown = server.call("POST", "/nodes/n9/drain")
        assert (unknown.status_code, unknown.json()["detail"]) == (
            404,
            "unknown node 'n9'; known: n1",
        )
        for _ in range(2):
            drained = server.call("POST", "/nodes/n1/drain").json()
            assert (drained["state"], drained["drained"]) == ("drained", True)

        until(lambda: "mine" in served.cluster.registry.entries()["n1"].agents, "it is stored")
        node.end()
        server.kill()
        server.start()
        assert ("mine" in served.row("n1")["agents"], served.row("n1")["drained"]) == (True, True)
        assert server.call("POST", "/nodes/n1/undrain").json()["drained"] is False
        assert not served.cluster.registry.entries()["n1"].is_drained
        assert server.post("x", [task]).status_code == 202
    finally:
        node.end()


@pytest.mark.slow
@pytest.mark.nightly
def test_a_job_gets_machines_from_dask_and_returns_them(
    tmp_path: Path, make_server: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.dask_cluster import DaskCluster, pids_with

    dask_cluster, cluster = DaskCluster(tmp_path), TestCluster(tmp_path / "certificates")
    for name, value in dask_cluster.client_variables().items():
        monkeypatch.setenv(name, value)
    settings = {
        "listen": f"127.0.0.1:{cluster.port}",
        "certificates": str(cluster.certificates),
        "slots_here": 0,
        "scheduler": dask_cluster.address,
        "adapt": {"minimum": 0, "maximum": 2},
    }
    dask_cluster.start_owner()
    try:
        server = make_server(cluster=settings)
        script = "echo $ORCHESTRATOR_NODE; sleep 8"
        job = server.run("x", [shell(script)] * 4, max_workers=4)
        assert job["status"] == "completed"
        outputs = {row["output"] for row in job["results"]["tasks"]}
        assert len(outputs) == 2
        assert all(each.startswith("dask-") for each in outputs)
        until(lambda: not server.get("/nodes")["nodes"], "the machines are returned")
        until(lambda: not pids_with(f"{cluster.certificates}/"), "no node runs")
    finally:
        dask_cluster.end()


def test_without_a_node_workers_wait_with_the_reason(served: ServedCluster) -> None:
    server = served.server
    job = server.submit("x", [shell("echo $ORCHESTRATOR_NODE")])

    def reason() -> str:
        return str(server.get(f"/jobs/{job}")["workers"][0]["reason"])

    until(lambda: "waiting for a node" in reason(), "it waits")
    served.join("n1")
    assert server.wait(job)["status"] == "completed"
    assert server.log(job, "worker_1") == "n1\n"


def test_a_server_that_stops_stops_the_workers_of_its_nodes(served: ServedCluster) -> None:
    served.join("n1")
    server = served.server
    job = server.submit("x", [shell("echo on; sleep 600")])
    until(lambda: "on" in server.log(job, "worker_1"), "it runs")
    server.terminate()
    assert worker_processes(job) == []


def test_the_commands_make_a_cluster(
    tmp_path: Path, make_server: Callable[..., ServerProcess]
) -> None:
    port = TestCluster(tmp_path / "port").port
    place, folder = tmp_path / "server_0" / "cluster", tmp_path / "server_0"
    settings: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "certificates": "./cluster",
        "slots_here": 0,
    }
    folder.mkdir(mode=0o700)
    environ = {each: v for each, v in os.environ.items() if "ORCHESTRATOR" not in each}
    environ["PYTHONPATH"] = str(REPOSITORY)

    def command(*words: str) -> str:
        argv = [sys.executable, "-m", "orchestrator", "--home", str(folder), *words]
        done = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    addresses = [f"127.0.0.1:{port}", "head2.test:8786"]
    output = command("nodes", "init", "--address", addresses[0], "--address", addresses[1])
    assert f'cluster: {{listen: "0.0.0.0:{port}"}}' in output
    server = make_server(cluster=settings)
    added = json.loads(command("nodes", "add", "n1", "--slots", "3", "--json"))
    assert added["join_file"] == str(place / "n1.join")
    assert (place / "n1.join").stat().st_mode & 0o777 == 0o600
    assert json.loads((place / "n1.join").read_text())["addresses"] == addresses
    argv = [sys.executable, "-m", "orchestrator", "node", "join", added["join_file"]]
    state = tmp_path / "state"
    with (tmp_path / "node.log").open("wb") as log:
        node = subprocess.Popen([*argv, "--state", str(state)], env=environ, stdout=log, stderr=log)
    try:

        def row() -> Answer:
            nodes = json.loads(command("nodes", "--json"))["nodes"]
            return dict(nodes[0]) if nodes else {"state": "not read yet"}

        until(lambda: row()["state"] == "up", "the node is up")
        assert (row()["slots"], row()["own_files"]) == (3, False)
        [head, shown, *_] = command("nodes").splitlines()
        assert shown[head.index("FILES") :].startswith("shared ")
        again = subprocess.run(
            [*argv, "--state", str(state)], env=environ, capture_output=True, text=True
        )
        assert (again.returncode, again.stderr) == (
            1,
            "Error: node 'n1' already runs on this machine; stop it first\n",
        )
        assert server.run("x", [shell("echo $ORCHESTRATOR_NODE")])["status"] == "completed"
        refused = server.post("x", [shell("true", node="n9")])
        assert refused.status_code == 422
        assert refused.json()["detail"] == "task task_1: unknown node 'n9'; known: here, n1"
        job = server.submit("x", [shell("true", requires={"gpu": True}), shell("true", node="n1")])
        until(lambda: "with gpu=true" in str(server.get(f"/jobs/{job}")), "it waits for a label")
        command("nodes", "label", "n1", "gpu=true", "zone=a")
        assert server.wait(job)["status"] == "completed"
        assert row()["labels"] == {"gpu": "true", "zone": "a"}
        assert command("nodes", "label", "n1", "zone-") == "n1: gpu=true\n"
        command("nodes", "drain", "n1")
        until(lambda: row()["state"] == "drained", "it is drained")
        assert "drained" in command("nodes")
        command("nodes", "undrain", "n1")
        until(lambda: row()["state"] == "up", "it is up again")
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
        command("nodes", "remove", "n1")
        assert not (place / "n1.join").exists()
    finally:
        node.kill()
        node.wait()
