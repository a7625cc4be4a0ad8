"""Lines of ``usage``."""

from typing import Any

from orchestrator.cli.jobs.usage import ESTIMATED, PARTIAL, usage_lines
from orchestrator.cli.output.exit_codes import ExitCode
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import FakeApi


def row(key: str, **fields: Any) -> dict[str, Any]:
    usual = {"jobs": 1, "workers": 2, "succeeded": 1, "tokens_in": 0, "tokens_out": 0}
    return {**usual, "key": key, "cache_read": 0, "estimated": False, "partial": False, **fields}


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_row_that_costs_most_is_first_and_the_sum_is_last() -> None:
    rows = [
        row("shell"),
        row("codex", cost_usd=0.04, tokens_in=41_200),
        row("claude", cost_usd=1.25, tokens_out=9_100, cache_read=1_300_000),
    ]

    [text] = usage_lines("agent", rows)

    head, *found = cells(text)
    assert head[0] == "AGENT"
    assert found == [
        ["claude", "1", "2", "1", "-", "9.1k", "1.3M", "$1.25"],
        ["codex", "1", "2", "1", "41.2k", "-", "-", "$0.0400"],
        ["shell", "1", "2", "1", "-", "-", "-", "-"],
        ["total", "-", "6", "3", "41.2k", "9.1k", "1.3M", "$1.29"],
    ]


def test_days_stay_in_their_order_and_a_label_names_its_column() -> None:
    rows = [row("2026-01-01", cost_usd=1.0), row("2026-01-02", cost_usd=2.0)]
    assert [line[0] for line in cells(next(usage_lines("day", rows)))][1:3] == [
        "2026-01-01",
        "2026-01-02",
    ]
    text = next(usage_lines("label:team", [row("web"), row("")]))
    assert [line[0] for line in cells(text)] == ["TEAM", "web", "-", "total"]


def test_large_costs_have_separators_of_thousands() -> None:
    [text] = usage_lines("agent", [row("claude", cost_usd=1234.5)])
    assert [line[-1] for line in cells(text)] == ["COST", "$1,234.50", "$1,234.50"]


def test_estimated_and_unknown_costs_are_marked() -> None:
    rows = [row("a", cost_usd=2.0, estimated=True), row("b", partial=True)]

    text, *marks = usage_lines("model", rows)

    assert [line[-1] for line in cells(text)] == ["COST", "~$2.00", "unknown", "~$2.00+"]
    assert marks == [ESTIMATED, PARTIAL]


def test_a_period_that_begins_before_all_times_includes_everything(
    served: FakeApi, orchestrator: Orchestrator
) -> None:
    assert orchestrator("usage", "--since", "999999d") == ExitCode.OK

    [call] = served.calls_of("GET", "/usage")
    assert call.query["since"] == ["1970-01-01T00:00:00+00:00"]
