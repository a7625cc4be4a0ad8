"""A stopped or crashed server, and the workers that keep running."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.site import STORE, FaultSite, store_settings
from tests.faults.zygote import Zygote
from tests.integration.site import ServerProcess, shell, until, worker_processes

MakeServer = Callable[..., ServerProcess]
pytestmark = pytest.mark.slow


@pytest.fixture
def make_server(tmp_path: Path, zygote: Zygote) -> Iterator[MakeServer]:
    """Create server processes.

    ``seen``: their exit codes can be read, but each start takes longer.
    """
    made: list[ServerProcess] = []
    databases = ExitStack()

    def make(*, seen: bool = False, **workers: Any) -> ServerProcess:
        common = {"max_workers": 8, "default_timeout": 60, "grace_seconds": 1, "max_retries": 0}
        folder = tmp_path / f"server_{len(made)}"
        store = store_settings(STORE, folder, databases)
        changes = {"workers": {**common, **workers}, **store}
        made.append(ServerProcess(folder, changes, None if seen else zygote))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.stop()
    databases.close()


def waiting_command(effects: Path, release: Path) -> str:
    """Return a command that records its start and its end; it ends when ``release`` exists."""
    return (
        f"echo start >> {effects}; until [ -e {release} ]; do sleep 0.02; done; "
        f"echo end >> {effects}; echo done"
    )


def test_running_workers_of_an_ended_server_continue_and_are_adopted(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(seen=True, on_shutdown="leave", max_workers=1)
    effects, release = tmp_path / "effects", tmp_path / "release"
    job = server.submit(
        "x", [shell(waiting_command(effects, release)), shell(waiting_command(effects, release))]
    )
    until(effects.exists, "the first runs")
    before, url = worker_processes(job), server.url

    assert server.terminate() == 0
    assert set(worker_processes(job)) & set(before), (
        "only the worker's shell and its current command run"
    )
    release.touch()
    until(lambda: "end" in effects.read_text(), "the worker ends")
    # No worker starts without a server.
    assert effects.read_text() == "start\nend\n"
    server.start()

    assert server.url == url
    ended = server.wait(job)
    assert [row["output"] for row in ended["results"]["tasks"]] == ["done", "done"]
    assert effects.read_text() == "start\nend\n" * 2


def test_a_second_signal_ends_a_server_at_once(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(seen=True, grace_seconds=30)
    ready, stopping, release = tmp_path / "ready", tmp_path / "stopping", tmp_path / "release"
    wait = f"until [ -e {release} ]; do sleep 0.1; done"
    job = server.submit("x", [shell(f"trap 'touch {stopping}' TERM; touch {ready}; {wait}")])
    until(ready.exists, "it runs")
    assert server.process is not None

    server.process.send_signal(signal.SIGTERM)
    until(stopping.exists, "the first signal stops the worker")
    assert _shutting_down(server)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(25) == 130
    server.start()
    assert server.status(job)["status"] == "running"
    release.touch()
    ended = server.wait(job)
    assert (ended["status"], ended["results"]["tasks"][0]["attempts"]) == ("completed", 1)


def _shutting_down(server: ServerProcess) -> bool:
    """True if the server rejects only new work, because it is stopping."""
    return server.post("y", [shell("true")]).status_code == 503


def test_workers_end_if_their_server_does_not_return(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(orphan_lease=1.0)
    effects, release = tmp_path / "effects", tmp_path / "release"
    job = server.submit("x", [shell(waiting_command(effects, release))])
    until(effects.exists, "it runs")

    server.kill()
    until(lambda: not worker_processes(job), "it is stopped")
    record = server.directory(job) / "attempts" / "worker_1.1.exit.json"
    until(record.exists, "that is written down")
    assert json.loads(record.read_text())["stopped_by"] == "orphan_lease"
    release.touch()
    server.start()

    # No caller requested the end: the worker runs again without using a retry.
    ended = server.wait(job)
    assert [(row["status"], row["attempts"]) for row in ended["results"]["tasks"]] == [
        ("success", 2)
    ]


def test_a_server_that_comes_back_while_the_lease_ends_a_worker_runs_it_again(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(orphan_lease=1.0, grace_seconds=60.0)
    stopping, release = tmp_path / "stopping", tmp_path / "release"
    wait = f"until [ -e {release} ]; do sleep 0.02; done"
    job = server.submit("x", [shell(f"trap 'touch {stopping}' TERM; echo on; {wait}", retries=0)])
    until(lambda: "on" in server.log(job, "worker_1"), "it runs")

    server.kill()
    until(stopping.exists, "the lease is over")
    server.start()
    release.touch()

    [row] = server.wait(job)["results"]["tasks"]
    assert (row["status"], row["attempts"]) == ("success", 2)


def test_a_restarted_server_renews_the_lease(zygote: Zygote, tmp_path: Path) -> None:
    server = FaultSite(tmp_path / "site", zygote, workers={"max_workers": 8, "orphan_lease": 5.0})
    server.start()
    effects, release = tmp_path / "effects", tmp_path / "release"
    job = server.submit("x", [shell(waiting_command(effects, release))])
    until(effects.exists, "it runs")
    server.kill()
    server.start()
    # Longer than the orphan timeout plus the duration of another worker.
    assert server.run("y", [shell("sleep 7")])["status"] == "completed"
    release.touch()
    ended = server.wait(job)
    server.end()

    assert [row["attempts"] for row in ended["results"]["tasks"]] == [1]
    assert effects.read_text() == "start\nend\n"
