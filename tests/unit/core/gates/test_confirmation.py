"""Two runs of a gate on a merged state: only findings of both runs count."""

import pytest

from orchestrator.core.gates.findings import EXIT_KEY, Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import GateCause
from orchestrator.core.gates.repeated_runs import combined_on_result, flaky

PASSED = FinishedRun(reading=Reading(passed=("a", "b")))
KILLED = FinishedRun(broken="killed", cause=GateCause.KILLED)


def run(*failed: str, passed: tuple[str, ...] | None = ()) -> FinishedRun:
    return FinishedRun(
        reading=Reading(findings=tuple(Finding(each, each) for each in failed), passed=passed)
    )


@pytest.mark.parametrize(
    ("first", "second", "failed", "passed", "named"),
    [
        (run("a", passed=("b",)), PASSED, [], {"a", "b"}, ("a",)),
        (run("a", passed=("b",)), run("a", passed=("b",)), ["a"], {"b"}, ()),
        (run("a", "b"), run("b", passed=("a",)), ["b"], {"a"}, ("a",)),
        (run(EXIT_KEY, passed=None), run(passed=None), [], None, ("",)),
        (KILLED, PASSED, [], {"a", "b"}, ("",)),
        (run("a", passed=("b",)), KILLED, ["a"], {"b"}, ()),
    ],
)
def test_only_findings_of_both_runs_count(
    first: FinishedRun,
    second: FinishedRun,
    failed: list[str],
    passed: set[str] | None,
    named: tuple[str, ...],
) -> None:
    found = combined_on_result(first, second)

    assert [each.key for each in found.reading.findings] == failed
    assert (None if found.reading.passed is None else {*found.reading.passed}) == passed
    assert flaky(first, second) == named
