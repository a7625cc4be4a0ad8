"""The check of the store for ``/health``."""

import threading
import time

from orchestrator.core.errors import StoreAway
from orchestrator.engine.service.server_status import CHECK_SECONDS, StoreProbe


def test_a_store_that_does_not_answer_delays_no_caller() -> None:
    answers, checks = threading.Event(), []

    def check() -> None:
        checks.append(1)
        answers.wait(60)

    probe = StoreProbe(check)
    began = time.monotonic()
    assert "has not answered for" in probe.trouble()
    assert "has not answered for" in probe.trouble()
    assert time.monotonic() - began < 2 * CHECK_SECONDS, "the second call does not wait"
    assert len(checks) == 1, "one thread waits for the database"

    answers.set()
    deadline = time.monotonic() + 10
    while probe.trouble() or len(checks) == 1:
        assert time.monotonic() < deadline


def test_the_error_of_the_latest_check_is_reported_while_the_next_check_runs() -> None:
    hangs, answers = threading.Event(), threading.Event()

    def check() -> None:
        if hangs.is_set():
            answers.wait(60)
        raise StoreAway("connection refused")

    probe = StoreProbe(check)
    assert probe.trouble() == "connection refused"
    hangs.set()
    assert probe.trouble() == "connection refused"
    answers.set()
