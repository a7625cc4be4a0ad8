"""The whole job manager on PostgreSQL, whose connections come and go."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store_adapters import database
from tests.integration.engine.conftest import MakeSite
from tests.integration.engine.site import InProcess, Watcher, shell
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
