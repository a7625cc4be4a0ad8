"""A server without free descriptors, threads, or inodes reports this, and recovers later."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests

from orchestrator.engine.runtime.machine_headroom import FRESH_SECONDS
from tests.faults.site import ENDED, FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import KEY, Answer, shell, until

pytestmark = pytest.mark.slow
#: Number of descriptors that the server may open in addition to those of an idle server.
LEFT = 30
#: Descriptors of a shim (two sockets) and of a pooled reader (the database and its log).
KEPT = 4
CALL = f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n".encode()


@pytest.fixture
def fresh(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    """A server whose thread for streams has not started, because there was no stream yet."""
    site = FaultSite(tmp_path / "site", zygote, workers={"max_workers": 40})
    site.start()
    yield site
    site.end()


@pytest.fixture
def server(fresh: FaultSite) -> FaultSite:
    """A server that has already opened all files that it opens on first use."""
    assert fresh.run("x", [shell("true")] * 4)["status"] == "completed"
    return fresh


def pid_of(site: FaultSite) -> int:
    assert site.process is not None
    return site.process.pid


def descriptors(site: FaultSite) -> int:
    return len(os.listdir(f"/proc/{pid_of(site)}/fd"))


def set_soft_limit(site: FaultSite, kind: int, soft: int) -> None:
    """Change a soft limit of the running server, but not the hard limit."""
    _, hard = resource.prlimit(pid_of(site), kind)
    resource.prlimit(pid_of(site), kind, (soft, hard))


def connect(site: FaultSite) -> socket.socket:
    host, port = site.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def answer(connection: socket.socket) -> str:
    """Return the whole answer to a call, even if the server has already rejected the connection."""
    with suppress(ConnectionError):
        connection.sendall(CALL)
    received = b""
    while b"}" not in received:
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return received.decode()


def seconds_used(site: FaultSite) -> float:
    fields = Path(f"/proc/{pid_of(site)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_it_answers_503_and_recovers(server: FaultSite, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.05; done; echo done"
    job = server.submit("before", [shell(wait)] * 3)
    until(lambda: server.status(job)["workers"].get("running") == 3, "they run")
    before = descriptors(server)
    set_soft_limit(server, resource.RLIMIT_NOFILE, before + LEFT)
    with ExitStack() as opened:
        held = [opened.enter_context(connect(server)) for _ in range(3 * LEFT)]
        answers = [answer(each) for each in held]
        refused = [each for each in answers if each.startswith("HTTP/1.1 503 ")]
        accepted = [each for each in answers if each.startswith("HTTP/1.1 200 ")]

        assert len(refused) + len(accepted) == len(held), answers
        assert len(refused) >= LEFT and len(accepted) >= LEFT / 4
        assert all("Retry-After: " in each for each in refused)
        assert all("application/problem+json" in each for each in refused)
        assert all('"type": "unavailable"' in each for each in refused)
        # Some calls fail only after their connection was accepted: their text differs.
        assert any("no free file descriptor" in each for each in refused)
        # Work that runs during the fault ends as usual.
        gate.touch()
        status = server.directory(job) / "status.json"
        until(lambda: status.exists() and '"completed"' in status.read_text(), "its end is written")

    answered = until(lambda: server.call("GET", f"/jobs/{job}/status"), "the server answers again")
    assert [row["output"] for row in answered.json()["results"]["tasks"]] == ["done"] * 3
    assert server.run("after", [shell("echo fine")] * 4)["status"] == "completed"
    # One more shim and one more reader of the database stay connected for later work.
    until(lambda: descriptors(server) <= before + KEPT, "all descriptors are back")


def test_waiting_for_descriptors_uses_no_processor(server: FaultSite) -> None:
    set_soft_limit(server, resource.RLIMIT_NOFILE, descriptors(server))
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(connect(server))
        began, used = time.monotonic(), seconds_used(server)
        until(lambda: time.monotonic() - began > 2, "two seconds are over")
        assert seconds_used(server) - used < 1.0
    set_soft_limit(server, resource.RLIMIT_NOFILE, 1024)
    assert server.run("after", [shell("true")])["status"] == "completed"


def test_no_worker_fails_because_descriptors_are_short(server: FaultSite, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.05; done"
    with requests.Session() as session:
        # An accepted connection is served for as long as it stays open.
        session.headers["X-API-Key"] = KEY
        jobs = f"{server.url}/api/v1/jobs"
        assert session.get(jobs).ok
        set_soft_limit(server, resource.RLIMIT_NOFILE, descriptors(server) + LEFT)
        changed = time.monotonic()
        until(lambda: time.monotonic() > changed + FRESH_SECONDS, "the server checks again")
        body = {"request": "too many", "tasks": [shell(wait, retries=0)] * 30}
        job = session.post(f"{server.url}/api/v1/orchestrate", json=body).json()["job_id"]

        def waiting() -> int:
            rows = session.get(f"{jobs}/{job}").json()["workers"]
            why = [row["reason"] for row in rows if row["status"] == "pending"]
            return sum("descriptors" in each for each in why)

        until(waiting, "a worker waits for descriptors")
        gate.touch()
        ended = until(lambda: ended_of(session.get(f"{jobs}/{job}/status").json()), "it ends")

    assert ended["status"] == "completed"


def ended_of(answer: Answer) -> Answer | None:
    return answer if answer["status"] in ENDED else None


def test_without_a_thread_a_stream_is_a_503_and_later_it_is_there(
    fresh: FaultSite, tmp_path: Path
) -> None:
    server = fresh
    job = server.submit("x", [shell(f"until [ -e {tmp_path}/gate ]; do sleep 0.05; done")])
    status = Path(f"/proc/{pid_of(server)}/status").read_text()
    virtual = int(status.split("VmSize:")[1].split()[0]) * 1024
    # Less memory than one more thread's stack needs.
    set_soft_limit(server, resource.RLIMIT_AS, virtual + 4 * 2**20)

    refused = server.call("GET", f"/jobs/{job}/events")
    set_soft_limit(server, resource.RLIMIT_AS, resource.RLIM_INFINITY)
    (tmp_path / "gate").touch()

    assert refused.status_code == 503, refused.text
    assert "Retry-After" in refused.headers
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert server.wait(job)["status"] == "completed"
    assert server.events_of(job)[-1]["kind"] == "job_ended"
