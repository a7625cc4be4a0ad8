"""Findings of gates, compared with their findings at the base."""

from dataclasses import replace

import pytest

from orchestrator.core.gates.findings import Finding, FinishedRun, Reading, lost_tests, with_exit
from orchestrator.core.gates.gate import Gate, GateCause, GateReport, GateSource, GateStatus
from orchestrator.core.gates.gate_decision import (
    LOST,
    NONE_LEFT,
    for_the_next_attempt,
    in_words,
    needs_base,
    result_of,
)
from orchestrator.core.gates.removal_permission import RemovalPermission
from orchestrator.core.text.path_patterns import matches

GATE = Gate(name="tests", run="pytest", report=GateReport.JUNIT, configured_by=("conftest.py",))
DETECTED = replace(GATE, source=GateSource.DETECTED)


def ran(*failed: str, passed: tuple[str, ...] | None = (), **more: object) -> FinishedRun:
    findings = tuple(Finding(name, f"{name}: it failed") for name in failed)
    return FinishedRun(reading=Reading(findings=findings, passed=passed), **more)  # type: ignore[arg-type]


def test_a_failure_that_the_base_also_has_does_not_count() -> None:
    known = result_of(GATE, ran("a"), ran("a"), [])
    mixed = result_of(GATE, ran("a", "b"), ran("a"), [])

    assert (known.status, known.known, known.blocks) == (GateStatus.KNOWN, 1, False)
    assert (mixed.status, mixed.known, mixed.failures) == ("failed", 1, ("b: it failed",))
    assert mixed.blocks


def test_the_second_of_two_that_are_the_same_is_new() -> None:
    result = result_of(GATE, ran("a", "a"), ran("a"), [])

    assert (result.known, len(result.failures)) == (1, 1)


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        (ran("a::x"), ran("b::x"), ()),
        (ran("a::x", passed=("a::y",)), ran("b::x", passed=("a::y",)), ()),
        (ran("a::x"), ran("b::x", "c::x"), ("c::x",)),
        (ran("a::x", passed=("b::x",)), ran("b::x", passed=("a::x",)), ("b::x",)),
        (ran("a::x"), ran("b::x", passed=("a::x",)), ("b::x",)),
        (ran("a.py|F401|os", passed=None), ran("b.py|F401|os", passed=None), ()),
        (
            ran("a.py|F401|os", "a.py|E1|x", passed=None),
            ran("b.py|F401|os", "a.py|E1|x", passed=None),
            ("b.py|F401|os",),
        ),
        (ran("a.py|F401|os", passed=None), ran("b.py|F401|re", passed=None), ("b.py|F401|re",)),
    ],
)
def test_a_moved_failure_is_not_new(
    before: FinishedRun, now: FinishedRun, new: tuple[str, ...]
) -> None:
    found = result_of(GATE, now, before, [])
    assert found.failures == tuple(f"{each}: it failed" for each in new)


def test_without_a_baseline_everything_counts() -> None:
    strict = Gate(name="tests", run="x", new_only=False)

    assert result_of(strict, ran("a"), ran("a"), []).status is GateStatus.FAILED
    assert not needs_base(strict, ran("a"), {})


def test_a_failure_without_a_report_is_one_finding() -> None:
    failed = FinishedRun(reading=with_exit(Reading(), 3))

    assert result_of(GATE, failed, failed, []).status is GateStatus.KNOWN
    assert result_of(GATE, failed, None, []).failures == ("exit code 3",)
    assert with_exit(Reading(), 0).findings == ()


def test_removed_tests_count_as_lost_and_moved_tests_do_not() -> None:
    base = Reading(passed=("tests.a::x", "tests.a::y", "tests.a::z"))
    now = Reading(passed=("tests.a::x", "tests.b::y"))

    assert lost_tests(now, base) == ["tests.a::z"]
    touched = RemovalPermission(files={"tests/a.py": False})
    result = result_of(GATE, FinishedRun(reading=now), FinishedRun(reading=base), [], touched)
    assert result.failures == (f"tests.a::z: {LOST}",)
    # Product code may contain parameters of tests: without a change of tests it may remove them,
    # but not skip them.
    assert (
        result_of(GATE, FinishedRun(reading=now), FinishedRun(reading=base), []).status
        is GateStatus.PASSED
    )
    for skipped in ("tests.a::z", "tests.a", "tests"):
        skips = FinishedRun(reading=replace(now, skipped=(skipped,)))
        assert result_of(GATE, skips, FinishedRun(reading=base), []).failures == result.failures
    free = Gate(name="tests", run="x", tests_may_vanish=True)
    assert (
        result_of(free, FinishedRun(reading=now), FinishedRun(reading=base), []).status
        is GateStatus.PASSED
    )


@pytest.mark.parametrize(
    ("files", "lost"),
    [
        (["tests/a.py"], []),
        (["tests/b.py"], ["tests.a::x"]),
        (["tests/a.py", "tests/b.py"], []),
        (["tests/b.py", "conftest.py"], []),
    ],
)
def test_permission_to_skip_tests_holds_only_for_its_files(
    files: list[str], lost: list[str]
) -> None:
    base = FinishedRun(reading=Reading(passed=("tests.a::x", "tests.b::y")))
    now = FinishedRun(reading=Reading(passed=("tests.b::y",), skipped=("tests.a",)))

    result = result_of(GATE, now, base, [], RemovalPermission(files=dict.fromkeys(files, True)))

    assert [*result.failures] == [f"{each}: {LOST}" for each in lost]


@pytest.mark.parametrize(
    ("touched", "skipped", "asks"),
    [
        ({"src/a.py": True}, 0, False),
        ({"src/a.py": True}, 1, True),
        ({"tests/test_a.py": False}, 0, False),
        ({"tests/test_a.py": True}, 0, True),
        ({"tests/test_a.py": False}, 2, True),
        ({"conftest.py": False}, 0, True),
    ],
)
def test_the_gate_runs_on_the_base_if_tests_may_be_lost(
    touched: dict[str, bool], skipped: int, asks: bool
) -> None:
    passed = FinishedRun(reading=Reading(passed=("a",), skipped=("b",) * skipped))

    assert needs_base(GATE, passed, touched) is asks


def test_a_change_to_the_settings_of_a_gate_is_noted() -> None:
    result = result_of(GATE, ran(passed=("a",)), None, ["conftest.py", "src/a.py"])

    assert result.status is GateStatus.PASSED
    assert result.note == "the change modifies settings of this gate: conftest.py"


@pytest.mark.parametrize(
    "cause",
    [GateCause.TIMEOUT, GateCause.KILLED, GateCause.REPORT_UNREADABLE, GateCause.ERROR],
)
def test_a_detected_gate_without_a_verdict_blocks_unless_the_base_has_none_either(
    cause: GateCause,
) -> None:
    broken = FinishedRun(broken="timed out after 3 s", cause=cause)
    runs_at_base = result_of(DETECTED, broken, ran(passed=("a",)), [])
    too = result_of(DETECTED, broken, broken, [])

    assert (runs_at_base.outcome, runs_at_base.blocks) == ("did_not_run", True)
    assert (too.status, too.outcome, too.cause, too.blocks) == (
        *("known", "did_not_run", cause),
        False,
    )
    assert too.note.endswith("the gate did not run on the base commit either")
    assert result_of(GATE, broken, broken, []).blocks
    assert result_of(GATE, ran("a"), broken, []).failures == ("a: it failed",)


def test_a_missing_program_blocks_only_a_requested_gate() -> None:
    missing = FinishedRun(broken="its program is not there", cause=GateCause.PROGRAM_MISSING)
    detected = Gate(name="ruff", run="ruff", source=GateSource.DETECTED)

    assert result_of(GATE, missing, None, []).blocks
    assert not needs_base(GATE, missing, {})
    assert result_of(detected, missing, None, []).status is GateStatus.SKIPPED


def test_the_next_attempt_gets_findings_within_a_limit() -> None:
    results = [
        result_of(Gate(name=f"g{i}", run="x"), ran("a", output="o" * 20_000), None, [])
        for i in range(5)
    ]

    text = for_the_next_attempt(results, 6000)

    assert len(text) <= 6000
    assert all(f"Gate g{i}: failed\n- a: it failed" in text for i in range(5))
    assert for_the_next_attempt([], 6000) == ""
    assert in_words(results[0]) == "gate g0 failed: a: it failed"


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a.py", "*.py", True),
        ("src/deep/a.py", "*.py", True),
        ("src/a.py", "src/*.py", True),
        ("src/deep/a.py", "src/*.py", False),
        ("src/deep/a.py", "src/**", True),
        ("src/deep/a.py", "src/**/*.py", True),
        ("src/a.py", "src/**/*.py", True),
        ("src/a.py", "src/", True),
        ("other/src/a.py", "src/*.py", False),
        ("a.pyc", "*.py", False),
        ("a+b.py", "a+b.py", True),
        ("x\ny.py", "*.py", True),
        ("docs/deep/a.md", "docs", True),
        ("src/docs/a.md", "docs", True),
        ("src/docs/a.md", "/docs", False),
        ("docs", "docs/", False),
        ("src/deep/a.py", "src/*", True),
        ("a/b", "a/**/b", True),
        ("a/x/y/b", "a/**/b", True),
        ("x/a/b", "**/a/b", True),
        ("xa/b", "**/a/b", False),
        ("part-2.txt", "part-[0-9].txt", True),
        ("part-x.txt", "part-[0-9].txt", False),
        ("part-x.txt", "part-[!0-9].txt", True),
        ("part-x.txt", "part-[^0-9].txt", True),
        ("a/b", "a[!x]b", False),
        ("a]", "a[]]", True),
        ("a-", "a[x-]", True),
        ("a]", "a[\\]]", True),
        ("am", "a[z-a]", False),
        ("am", "a[!z-a]", True),
        ("a[b", "a[b", True),
        ("[a]", "\\[a\\]", True),
        ("a*", "a\\*", True),
        ("ab", "a\\*", False),
        ("a&&b", "a[&&~~||--]&b", True),
        ("ab/xbc", "a**b*c", True),
        ("[**/a", "[[]**/a", True),
        # Matching these patterns must not take exponential time.
        ("a" * 200 + "b", "*a" * 60 + "c", False),
        ("a/" * 500 + "b", "**/a/" * 60 + "c", False),
        ("a/" * 500 + "b", "**/a/" * 60 + "b", True),
        ("a" * 2000 + "b", "**a" * 60 + "c", False),
    ],
)
def test_patterns_fit_paths_as_in_gitignore(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits


def test_a_detected_gate_whose_tests_all_fail_at_the_base_does_not_judge() -> None:
    detected = Gate(name="pytest", run="x", report=GateReport.JUNIT, source=GateSource.DETECTED)

    result = result_of(detected, ran("a", "new"), ran("a"), [])

    assert (result.status, result.known) == (GateStatus.KNOWN, 2)
    assert (result.outcome, result.cause) == ("did_not_run", "fails_at_base")
    assert result.note == "tests already fail on the base commit: it failed"
    assert result_of(GATE, ran("a", "new"), ran("a"), []).blocks


def test_a_run_without_tests_did_not_run_and_blocks_if_it_was_requested() -> None:
    none, skipped = ran(), FinishedRun(reading=Reading(passed=(), skipped=("a", "b")))
    of_pytest = FinishedRun(reading=with_exit(Reading(passed=()), 5))

    for each in (none, skipped, of_pytest):
        detected = result_of(DETECTED, each, none, [])
        assert (detected.outcome, detected.cause) == ("did_not_run", "no_tests")
        assert not detected.blocks
        assert result_of(GATE, each, none, []).blocks
    assert result_of(GATE, skipped, none, []).note == "no test ran: all 2 tests are skipped"


def test_a_change_that_removes_all_tests_of_the_base_fails() -> None:
    silent = FinishedRun(reading=Reading(passed=None))

    assert needs_base(DETECTED, ran(), {})
    assert result_of(DETECTED, ran(), ran(passed=("a",)), []).failures == (f"a: {LOST}",)
    assert result_of(DETECTED, ran(), silent, []).failures == (NONE_LEFT,)
    task = replace(GATE, tests_may_vanish=True)
    assert not needs_base(task, ran(), {})
    assert not result_of(task, ran(), None, []).blocks


@pytest.mark.parametrize("command", ["pytest -q", "npm run test", "make -s check", "node --test"])
def test_a_run_that_prints_no_summary_ran_no_test_if_the_run_on_the_base_prints_one(
    command: str,
) -> None:
    gate = Gate(name="x", run=command)
    silent = FinishedRun(reading=Reading())
    counted = FinishedRun(reading=Reading(passed_count=2))

    assert needs_base(gate, silent, {})
    assert not needs_base(gate, counted, {})
    assert result_of(gate, silent, counted, []).failures == (NONE_LEFT,)
    assert result_of(gate, silent, silent, []).status is GateStatus.PASSED
    assert result_of(gate, counted, None, []).status is GateStatus.PASSED


@pytest.mark.parametrize("command", ["test -s a.txt", "make lint", "ruff check", "sh tests/a.sh"])
def test_a_command_that_runs_no_known_test_runner_needs_no_run_on_the_base(command: str) -> None:
    assert not needs_base(Gate(name="x", run=command), FinishedRun(), {})


def test_a_gate_whose_exit_code_fails_also_at_the_base_has_not_passed() -> None:
    failed = FinishedRun(
        reading=with_exit(Reading(), 1),
        output="E   ModuleNotFoundError: No module named 'requests'\n",
    )

    result = result_of(GATE, failed, failed, [])

    assert (result.status, result.outcome, result.cause) == (
        "known",
        "did_not_run",
        "fails_at_base",
    )
    reason = "exit code 1: ModuleNotFoundError: No module named 'requests'"
    assert result.note == f"already fails on the base commit: {reason}"
    assert not result.blocks


def test_a_new_failing_test_is_not_said_to_fail_at_the_base() -> None:
    reading = with_exit(Reading(), 1)
    base = FinishedRun(reading=reading, output="ok 1 - one\nnot ok 2 - old\n")
    now = FinishedRun(reading=reading, output="not ok 1 - one\nnot ok 2 - old\n")

    assert result_of(GATE, now, base, []).note == (
        "already fails on the base commit: exit code 1: old; with the change: exit code 1: one, old"
    )


def test_a_gate_that_fails_by_its_exit_code_names_the_error_that_it_printed() -> None:
    printed = "ImportError while loading conftest\nE   SyntaxError: invalid syntax\n"
    failed = FinishedRun(reading=with_exit(Reading(), 4, is_error=True), output=printed)

    assert result_of(GATE, failed, None, []).failures == (
        "exit code 4: SyntaxError: invalid syntax",
    )


def test_a_requested_gate_that_also_cannot_run_at_the_base_blocks() -> None:
    finding = Finding("tests.test_a", "tests.test_a: ModuleNotFoundError: requests", is_error=True)
    cannot = FinishedRun(reading=Reading(findings=(finding,), passed=()))
    crashed = FinishedRun(reading=with_exit(Reading(), 4, is_error=True))
    no_directory = FinishedRun(reading=with_exit(Reading(passed=()), 4))

    for each in (cannot, crashed, no_directory):
        assert result_of(GATE, each, each, []).blocks
        assert result_of(GATE, each, each, []).outcome == "did_not_run"
        assert not result_of(DETECTED, each, each, []).blocks
    assert in_words(result_of(GATE, cannot, cannot, [])) == (
        "gate tests did not run: tests already fail on the base commit: "
        "ModuleNotFoundError: requests"
    )
    # A passed test shows that the gate ran, and it has only findings of the base.
    some = FinishedRun(reading=Reading(findings=(finding,), passed=("tests.test_b",)))
    assert result_of(GATE, some, some, []).outcome == "passed"


@pytest.mark.parametrize(
    ("path", "patterns", "fits"),
    [
        ("src/a.py", ["src/**", "!*.md"], True),
        ("src/a.md", ["src/**", "!*.md"], False),
        ("src/keep.md", ["src/**", "!*.md", "keep.md"], True),
        ("docs/a.md", ["!docs/"], False),
        ("src/a.py", ["!docs/"], True),
        ("a.py", [], False),
        ("!a.py", ["\\!a.py"], True),
        ("docs/api/a.md", ["docs/", "!docs/api"], False),
    ],
)
def test_the_last_pattern_that_fits_decides_whether_a_path_matches(
    path: str, patterns: list[str], fits: bool
) -> None:
    assert matches(path, patterns) is fits


def test_a_test_that_fails_for_another_reason_than_at_the_base_is_a_finding() -> None:
    def failing(failure: str) -> FinishedRun:
        finding = Finding("t::a", f"t::a: {failure}", failure=failure)
        return FinishedRun(reading=Reading(findings=(finding,), passed=("t::b",)))

    base = failing("KeyError: 'a'")
    other = result_of(GATE, failing("NameError: name 'x' is not defined"), base, [])

    assert result_of(GATE, base, base, []).status is GateStatus.KNOWN
    assert result_of(GATE, failing(""), base, []).status is GateStatus.KNOWN
    assert (other.status, other.known) == (GateStatus.FAILED, 0)
    assert other.failures == (
        "t::a: fails for another reason than on the base commit: "
        "NameError: name 'x' is not defined (base: KeyError: 'a')",
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ran("a.py|F401|os", passed=None), ran("a.py|F401|os", passed=None), True),
        (ran("a.py|F401|os", passed=None), ran("a.py|F401|sys", passed=None), False),
        (ran("a.py|F401|os", "b", passed=None), ran("b", "a.py|F401|os", passed=None), True),
        (ran("a::x"), ran("a::x"), True),
        (ran("a::x"), ran("a::x", "a::y"), False),
    ],
)
def test_the_digest_of_findings_ignores_their_places(
    one: FinishedRun, other: FinishedRun, same: bool
) -> None:
    digests = {result_of(GATE, each, FinishedRun(), []).digest for each in (one, other)}
    assert "" not in digests
    assert (len(digests) == 1) is same


def test_a_linters_line_makes_no_difference_and_what_a_test_reports_does() -> None:
    def digest(text: str, passed: tuple[str, ...] | None) -> str:
        reading = Reading(findings=(Finding("a", text),), passed=passed)
        return result_of(GATE, FinishedRun(reading=reading), FinishedRun(), []).digest

    assert digest("a:1: unused", None) == digest("a:7: unused", None)
    assert digest("a: assert 1 == 3", ()) != digest("a: assert 2 == 3", ())
    assert digest("a: slept 1.1 s", ()) == digest("a: slept 1.2 s", ())


def test_an_exit_code_names_no_finding() -> None:
    failed = FinishedRun(reading=with_exit(Reading(), 2))
    assert result_of(GATE, failed, FinishedRun(), []).digest == ""
