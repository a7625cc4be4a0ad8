"""Reports of the driver to the server, with a real server."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.agents.driver_process import reports_to_server
from orchestrator.agents.driver_process.reports_to_server import ReceiptReporter, UsageReporter
from orchestrator.core.model.attempt.attempt_result import Usage
from tests.unit.cli.fake_api import KEY, FakeApi, running

Answer = tuple[int, dict[str, Any], dict[str, str]]
OK: Answer = (200, {"ok": True}, {})
CAPPED: Answer = (200, {"capped": True}, {})
#: Failed calls: the connection breaks, the server restarts, or the server limits the rate of calls.
UNANSWERED: list[Answer] = [(0, {}, {}), (503, {}, {}), (429, {}, {})]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setattr(reports_to_server, "PAUSE_SECONDS", 0.01)
    with running(FakeApi()) as server:
        yield server


def environ(api: FakeApi) -> dict[str, str]:
    return {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}


def usage(tokens: int) -> Usage:
    return Usage(input_tokens=tokens)


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def tokens_of(api: FakeApi) -> list[int]:
    return [call.body["input_tokens"] for call in api.calls_of("POST", "/usage")]


def test_read_messages_are_reported_until_the_server_answers(api: FakeApi) -> None:
    api.faults += [*UNANSWERED, OK, OK]
    receipts = ReceiptReporter(environ(api))

    receipts.report(["a"])
    until(lambda: not api.faults[1:])
    receipts.report(["b"])
    receipts.close(30)

    delivered = [call.body["delivered"] for call in api.calls_of("POST", "/messages")]
    assert delivered == [["a"]] * 4 + [["b"]]


def test_a_read_message_is_reported_again_when_the_agent_has_ended(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports_to_server, "PAUSE_SECONDS", 60.0)
    api.faults += [(503, {}, {}), (503, {}, {})]
    receipts = ReceiptReporter(environ(api))

    receipts.report(["a"])
    until(lambda: len(api.calls) == 1)
    receipts.close(30)

    assert len(api.calls) == 2


def test_usage_is_reported_until_the_server_answers(api: FakeApi) -> None:
    api.faults += [*UNANSWERED, OK, OK]
    reporter = UsageReporter(environ(api), lambda why: None)

    reporter.report(usage(1))
    until(lambda: not api.faults[1:])
    reporter.close(usage(2))

    assert tokens_of(api) == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("status", [403, 404])
def test_reports_end_with_one_log_line_when_the_server_rejects_them(
    api: FakeApi, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    api.faults += [(status, {}, {})]
    reporter = UsageReporter(environ(api), lambda why: None)

    reporter.report(usage(1))
    until(lambda: reporter._thread is not None and not reporter._thread.is_alive())
    reporter.report(usage(2))
    assert not reporter.waits(usage(2))
    reporter.close(usage(3))

    assert tokens_of(api) == [1]
    error = (
        f"! the server rejected a report to /api/v1/usage (HTTP {status}); "
        "no more such reports are sent\n"
    )
    assert capsys.readouterr().err == error


def test_receipts_end_when_the_server_rejects_them(api: FakeApi) -> None:
    api.faults += [(404, {}, {})]
    receipts = ReceiptReporter(environ(api))

    receipts.report(["a"])
    until(lambda: receipts._thread is not None and not receipts._thread.is_alive())
    receipts.report(["b"])
    receipts.close(30)

    assert len(api.calls_of("POST", "/messages")) == 1


def test_later_totals_replace_totals_that_were_not_received(api: FakeApi) -> None:
    api.faults += [(503, {}, {}), OK, OK]
    reporter = UsageReporter(environ(api), lambda why: None)

    with reporter._changed:
        reporter.report(usage(1))
        reporter.report(usage(2))
    until(lambda: not api.faults[1:])
    reporter.close(usage(2))

    assert tokens_of(api) == [2, 2, 2]


def test_totals_of_a_capped_worker_are_reported_without_a_pause(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports_to_server, "PAUSE_SECONDS", 60.0)
    api.faults += [CAPPED, OK, OK]
    reporter = UsageReporter(environ(api), lambda why: None)

    reporter.report(usage(1))
    until(lambda: len(api.calls) == 1)
    reporter.report(usage(2))
    until(lambda: len(api.calls) == 2)
    reporter.close(usage(2))

    assert tokens_of(api) == [1, 2, 2]


def test_the_server_may_stop_the_agent(api: FakeApi) -> None:
    api.faults += [(200, {"stop": "the budget is used"}, {}), OK]
    reasons: list[str] = []
    reporter = UsageReporter(environ(api), reasons.append)

    reporter.report(usage(1))
    until(lambda: bool(reasons))
    reporter.close(usage(1))

    assert reasons == ["the budget is used"]


@pytest.mark.parametrize(("answer", "waits"), [({"waiting": True}, True), ({}, False)])
def test_the_server_knows_if_the_worker_waits(
    api: FakeApi, answer: dict[str, Any], waits: bool
) -> None:
    api.faults.append((200, answer, {}))

    assert UsageReporter(environ(api), lambda why: None).waits(usage(1)) is waits


def test_without_a_server_nothing_is_reported() -> None:
    receipts, reporter = ReceiptReporter({}), UsageReporter({}, lambda why: None)

    receipts.report(["a"])
    reporter.report(usage(1))

    assert receipts._thread is None and reporter._thread is None
    assert not reporter.waits(usage(1))
    receipts.close(30)
    reporter.close(usage(1))
