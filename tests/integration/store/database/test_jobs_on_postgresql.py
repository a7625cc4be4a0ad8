"""The whole job manager on PostgreSQL, with lost connections."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.contract.store_adapters import database
from tests.faults.gateway import Gateway
from tests.faults.site import BEGIN, END, ENDED
from tests.integration.conftest import MakeSite
from tests.integration.site import (
    Answer,
    InProcess,
    ServerProcess,
    Watcher,
    shell,
    until,
    worker_processes,
)
from tests.integration.store.database.test_postgresql import CUT_OTHERS_OFF, cut_off

pytestmark = pytest.mark.slow
#: Number of restarts of PostgreSQL during one job.
ABSENCES = 4


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def site(url: str, make_site: MakeSite) -> InProcess:
    # In this order, so that the server stops before its database is dropped.
    return make_site(store={"url": url})


def test_a_job_with_child_jobs_runs_on_postgresql(site: InProcess) -> None:
    spawn = "orchestrator spawn 'one below' --command 'echo below' --wait"

    answer = site.run("above", [shell(spawn, title="parent"), shell("echo side")])

    assert answer["status"] == "completed", answer
    tree = site.get(f"/jobs/{answer['job_id']}/tree")
    assert [worker["status"] for worker in tree["workers"]] == ["recursive_success", "success"]


def test_a_locked_or_read_only_database_is_named_by_health(
    url: str, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database.postgresql.LOCK_SECONDS", 0.2)
    monkeypatch.setattr("orchestrator.engine.supervisor.supervisor.CALL_TIMEOUT_SECONDS", 1.0)
    site = make_site(store={"url": url})
    plain = make_url(url).set(drivername="postgresql").render_as_string(False)

    def trouble() -> str:
        return str(site.manager.service.server_status.health().checks["store"])

    with psycopg.connect(plain) as own:
        own.execute("LOCK TABLE jobs, events IN ACCESS EXCLUSIVE MODE")
        locked = trouble()
        assert "lock timeout" in locked
        assert "\n" not in locked, "anyone may read the text, so it must not quote statements"
        assert site.post("one", [shell("true")]).status_code == 503
    until(lambda: site.manager.service.server_status.health().ready, "it is ready again")

    with psycopg.connect(plain, options="-c default_transaction_read_only=off") as own:
        name = make_url(url).database
        own.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        own.commit()
        cut_off_others(own)
        until(
            lambda: "is read-only" in trouble(), "health names it before anything is to be stored"
        )
        until(lambda: site.post("two", [shell("true")]).status_code == 503, "it is noticed")
        assert "read-only transaction" in site.post("two", [shell("true")]).json()["detail"]
        own.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        own.commit()
        cut_off_others(own)
    until(lambda: site.manager.service.server_status.health().ready, "it is ready again")
    assert site.run("three", [shell("true")])["status"] == "completed"


def cut_off_others(own: "psycopg.Connection[Any]") -> None:
    own.execute(str(CUT_OTHERS_OFF))
    own.commit()


@pytest.mark.nightly
def test_leases_hold_while_connections_are_cut_off(
    site: InProcess, url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    once = (
        f"n=$(orchestrator lock db --wait 60) && echo in $n >> {log} && sleep 0.05 && "
        f"echo out $n >> {log} && orchestrator unlock db"
    )

    # Without a database, a submission is answered with 503.
    job = site.submit("contend", [shell(f"{once}; {once}") for _ in range(4)])
    with Watcher(lambda: cut_off(url)) as cutting:
        until(lambda: cutting.looks > 20 or cutting.error, "it was cut off often")
    answer = site.wait(job)

    assert cutting.error is None
    words = log.read_text().split()
    assert words[::2] == ["in", "out"] * (len(words) // 4), answer
    numbers = [int(word) for word in words[1::4]]
    assert numbers == sorted(set(numbers)) and len(numbers) == 8


class Caller:
    """Repeats a call after a 503, and records other failures."""

    def __init__(self, site: InProcess) -> None:
        self._site = site
        self.refused = 0
        self.wrong: list[str] = []

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"Idempotency-Key": "one"} if body else {}
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, path
            response = self._site.call(method, path, body, headers=headers)
            if response.status_code == 503 and "Retry-After" in response.headers:
                self.refused += 1
                time.sleep(0.02)
                continue
            if not response.ok:
                self.wrong.append(f"{path}: {response.status_code} {response.text}")
            found: Answer = response.json()
            return found

    def run(self, tasks: Sequence[Answer], **config: Any) -> Answer:
        body = {"request": "many", "tasks": tasks, "config": config}
        job = self.call("POST", "/orchestrate", body)["job_id"]
        while True:
            answer = self.call("GET", f"/jobs/{job}/status")
            self.call("GET", f"/jobs/{job}/tree")
            if answer["status"] in ENDED:
                return answer
            time.sleep(0.02)


def the_workers(folder: Path, count: int) -> tuple[list[Answer], Path]:
    """Return workers that record their actions: every third fails once, and the first waits for a
    child job.
    """
    effects = folder / "effects"
    common = {"env": {"EFFECTS": str(effects)}, "retries": 3}
    (folder / "child.json").write_text(json.dumps([shell(BEGIN + END, **common)]))
    spawn = f"orchestrator spawn child --tasks {folder}/child.json --wait >/dev/null && "
    again = "[ -e tried ] || { touch tried; exit 1; }; "
    work = [again if number % 3 == 0 else "sleep 0.05; " for number in range(1, count)]
    return [shell(BEGIN + each + END, **common) for each in (spawn, *work)], effects


def check_many(site: InProcess, answer: Answer, effects: Path, count: int) -> None:
    """Check that nothing was lost, nothing ran twice, and all reports are complete."""
    assert answer["status"] == "completed", answer
    lines = Counter(effects.read_text().splitlines())
    assert not [line for line in lines if line.startswith("overlap")]
    assert max(lines.values()) == 1, lines
    attempts = [row["attempts"] for row in answer["results"]["tasks"]]
    assert attempts == [1] + [2 if number % 3 == 0 else 1 for number in range(1, count)]
    # One more of each, from the child job.
    assert sum(line.startswith("end ") for line in lines) == count + 1
    assert sum(line.startswith("start ") for line in lines) == sum(attempts) + 1
    job = answer["job_id"]
    until((site.directory(job) / "FINAL_RESULT.md").exists, "its report is there")
    seqs = [event.seq for event in site.manager.parts.store.events(job, 0, 10_000)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert not worker_processes(job)


def test_connections_that_are_cut_off_lose_and_double_nothing(
    site: InProcess, url: str, tmp_path: Path, spawning: None
) -> None:
    count, caller, random = 120, Caller(site), Random(1)
    tasks, effects = the_workers(tmp_path, count)

    def cut() -> None:
        cut_off(url)
        time.sleep(random.uniform(0.02, 0.08))

    with Watcher(cut) as cutting:
        answer = caller.run(tasks)

    assert cutting.error is None and cutting.looks > 3
    assert not caller.wrong
    check_many(site, answer, effects, count)


def test_a_service_that_starts_before_its_database_waits_for_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_url(url)
    gateway = Gateway(target.host or "127.0.0.1", target.port or 5432)
    way = target.set(host="127.0.0.1", port=gateway.port).render_as_string(hide_password=False)
    # systemd sets this variable for services.
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    server = ServerProcess(tmp_path / "server", {"store": {"url": way}})
    gateway.shut()
    server.process = server.popen("--port", "0")

    until(lambda: "waiting for the database: " in server.output(), "it waits")
    assert server.process.poll() is None
    gateway.open()
    until(server.record.exists, "it serves")

    assert server.terminate() == 0
    gateway.close()


def test_a_server_that_goes_away_for_seconds_loses_and_doubles_nothing(
    url: str, make_site: MakeSite, tmp_path: Path, spawning: None
) -> None:
    server = make_url(url)
    gateway = Gateway(server.host or "127.0.0.1", server.port or 5432)
    way = server.set(host="127.0.0.1", port=gateway.port).render_as_string(hide_password=False)
    site = make_site(store={"url": way})
    count, caller, random = 30, Caller(site), Random(1)
    tasks, effects = the_workers(tmp_path, count)
    absences = 0

    def go_away() -> None:
        nonlocal absences
        if absences < ABSENCES:
            with gateway.closed():
                absences += 1
                time.sleep(random.uniform(0.5, 2.0))
        time.sleep(random.uniform(0.2, 0.6))

    with Watcher(go_away) as going:
        answer = caller.run(tasks)

    assert going.error is None and absences > 1 and caller.refused
    assert not caller.wrong
    check_many(site, answer, effects, count)
    assert site.manager.service.server_status.health().ready
    gateway.close()
