"""The server process: killed, stopped, started again."""

import json
import os
import signal
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.offline.server_liveness import ANSWER_SECONDS
from orchestrator.system import process_table
from tests.integration.conftest import MakeServer
from tests.integration.site import (
    HOLD,
    KEY,
    READY_SECONDS,
    ServerProcess,
    complete_lines,
    shell,
    until,
    worker_processes,
)


def recording_command(effects: Path, wait_for: Path) -> str:
    """Return a command that records its start and its end, and ends when ``wait_for`` exists."""
    name = "$ORCHESTRATOR_WORKER_ID"
    return (
        f"echo start {name} >> {effects}; until [ -e {wait_for} ]; do sleep 0.02; done; "
        f"echo end {name} >> {effects}; echo done"
    )


def counts(effects: Path) -> Counter[str]:
    return Counter(complete_lines(effects))


def test_a_killed_server_costs_no_work(
    make_server: MakeServer, effects: Path, tmp_path: Path, spawning: None
) -> None:
    server = make_server()
    now, release = tmp_path / "now", tmp_path / "release"
    now.touch()
    (tmp_path / "child.json").write_text(json.dumps([shell(recording_command(effects, release))]))
    spawn = f"orchestrator spawn 'child' --tasks {tmp_path}/child.json --wait"
    tasks = [
        shell(recording_command(effects, now), id="over"),
        shell(recording_command(effects, release), id="running"),
        shell(
            f"echo start parent >> {effects}; {spawn} && echo end parent >> {effects}", id="parent"
        ),
        shell(recording_command(effects, now), id="later", depends_on=["running"]),
    ]
    job = server.submit("survive", tasks)
    until(
        lambda: {"end worker_1", "start worker_2", "start worker_3_1"} <= set(counts(effects)),
        "all",
    )
    until(lambda: server.status(job).get("results"), "the end of the first is stored")
    url = server.url

    server.kill()
    release.touch()  # The running workers end while no server runs.
    until(lambda: counts(effects)["end worker_3_1"], "a worker ended on its own")
    server.start()

    assert server.url == url
    ended = server.wait(job)
    assert ended["status"] == "completed", ended
    assert [row["status"] for row in ended["results"]["tasks"]] == [
        "success",
        "success",
        "recursive_success",
        "success",
    ]
    assert set(counts(effects).values()) == {1}
    assert len(counts(effects)) == 10
    assert server.status_file(job)["status"] == "completed"
    assert not worker_processes(job)


def test_what_runs_when_the_server_is_killed_is_adopted(
    make_server: MakeServer, effects: Path, tmp_path: Path
) -> None:
    server = make_server()
    release = tmp_path / "release"
    job = server.submit("survive", [shell(recording_command(effects, release))] * 3)
    other = server.submit("to be cancelled", [shell("sleep 300")])
    until(lambda: len(counts(effects)) == 3 and worker_processes(other), "all of them run")
    before = sorted(worker_processes(job))

    server.kill()
    server.start()

    assert set(before) & set(worker_processes(job))
    assert server.status(job)["status"] == "running"
    server.call("POST", f"/jobs/{other}/cancel")
    assert server.wait(other)["status"] == "cancelled"
    assert not worker_processes(other)
    release.touch()
    ended = server.wait(job)
    assert [row["output"] for row in ended["results"]["tasks"]] == ["done"] * 3
    assert set(counts(effects).values()) == {1}
    assert {row["attempts"] for row in ended["results"]["tasks"]} == {1}


def test_a_stopped_server_stops_its_workers_and_runs_them_again(
    make_server: MakeServer, effects: Path, tmp_path: Path
) -> None:
    server = make_server()
    release = tmp_path / "release"
    job = server.submit("survive", [shell(recording_command(effects, release), retries=0)])
    # More often than any retry budget would allow.
    for times in range(1, 3):
        started = "start worker_1\n" * times
        until(lambda started=started: effects.read_text() == started, "it runs")
        server.terminate()
        assert not worker_processes(job)
        assert not server.record.exists()
        server.start()
    release.touch()

    assert server.wait(job)["status"] == "completed"

    assert counts(effects) == {"start worker_1": 3, "end worker_1": 1}


@contextmanager
def slow_reader(server: ServerProcess) -> Iterator[None]:
    """A client that requests much data and reads none; a stopping server waits for such clients."""
    job = server.submit("much", [shell("true")])
    server.wait(job)
    os.truncate(server.directory(job) / "logs" / "depth_0_worker_1.log", 40_000_000)
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        path = f"/api/v1/jobs/{job}/logs/worker_1"
        head = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\nX-API-Key: {KEY}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield


@pytest.mark.slow
def test_a_worker_does_not_fail_because_its_server_goes(
    make_server: MakeServer, effects: Path
) -> None:
    server = make_server(workers={"grace_seconds": 1, "default_timeout": 60, "max_retries": 0})
    # Raises an error if the server does not answer.
    poll = (
        f"echo start >> {effects}; [ $(wc -l < {effects}) -ge 2 ] && exit 0; "
        'while curl -sf -H "X-API-Key: $ORCHESTRATOR_API_KEY" "$ORCHESTRATOR_API_URL/api/v1/jobs" '
        ">/dev/null; do :; done; exit 1"
    )
    job = server.submit("poll", [shell(poll)])
    until(lambda: counts(effects)["start"] == 1, "it polls")

    with slow_reader(server):
        server.terminate()
    server.start()

    assert server.wait(job)["status"] == "completed"


@pytest.mark.slow
def test_an_agent_that_is_gone_after_a_restart_fails_its_worker_only(
    make_server: MakeServer, effects: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    command = ["bash", "-c", recording_command(effects, release)]
    server = make_server(agents={"passing": {"command": command}})
    job = server.submit("x", [{"prompt": "y", "agent": "passing"}, shell("echo fine")])
    until(lambda: counts(effects), "it runs")
    server.kill()
    config = server.folder / "config.yaml"
    config.write_text(config.read_text().replace("passing:", "renamed:"))

    server.start()
    release.touch()

    first, second = server.wait(job)["results"]["tasks"]
    assert (first["status"], second["status"]) == ("failed", "success")
    assert "unknown agent 'passing'" in first["reason"]


def test_a_second_server_is_rejected_and_names_the_server_of_the_workspace(
    make_server: MakeServer,
) -> None:
    server = make_server()
    assert server.process is not None
    record = json.loads(server.record.read_text())
    assert (record["pid"], record["url"]) == (server.process.pid, server.url)
    assert stat.S_IMODE(server.record.stat().st_mode) == 0o600

    second = server.popen("--port", "0", fork=False)

    assert second.wait(READY_SECONDS) != 0
    assert f"in use by another server (process {server.process.pid})" in server.output()
    assert server.call("GET", "/jobs").status_code == 200


def test_a_server_stopped_by_ctrl_z_is_named_with_the_command_that_continues_it(
    make_server: MakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = make_server()
    job = server.submit("x", [shell(f"RELEASE={tmp_path}/release; {HOLD}")])
    assert server.process is not None
    pid = server.process.pid
    context = CliContext(folder=server.folder, environ=server.environment())
    os.kill(pid, signal.SIGSTOP)
    until(lambda: process_table.is_stopped(pid), "the server is stopped")
    since, outputs = time.monotonic(), []
    try:
        for arguments in (["cancel", job], ["jobs"], ["doctor"]):
            execute(arguments, context)
            outputs.append("".join(capsys.readouterr()))
        seconds = time.monotonic() - since
        assert server.popen("--port", "0", fork=False).wait(READY_SECONDS) != 0
    finally:
        os.kill(pid, signal.SIGCONT)

    assert seconds < ANSWER_SECONDS
    for output in (*outputs, server.output()):
        assert f"kill -CONT {pid}" in output
    (tmp_path / "release").touch()
    assert server.wait(job)["status"] == "completed"


@pytest.mark.slow
def test_a_server_takes_another_port_when_a_killed_one_lost_its_own(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server, other = make_server(), make_server()
    server.kill()
    record = json.loads(server.record.read_text())
    server.record.write_text(json.dumps({**record, "url": other.url}))

    server.start()

    assert server.url != other.url
    assert server.call("GET", "/jobs").status_code == 200


def descriptors(server: ServerProcess) -> int:
    assert server.process is not None
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def threads(server: ServerProcess) -> int:
    assert server.process is not None
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@pytest.mark.slow
def test_a_server_keeps_nothing_of_the_jobs_that_have_ended(make_server: MakeServer) -> None:
    server = make_server()
    assert server.process is not None

    def burst() -> tuple[int, int]:
        assert server.run("burst", [shell("true")] * 50)["status"] == "completed"
        return descriptors(server), threads(server)

    before = burst()
    for _ in range(5):
        after = burst()

    assert after[0] <= before[0] + 4
    assert after[1] <= before[1] + 2
    # Keeper, spawner, and idle shims: no more processes may run.
    pid = server.process.pid
    until(lambda: len(descendants(pid)) <= 2 + 8, f"{descendants(pid)} are few")
