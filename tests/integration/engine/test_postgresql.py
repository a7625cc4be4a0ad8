"""The whole job manager on PostgreSQL, whose connections come and go."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store_adapters import database
from tests.integration.engine.conftest import MakeSite
from tests.integration.engine.site import InProcess, Watcher, shell, until
from tests.integration.store.test_postgresql import cut_off

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def site(url: str, make_site: MakeSite) -> InProcess:
    # In this order: it is stopped before its database is dropped.
    return make_site(store={"url": url})


def test_a_job_with_child_jobs_runs_on_postgresql(site: InProcess) -> None:
    spawn = "orchestrator spawn 'one below' --command 'echo below' --wait"

    answer = site.run("above", [shell(spawn, title="parent"), shell("echo side")])

    assert answer["status"] == "completed", answer
    tree = site.get(f"/jobs/{answer['job_id']}/tree")
    assert [worker["status"] for worker in tree["workers"]] == ["recursive_success", "success"]


def test_leases_hold_while_connections_are_cut_off(
    site: InProcess, url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    once = (
        f"n=$(orchestrator lock db --wait 60) && echo in $n >> {log} && sleep 0.05 && "
        f"echo out $n >> {log} && orchestrator unlock db"
    )

    with Watcher(lambda: cut_off(url)) as cutting:
        job = site.submit("contend", [shell(f"{once}; {once}") for _ in range(4)])
        until(lambda: cutting.looks > 20 or cutting.error, "it was cut off often")
    answer = site.wait(job)

    assert cutting.error is None
    words = log.read_text().split()
    assert words[::2] == ["in", "out"] * (len(words) // 4), answer
    numbers = [int(word) for word in words[1::4]]
    assert numbers == sorted(set(numbers)) and len(numbers) == 8


def test_connections_that_are_cut_off_lose_and_double_nothing(
    site: InProcess, url: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    count = 40
    tasks = [shell(f"echo {number} >> {ran}; sleep 0.05") for number in range(count)]

    with Watcher(lambda: cut_off(url)) as cutting:
        answer = site.run("many", tasks)

    assert cutting.error is None and cutting.looks > 3
    assert answer["status"] == "completed", answer
    assert Counter(ran.read_text().split()) == Counter(map(str, range(count)))
    job_id = answer["job_id"]
    seqs = [event.seq for event in site.manager.store.events(job_id, 0, 10_000)]
    assert seqs == list(range(1, len(seqs) + 1))
