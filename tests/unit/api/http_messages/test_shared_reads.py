"""Equal concurrent queries run once. No caller gets a result from before its call."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from orchestrator.api.http_messages.shared_reads import SharedReads

HANG_SECONDS = 30.0


class SlowSource:
    """Creates values when a test allows it."""

    def __init__(self) -> None:
        self.made = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self) -> int:
        self.made += 1
        number = self.made
        self.begun.release()
        assert self.go_on.acquire(timeout=HANG_SECONDS)
        return number


def waiting(reads: SharedReads[int]) -> int:
    running = reads._running["job"]
    events = [each.ended for each in (running, running.next) if each]
    return sum(len(each._cond._waiters) for each in events)  # type: ignore[attr-defined]


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def results(futures: list[Future[int]]) -> list[int]:
    return [each.result(HANG_SECONDS) for each in futures]


def test_calls_during_a_read_share_the_next_read() -> None:
    reads, make = SharedReads[int](), SlowSource()
    with ThreadPoolExecutor(16) as threads:
        first = threads.submit(reads.get, "job", make)
        assert make.begun.acquire(timeout=HANG_SECONDS)
        others = [threads.submit(reads.get, "job", make) for _ in range(15)]
        until(lambda: waiting(reads) == 15)
        make.go_on.release(2)

        assert first.result(HANG_SECONDS) == 1
        assert results(others) == [2] * 15
    assert not reads._running


def test_other_reads_do_not_wait_and_a_failure_is_not_shared() -> None:
    reads, make = SharedReads[int](), SlowSource()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(reads.get, "job", make)
        assert make.begun.acquire(timeout=HANG_SECONDS)
        assert reads.get("another", lambda: 7) == 7
        failed = threads.submit(reads.get, "job", lambda: 1 // 0)
        make.go_on.release(2)
        with pytest.raises(ZeroDivisionError):
            failed.result(HANG_SECONDS)
        assert first.result(HANG_SECONDS) == 1
    assert reads.get("job", lambda: 5) == 5
