"""Results of workers whose node returns after the server has declared the node lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.launchers.cluster.node.join_file import JoinFile
from tests.integration.launchers.cluster.conftest import Relay
from tests.integration.launchers.cluster.test_cluster import ServedCluster
from tests.integration.site import ServerProcess, shell, until

#: tests/faults/test_late_results.py shows the same by day.
pytestmark = pytest.mark.nightly

#: Seconds between two attempts, in which the node reconnects.
BACKOFF = 6.0


class LateSite(ServedCluster):
    """Node n1 is connected through a relay. Its worker prints a text, and ends when it is
    released.
    """

    def __init__(
        self, directory: Path, make_server: Callable[..., ServerProcess], backoff: float
    ) -> None:
        super().__init__(directory, make_server, backoff=backoff)
        self.relay = Relay(self.cluster.port)
        self.release, self.effects = directory / "release", directory / "effects"

    def add(self, name: str) -> Path:
        join_file = super().add(name)
        if name == "n1":
            found = JoinFile.read(join_file)
            fields = {each: getattr(found, each) for each in JoinFile.__dataclass_fields__}
            changed = {**fields, "address": f"127.0.0.1:{self.relay.port}"}
            JoinFile(**changed).write(join_file)
        return join_file

    def lose(self, lines: int = 3) -> str:
        """Let a worker on n1 end while the connection is cut, until the server gives up n1. Return
        the job.
        """
        self.join("n1")
        script = (
            f"echo $ORCHESTRATOR_NODE >> {self.effects}; echo before; "
            f"until [ -e {self.release} ]; do sleep 0.02; done; seq {lines}"
        )
        job = self.server.submit("x", [shell(script, retries=2)])
        until(lambda: "before" in self.server.log(job, "worker_1"), "it runs")
        self.relay.passes.clear()
        self.release.touch()
        until(lambda: "n1 was lost" in str(self.worker(job)["attempts"]), "it is given up")
        return job

    def worker(self, job: str) -> dict[str, Any]:
        return dict(self.server.get(f"/jobs/{job}")["workers"][0])

    def back(self) -> None:
        self.relay.passes.update({"up", "down"})

    def restart(self) -> None:
        self.server.kill()
        self.server.start()

    def record(self, job: str) -> Path:
        return self.server.directory(job) / "attempts" / "worker_1.1.exit.json"

    def end(self) -> None:
        for node in self.nodes.values():
            node.end()
        self.relay.close()


@pytest.fixture
def late(
    tmp_path: Path, make_server: Callable[..., ServerProcess], request: pytest.FixtureRequest
) -> Iterator[LateSite]:
    site = LateSite(tmp_path, make_server, getattr(request, "param", BACKOFF))
    yield site
    site.end()


@pytest.mark.parametrize("crash", [False, True], ids=["server-stays", "server-is-killed"])
def test_a_late_result_of_a_node_is_taken_while_nothing_newer_has_started(
    late: LateSite, crash: bool
) -> None:
    job = late.lose()
    if crash:
        late.restart()
    late.back()

    row = late.server.wait(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], row["output"]) == ("success", 1, "before\n1\n2\n3")
    assert late.effects.read_text() == "n1\n"
    assert late.server.log(job, "worker_1") == "before\n1\n2\n3\n", "the log is complete"
    [attempt] = late.worker(job)["attempts"]
    assert (attempt["exit_code"], attempt["reason"]) == (0, "")
    until(lambda: not list((late.directory / "n1" / "attempts").iterdir()), "n1 forgets it")


def test_a_node_that_comes_back_gives_its_results_before_it_gets_workers(late: LateSite) -> None:
    # No other machine exists, so the next attempt can start as soon as n1 reconnects.
    job = late.lose(lines=200_000)
    late.back()

    row = late.server.wait(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"]) == ("success", 1)
    lines = late.server.log(job, "worker_1").splitlines()
    assert lines == ["before", *(str(n) for n in range(1, 200_001))]


@pytest.mark.parametrize("late", [0.05], indirect=True)
@pytest.mark.parametrize("crash", [False, True], ids=["server-stays", "server-is-killed"])
def test_later_than_the_next_start_it_is_kept_as_salvage_and_named(
    late: LateSite, crash: bool
) -> None:
    go_on = late.directory / "go on"
    late.join("n2")
    late.server.get("/nodes")
    job = _held_by_n2(late, go_on)
    if crash:
        late.restart()
    late.back()
    until(lambda: late.row("n1")["state"] == "up", "n1 is back")
    until(lambda: b'"ended_by": "exit"' in late.record(job).read_bytes(), "its record is here")
    go_on.touch()

    row = late.server.wait(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"], row["output"]) == ("success", 2, "second")
    assert late.effects.read_text() == "n1\nn2\n"
    first, second = late.worker(job)["attempts"]
    saved = f"late result not used (exit code 0); saved in {late.record(job)}"
    assert first["reason"].endswith(saved)
    assert (first["exit_code"], second["exit_code"]) == (0, 0)
    assert json.loads(late.record(job).read_text())["code"] == 0
    rest = late.record(job).with_name("worker_1.1.late.log").read_text()
    assert rest in ("1\n2\n3\n", "before\n1\n2\n3\n")
    assert "1\n2\n3" not in late.server.log(job, "worker_1")
    assert "late result not used" in (late.server.directory(job) / "FINAL_RESULT.md").read_text()


def _held_by_n2(late: LateSite, go_on: Path) -> str:
    """Lose a worker on n1. Its next attempt runs on n2 until the file ``go_on`` exists."""
    late.join("n1")
    drain = late.cluster.registry.change
    drain("n2", is_drained=True)
    until(lambda: late.row("n2")["state"] == "drained", "n2 is drained")
    script = (
        f"echo $ORCHESTRATOR_NODE >> {late.effects}; "
        f"[ $ORCHESTRATOR_NODE = n1 ] || {{ until [ -e '{go_on}' ]; do sleep 0.02; done; "
        "echo second; exit; }; "
        f"echo before; until [ -e {late.release} ]; do sleep 0.02; done; seq 3"
    )
    job = late.server.submit("x", [shell(script, retries=2)])
    until(lambda: "before" in late.server.log(job, "worker_1"), "it runs on n1")
    drain("n2", is_drained=False)
    late.relay.passes.clear()
    late.release.touch()
    until(lambda: "n2" in late.effects.read_text(), "the next attempt runs on n2")
    return job
