"""The caches of the store."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from weakref import ref

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.store.caches import JobCache


def test_a_cached_value_is_not_read_again() -> None:
    recent: JobCache[int] = JobCache(2)

    assert recent.get("a", lambda: 1) == 1
    assert recent.get("a", lambda: 2) == 1


def test_a_changed_value_is_read_again() -> None:
    recent: JobCache[int] = JobCache(2)
    recent.get("a", lambda: 1)

    recent.drop(["a", "unknown"])

    assert recent.get("a", lambda: 2) == 2


def test_a_change_during_a_read_is_not_missed() -> None:
    recent: JobCache[int] = JobCache(2)

    def overtaken() -> int:
        recent.drop(["a"])
        return 1

    assert recent.get("a", overtaken) == 1
    assert recent.get("a", lambda: 2) == 2


def test_the_later_of_two_readers_keeps_what_it_found() -> None:
    recent: JobCache[int] = JobCache(2)

    def slower() -> int:
        recent.get("a", lambda: 2)
        return 1

    assert recent.get("a", slower) == 1
    assert recent.get("a", lambda: 3) == 2


def test_the_least_recently_used_value_is_dropped_first() -> None:
    recent: JobCache[int] = JobCache(2)
    for name in ("a", "b", "a", "c"):
        recent.get(name, lambda: 1)

    assert recent.get("a", lambda: 2) == 1
    assert recent.get("b", lambda: 2) == 2
    recent.clear()
    assert recent.get("b", lambda: 3) == 3


def test_changes_during_a_read_are_applied_to_the_value_read() -> None:
    recent: JobCache[int] = JobCache(2)

    def overtaken() -> int:
        recent.change("a", lambda value: value * 10)
        recent.change("a", lambda value: value + 1)
        return 1

    assert recent.get("a", overtaken) == 11
    assert recent.get("a", lambda: 2) == 11


def test_a_value_that_changed_during_its_read_is_not_cached() -> None:
    recent: JobCache[int] = JobCache(2)

    def overtaken() -> int:
        recent.change("a", lambda value: None)
        return 1

    assert recent.get("a", overtaken) == 1
    assert recent.get("a", lambda: 2) == 2


def test_changes_during_a_read_of_several_jobs_are_applied_to_the_values_read() -> None:
    recent: JobCache[int] = JobCache(2)

    def overtaken(job_ids: Sequence[str]) -> Mapping[str, int]:
        recent.change("a", lambda value: value * 10)
        return dict.fromkeys(job_ids, 1)

    assert recent.get_all(["a", "b"], overtaken) == {"a": 10, "b": 1}
    assert recent.get_all(["a", "b"], lambda _: {}) == {"a": 10, "b": 1}


def is_kept(recent: JobCache[int]) -> bool:
    """Change the job "a". Return True if the cache keeps the change for a read in progress."""

    def change(value: int) -> int:
        return value + 1

    reference = ref(change)
    recent.change("a", change)
    del change
    return reference() is not None


def test_a_read_that_fails_keeps_no_later_changes() -> None:
    recent: JobCache[int] = JobCache(2)

    def failing() -> int:
        raise StoreError("cannot read")

    with pytest.raises(StoreError):
        recent.get("a", failing)

    assert not is_kept(recent)


def test_a_job_that_a_read_did_not_find_keeps_no_later_changes() -> None:
    recent: JobCache[int] = JobCache(2)

    assert recent.get_all(["a", "b"], lambda _: {"b": 1}) == {"b": 1}

    assert not is_kept(recent)


def test_a_read_that_fails_does_not_end_a_later_read_of_the_job() -> None:
    recent: JobCache[int] = JobCache(2)
    has_begun, may_fail = Event(), Event()

    def failing() -> int:
        has_begun.set()
        may_fail.wait(10)
        raise StoreError("cannot read")

    def later() -> int:
        may_fail.set()
        assert isinstance(earlier.exception(timeout=10), StoreError)
        recent.change("a", lambda value: value + 1)
        return 1

    with ThreadPoolExecutor() as pool:
        earlier = pool.submit(recent.get, "a", failing)
        assert has_begun.wait(10)

        assert recent.get("a", later) == 2
