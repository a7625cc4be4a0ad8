"""Work that waits for disk space is repeated, after growing pauses."""

import threading
from collections.abc import Callable, Iterator

import pytest

from orchestrator.engine.runtime import disk_and_store_retries
from orchestrator.engine.runtime.disk_and_store_retries import DiskSpaceRetries

WITHIN = 20.0


@pytest.fixture
def retries() -> Iterator[DiskSpaceRetries]:
    made = DiskSpaceRetries(lambda work: work())
    yield made
    made.close()


def test_pauses_double_until_it_is_done(
    retries: DiskSpaceRetries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_and_store_retries, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(disk_and_store_retries, "LONGEST_PAUSE_SECONDS", 0.05)
    pauses, over = [0.01], threading.Event()

    def work() -> None:
        if len(pauses) == 5:
            assert retries.done("a")
            over.set()
            return
        assert not retries.hold("a", work, "no space")
        pauses.append(retries._waiting["a"].pause)

    assert retries.hold("a", work, "no space")

    assert over.wait(WITHIN)
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.05]
    assert retries.reason == ""
    assert [record.message for record in caplog.records] == ["no space"], "logged once"


def test_a_woken_call_is_retried_at_once_and_no_call_after_the_end(
    retries: DiskSpaceRetries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_and_store_retries, "FIRST_PAUSE_SECONDS", 3600.0)
    woken = threading.Event()
    retries.hold("a", woken.set, "no space")
    assert retries.reason == "no space"

    retries.wake("a")

    assert woken.wait(WITHIN)
    later: list[Callable[[], None]] = []
    retries.close()
    retries.hold("b", lambda: later.append(woken.set), "no space")
    retries.wake("b")
    assert later == []
