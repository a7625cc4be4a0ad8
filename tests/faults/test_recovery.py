"""Clients that wait or watch while the server is killed and restarted."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from orchestrator.api.client import OrchestratorClient
from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import KEY, complete_lines, shell, until, worker_processes
from tests.support.project import Project

MakeFaultSite = Callable[..., FaultSite]
pytestmark = pytest.mark.slow


@pytest.fixture
def make(zygote: Zygote, tmp_path: Path) -> Iterator[MakeFaultSite]:
    made: list[FaultSite] = []

    def make(*crashes: str, **changes: Any) -> FaultSite:
        made.append(FaultSite(tmp_path / f"site_{len(made)}", zygote, crashes, **changes))
        return made[-1]

    yield make
    for site in made:
        site.end()


def steps(folder: Path, times: int) -> str:
    """Return a command that waits for a file before each step: step-1, step-2, ..."""
    waits = f"until [ -e {folder}/step-$n ]; do sleep 0.02; done; echo $n"
    return f"for n in $(seq {times}); do {waits}; done"


def commit_of_first_job(make: MakeFaultSite) -> str:
    """Return the failpoint after the commit that stores the first job of a new workspace."""
    name = "store: after the commit"
    # No such failpoint exists, but arming it turns on the trace.
    site = make("never")
    site.ensure()
    before = sum(each.endswith(f" {name}") for each in site.reached())
    site.end()
    return f"{name}#{before + 1}"


@pytest.mark.parametrize("place", ["", "launch: prepared"], ids=["commit", "launch"])
def test_an_accepted_job_starts_after_a_restart(make: MakeFaultSite, place: str) -> None:
    site = make(place or commit_of_first_job(make))
    site.ensure()
    # One more commit than while the first server started; the crash follows the answer.
    with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        site.submit("x", [shell("echo here")], max_retries=0)
    assert site.process is not None
    site.process.wait(10)
    site.crashes = ""
    site.ensure()

    (job,) = site.get("/jobs")["jobs"]
    ended = site.wait_through(job["job_id"])

    assert [row["output"] for row in ended["results"]["tasks"]] == ["here"]


def test_the_log_of_a_job_has_each_of_its_events_after_crashes(make: MakeFaultSite) -> None:
    site = make(*(f"store: after the commit#{times}" for times in (1, 3, 4, 6, 7)))
    job = site.submit_once([shell("true"), shell("exit 1")], max_retries=1)
    site.wait_through(job)
    site.kill()  # the end of the worker may not be reported yet
    site.ensure()

    log = site.directory(job) / "logs" / "orchestrator.log"
    kinds = [event["kind"] for event in site.events_of(job)]
    until(lambda: len(complete_lines(log)) == len(kinds), "every line")
    assert [line.split(" ")[1] for line in complete_lines(log)] == kinds
    assert site.starts > 4


def test_a_parent_waits_on_while_its_server_is_killed_again_and_again(
    make: MakeFaultSite, tmp_path: Path, spawning: None
) -> None:
    site = make()
    (tmp_path / "child.json").write_text(json.dumps([shell(steps(tmp_path, 3))]))
    spawn = f"orchestrator spawn child --tasks {tmp_path}/child.json --wait"
    job = site.submit_once([shell(spawn, id="parent", retries=0)])
    for number in range(1, 4):
        until(lambda: site.get(f"/jobs/{job}")["workers"][0]["status"] == "waiting", "it waits")
        port = site.url
        site.kill()
        (tmp_path / f"step-{number}").touch()
        site.ensure()
        assert site.url == port

    row = site.wait_through(job)["results"]["tasks"][0]

    assert (row["status"], row["attempts"]) == ("recursive_success", 1)
    assert [child["output"] for child in row["child_results"]] == ["1\n2\n3"]


def test_a_success_with_a_note_that_waits_for_its_child_jobs_survives_a_kill(
    make: MakeFaultSite, tmp_path: Path, spawning: None
) -> None:
    project = Project(tmp_path / "project").begin({"README.md": "hello\n"})
    gates = [{"name": "lint", "run": "exit 1", "required": False, "baseline": "none"}]
    site = make(orchestrator={"project_root": str(project.path)})
    (tmp_path / "child.json").write_text(json.dumps([shell(steps(tmp_path, 1))]))
    spawn = f"echo two > README.md; orchestrator spawn child --tasks {tmp_path}/child.json"
    job = site.submit_once([shell(spawn, git="on", retries=0)], gates=gates)

    def worker() -> Any:
        return site.get(f"/jobs/{job}")["workers"][0]

    until(lambda: "advisory gate lint" in str(worker()["reason"]), "process exited")
    site.kill()
    (tmp_path / "step-1").touch()
    ended = site.wait_through(job)

    [row] = ended["results"]["tasks"]
    assert (ended["status"], row["status"]) == ("completed", "recursive_success")
    assert "advisory gate lint" in row["reason"]
    assert project.git("show", f"orchestrator/{job}/result:README.md") == "two"


def test_the_client_waits_and_follows_on_while_the_server_is_killed(
    make: MakeFaultSite, tmp_path: Path
) -> None:
    site = make()
    job = site.submit_once([shell(steps(tmp_path, 2), id=f"t{n}") for n in range(3)])
    ended: dict[str, Any] = {}
    seen: list[dict[str, Any]] = []

    def wait() -> None:
        with OrchestratorClient(api_url=site.url, api_key=KEY) as client:
            ended.update(client.wait(job))

    def follow() -> None:
        with OrchestratorClient(api_url=site.url, api_key=KEY) as client:
            seen.extend(client.events(job))

    waiting = [threading.Thread(target=each, daemon=True) for each in (wait, follow)]
    for thread in waiting:
        thread.start()
    for number in (1, 2):
        until(lambda: site.status(job)["status"] == "running", "it runs")
        site.kill()
        (tmp_path / f"step-{number}").touch()
        site.ensure()
    for thread in waiting:
        thread.join(40)

    assert ended["status"] == "completed"
    assert [event["seq"] for event in seen] == [event["seq"] for event in site.events_of(job)]
    assert seen[-1]["kind"] == "job_ended"


@pytest.mark.nightly
def test_a_stream_continues_after_a_kill_without_a_gap_or_a_repeat(
    make: MakeFaultSite, tmp_path: Path
) -> None:
    site = make(workers={"max_workers": 1, "retry_backoff_seconds": 0.01})
    job = site.submit_once([shell(steps(tmp_path, 1), id=f"t{number}") for number in range(40)])
    (tmp_path / "step-1").touch()
    numbers: list[int] = []
    while not numbers or site.kinds.get(numbers[-1]) != "job_ended":
        some = site.read_stream(job, after=numbers[-1] if numbers else 0, most=11)
        numbers += some
        site.kill()
        site.ensure()
    # A kill neither lost nor renumbered an event of the stream.
    stored = site.events_of(job)

    assert numbers == list(range(1, len(numbers) + 1))
    assert [event["seq"] for event in stored] == numbers
    assert {event["seq"]: event["kind"] for event in stored} == site.kinds


def test_a_worker_that_ended_with_the_machine_uses_no_retry(
    make: MakeFaultSite, tmp_path: Path
) -> None:
    site = make(workers={"max_retries": 0})
    began, gate = tmp_path / "began", tmp_path / "gate"
    wait = f"echo x >> {began}; until [ -e {gate} ]; do sleep 0.05; done; echo done"
    site.start()
    job = site.submit("x", [shell(wait)])
    until(lambda: began.exists() and worker_processes(job), "it runs")
    [run] = (site.directory(job) / "attempts").glob("*.run")
    until(lambda: b'"worker"' in run.read_bytes(), "its shim has named it")

    cut_power(site, run, job)
    gate.touch()
    site.start()

    ended = site.wait(job)
    assert ended["status"] == "completed"
    assert began.read_text().split() == ["x", "x"]
    log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    assert "the machine was restarted during the attempt" in log


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def cut_power(site: FaultSite, run: Path, job: str) -> None:
    """Kill all processes at once, and change the boot id, as after a restart of the machine."""
    shim = json.loads(run.read_bytes().split(b"\n")[0])["shim"]
    spawner = parent_of(shim)
    keeper = parent_of(spawner)
    assert site.process is not None
    for pid in (site.process.pid, keeper, spawner, shim, *worker_processes(job)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    site.process.wait(60)
    until(lambda: not worker_processes(job), "nothing of it is left")
    clock = site.workspace / ".clock"
    clock.write_text(json.dumps(["of another boot", json.loads(clock.read_text())[1]]))
