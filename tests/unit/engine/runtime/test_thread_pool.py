"""A thread pool that can start no more threads."""

import threading

import pytest

from orchestrator.engine.runtime.thread_pool import PrestartedThreadPool


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_calls_run_in_the_threads_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PrestartedThreadPool(4, "test") as threads:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        gate = threading.Event()
        held = threads.submit(gate.wait, 60)
        done = [threads.submit(lambda: "done") for _ in range(3)]
        gate.set()

        assert held.result(60)
        assert [each.result(60) for each in done] == ["done"] * 3


def test_without_a_single_thread_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        PrestartedThreadPool(4, "test")
