"""The combined result of two runs of a gate on the base commit."""

from orchestrator.core.gates.findings import Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import Gate, GateCause
from orchestrator.core.gates.gate_decision import result_of
from orchestrator.core.gates.repeated_runs import combined_on_base, needs_second_run


def ran(*failed: str, passed: tuple[str, ...] | None = ()) -> FinishedRun:
    findings = tuple(Finding(name, f"{name}: it failed") for name in failed)
    return FinishedRun(reading=Reading(findings=findings, passed=passed), seconds=1.0)


KILLED = FinishedRun(broken="killed by signal 9", cause=GateCause.KILLED)


def test_only_a_run_that_may_excuse_something_needs_another() -> None:
    assert needs_second_run(ran("a"))
    assert not needs_second_run(ran(passed=("a",)))
    assert not needs_second_run(KILLED)


def test_findings_and_passed_tests_count_that_both_runs_have() -> None:
    found = combined_on_base(
        ran("a", "b", "c", "c", passed=("d", "e")), ran("b", "c", passed=("a", "d"))
    )

    assert [each.key for each in found.reading.findings] == ["b", "c"]
    assert found.reading.passed == ("d",)
    assert found.reading.note == "two runs on the base commit gave different results: a, c"
    assert found.seconds == 2.0


def test_two_equal_runs_combine_and_a_killed_run_excuses_nothing() -> None:
    assert combined_on_base(ran("a"), ran("a")).reading == ran("a").reading
    assert combined_on_base(ran("a", passed=None), ran("a", passed=None)).reading.passed is None
    assert combined_on_base(ran("a"), KILLED) is KILLED


def test_a_file_that_both_runs_change_counts_also_where_they_differ() -> None:
    first = FinishedRun(rewritten=(Finding("log.txt|1", "log.txt"), Finding("a.py|1", "a.py")))
    second = FinishedRun(rewritten=(Finding("log.txt|2", "log.txt"),))

    assert combined_on_base(first, second).rewritten == second.rewritten


def test_a_failure_that_is_another_one_in_each_run_is_known_by_its_name_alone() -> None:
    def failing(*failures: str) -> FinishedRun:
        findings = tuple(Finding(f"t{n}", "x", failure=each) for n, each in enumerate(failures))
        return FinishedRun(reading=Reading(findings=findings, passed=()))

    found = combined_on_base(
        failing("KeyError: 'a'", "KeyError: 'b'"), failing("KeyError: 'a'", "OSError: x")
    )

    assert [each.failure for each in found.reading.findings] == ["KeyError: 'a'", ""]


def test_a_note_that_the_base_run_also_has_appears_once() -> None:
    found = FinishedRun(reading=Reading(passed=(), note="checked no file"))

    result = result_of(Gate(name="hooks", run="pre-commit run"), found, found, [])

    assert result.note == "no tests found; checked no file"
