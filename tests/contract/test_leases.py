"""The contract of leases, on every adapter."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.locks.lock_table import LockLease
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange, Store
from orchestrator.store import SqlStore
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import a_job, a_worker, an_attempt


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = SqlStore(url)
    store.open()
    yield store
    store.close()


def running(store: Store, *names: str) -> list[Attempt]:
    """Return running attempts of workers of one job."""
    job = a_job()
    workers: list[Worker] = [
        replace(a_worker(job), id=name, index=at) for at, name in enumerate(names)
    ]
    attempts = [an_attempt(worker) for worker in workers]
    store.save(StateChange(new_jobs=[job], new_workers=workers, new_attempts=attempts))
    return attempts


def numbers(leases: Sequence[LockLease]) -> list[int]:
    return [lease.number for lease in leases]


def test_a_lease_is_given_once(store: Store) -> None:
    one, two = running(store, "worker_1", "worker_2")

    leases = store.take_leases(one, ["db", "src/api"], 5.0).leases

    assert [(each.name, each.key, each.attempt) for each in leases] == [
        ("db", one.key, one.number),
        ("src/api", one.key, one.number),
    ]
    assert store.leases() == leases
    assert [each.key for each in store.take_leases(two, ["db"], 6.0).blocked_by] == [one.key]


@pytest.mark.parametrize("name", ["src", "src/api/x", "."])
def test_a_lease_blocks_the_paths_above_and_below_it(store: Store, name: str) -> None:
    one, two = running(store, "worker_1", "worker_2")
    store.take_leases(one, ["src/api"], 5.0)

    refused = store.take_leases(two, ["other", name], 6.0)

    assert not refused.leases
    assert [each.name for each in refused.blocked_by] == ["src/api"]
    assert [each.name for each in store.leases()] == ["src/api"], (
        "the worker gets all locks or none"
    )


@pytest.mark.parametrize("name", ["src/apis", "SRC/api", "src/%", "src_api", "Src"])
def test_similar_names_are_different_locks(store: Store, name: str) -> None:
    one, two = running(store, "worker_1", "worker_2")
    store.take_leases(one, ["src/api"], 5.0)

    assert store.take_leases(two, [name], 6.0).leases


def test_numbers_only_ever_grow(store: Store, url: str) -> None:
    one, two = running(store, "worker_1", "worker_2")
    first = store.take_leases(one, ["db"], 5.0).leases
    store.end_leases(one.key, ["db"])
    second = store.take_leases(two, ["db"], 5.0).leases
    store.close()

    again = SqlStore(url)
    again.open()
    third = again.take_leases(two, ["more"], 5.0).leases
    again.close()

    found = numbers([*first, *second, *third])
    assert found == sorted(set(found))


def test_asking_again_answers_the_same(store: Store) -> None:
    (one,) = running(store, "worker_1")
    first = store.take_leases(one, ["db"], 5.0).leases

    assert store.take_leases(one, ["db"], 6.0).leases == first
    both = store.take_leases(one, ["db", "more"], 6.0).leases
    assert both[0] == first[0]
    assert both[1].number > first[0].number


def test_a_descendant_shares_a_lease_and_a_sibling_does_not(store: Store) -> None:
    parent, child, brother = running(store, "worker_1", "worker_1_1", "worker_1_2")
    first = store.take_leases(parent, ["db"], 5.0).leases

    below = store.take_leases(child, ["db"], 6.0).leases

    assert numbers(below) > numbers(first)
    assert [each.key for each in store.take_leases(brother, ["db"], 7.0).blocked_by] == [child.key]


def test_a_parent_gets_a_greater_number_after_its_descendant_had_one(store: Store) -> None:
    parent, child = running(store, "worker_1", "worker_1_1")
    store.take_leases(parent, ["db"], 5.0)
    below = store.take_leases(child, ["db"], 6.0).leases
    store.end_leases(child.key, ["db"])

    again = store.take_leases(parent, ["db"], 7.0).leases

    assert numbers(again) > numbers(below)
    assert store.take_leases(parent, ["db"], 8.0).leases == again


def test_a_worker_with_a_longer_name_is_no_descendant(store: Store) -> None:
    one, ten = running(store, "worker_1", "worker_10")
    store.take_leases(one, ["db"], 5.0)

    assert store.take_leases(ten, ["db"], 6.0).blocked_by


def test_a_lease_ends_with_its_attempt(store: Store) -> None:
    one, two = running(store, "worker_1", "worker_2")
    store.take_leases(one, ["db"], 5.0)

    store.save(StateChange(attempts=[replace(one, ended_at=9.0)]))

    assert store.leases() == []
    assert store.take_leases(two, ["db"], 10.0).leases


def test_the_leases_of_a_job_go_with_it(store: Store) -> None:
    (one,) = running(store, "worker_1")
    store.take_leases(one, ["db"], 5.0)
    store.save(StateChange(jobs=[replace(a_job(), status=JobStatus.COMPLETED)]))

    store.forget(["a"])

    assert store.leases() == []


@pytest.mark.slow
def test_two_servers_that_race_never_give_the_same_lock_twice(url: str) -> None:
    servers = [SqlStore(url), SqlStore(url)]
    for server in servers:
        server.open()
    attempts = running(servers[0], *(f"worker_{at}" for at in range(1, 5)))
    leases: list[LockLease] = []

    def contend(at: int) -> int:
        """Acquire and release through one of the two connections."""
        mine = servers[at % 2]
        got = 0
        for round in range(40):
            attempt = attempts[at % 2 + 2 * (round % 2)]
            grant = mine.take_leases(attempt, ["src/api" if at else "src"], 5.0)
            for lease in grant.leases:
                standing = {each.key for each in mine.leases()}
                assert standing == {lease.key}, "no other worker holds the lock at the same time"
                leases.append(lease)
                got += 1
                mine.end_leases(attempt.key, [lease.name])
        return got

    with ThreadPoolExecutor(2) as threads:
        won = list(threads.map(contend, range(2)))
    for server in servers:
        server.close()

    assert sum(won) == len(leases)
    assert leases, "at least one server acquired the lock"
    assert len(set(numbers(leases))) == len(leases)
