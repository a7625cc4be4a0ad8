"""Output of commands that ran no test, if only the exit code decides about the gate."""

from pathlib import Path

import pytest

from orchestrator.core.gates.findings import with_exit
from orchestrator.gates.parsers.runner_output import read


@pytest.mark.parametrize(
    "printed",
    [
        "\n\x1b[33mno tests ran\x1b[0m\x1b[33m in 0.01s\x1b[0m\n",
        "===== no tests ran in 0.00s =====",
        "3 deselected in 0.01s",
        "Ran 0 tests in 0.000s\n\nNO TESTS RAN",
        "No tests found, exiting with code 0",
        " No test files found, exiting with code 0",
        "  0 passing (1ms)",
        "ℹ tests 0\nℹ pass 0\nℹ fail 0",
        "?   \texample.com/x\t[no test files]",
        "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured",
        "ok  \texample.com/x\t0.002s [no tests to run]",
        "[INFO] No tests to run.\n[INFO] BUILD SUCCESS",
        "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips",
    ],
)
def test_output_of_runners_that_ran_no_test_is_recognized(printed: str) -> None:
    assert read(printed.encode()).has_no_tests


@pytest.mark.parametrize(
    "printed",
    [
        "ss    [100%]\n2 skipped in 0.35s",
        "===== 2 skipped, 1 deselected, 1 warning in 0.07s =====",
        "ss\n-----\nRan 2 tests in 0.000s\n\nOK (skipped=2)",
        "Test Suites: 1 passed, 1 total\nTests:       1 skipped, 1 todo, 2 total",
        "# tests 2\n# suites 0\n# pass 0\n# fail 0\n# cancelled 0\n# skipped 2",
        "running 1 test\ni\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured",
        "running 1 test\ntest a ... ignored\n\ntest result: ok. 0 passed; 0 failed; 1 ignored;",
        "[WARNING] Tests run: 2, Failures: 0, Errors: 0, Skipped: 2",
    ],
)
def test_output_of_runners_that_skipped_all_tests_is_recognized(printed: str) -> None:
    assert read(printed.encode()).has_no_tests


@pytest.mark.parametrize(
    "printed",
    [
        "tests/test_a.py::test_b\n\n1 test collected in 0.01s",
        "===== 2/3 tests collected (1 deselected) in 0.02s =====",
    ],
)
def test_a_run_of_pytest_that_only_lists_tests_ran_no_test(printed: str) -> None:
    found = read(printed.encode())

    assert found.has_no_tests
    assert found.note == "pytest only listed the tests; remove --collect-only"


NO_FILES = "tests......................(no files to check)Skipped\n"


def test_a_run_of_pre_commit_without_files_checked_nothing() -> None:
    found = read(NO_FILES.encode())

    assert found.has_no_tests
    assert found.note == "pre-commit checked no file; add --all-files"


@pytest.mark.parametrize(
    "printed",
    [
        "",
        f"{NO_FILES}lint........................................Passed\n",
        f"{NO_FILES}2 passed in 0.01s\n",
        "checked 12 files",
        "3 passed in 0.01s",
        "3 tests collected in 0.01s\n3 passed in 0.01s",
        "no tests ran in 0.01s\n4 passed in 0.02s",
        "ok  \texample.com/y\t0.01s\n?   \texample.com/x\t[no test files]",
        "running 0 tests\nrunning 3 tests\n",
        "No tests found, exiting with code 0\nTests:       2 passed, 2 total",
        "1 passed, 2 skipped in 0.01s",
        "2 skipped, 1 xfailed in 0.01s",
        "1 deselected, 1 xfailed in 0.01s",
        "Ran 3 tests in 0.000s\n\nOK (skipped=2)",
        "Test Suites: 1 passed, 1 total\nTests:       1 skipped, 1 passed, 2 total",
        "# tests 2\n# suites 0\n# pass 1\n# fail 0\n# skipped 1",
        "running 2 tests\ni.\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured\n"
        "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored;",
        "ok  \texample.com/x\t0.002s [no tests to run]\nok  \texample.com/y\t0.002s",
        "[INFO] No tests to run.\n[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 1",
    ],
)
def test_other_output_is_judged_by_the_exit_code(printed: str) -> None:
    assert not read(printed.encode()).has_no_tests


@pytest.mark.parametrize(
    ("printed", "summary"),
    [
        ("FAILED test_f.py::test_x\n1 failed, 1 passed in 0.17s\n", "1 failed, 1 passed in 0.17s"),
        ("==== \x1b[31m1 passed, 1 error\x1b[0m in 0.09s ====", "1 passed, 1 error in 0.09s"),
        ("Ran 2 tests in 0.000s\n\nFAILED (failures=1)\n", "FAILED (failures=1)"),
        ("test result: FAILED. 1 passed; 1 failed;\n", "test result: FAILED. 1 passed; 1 failed;"),
        ("--- FAIL: TestX\nFAIL\tx/y\t0.1s\nok  \tx/z\t0.1s\nFAIL\n", "FAIL"),
        (
            "Tests:       1 failed, 1 passed, 2 total\nTime: 1 s",
            "Tests:       1 failed, 1 passed, 2 total",
        ),
        (" Tests  1 failed | 1 passed (2)\n", "Tests  1 failed | 1 passed (2)"),
        ("# pass 1\n# fail 1\n# skipped 0", "# fail 1"),
        ("  3 passing (9ms)\n  1 failing\n", "1 failing"),
        ("1 failed in 0.2s\n5 passed in 0.1s\n", ""),
        ("3 passed, 1 xfailed in 0.1s\n", ""),
        ("Ran 1 test in 0.0s\n\nOK\n", ""),
        ("# pass 1\n# fail 0\n", ""),
        ("FAIL is not a summary in this line", ""),
        ("12 errors found in 3 files", ""),
    ],
)
def test_a_summary_that_reports_failed_tests_is_read(printed: str, summary: str) -> None:
    assert read(printed.encode()).failed_tests == summary


@pytest.mark.parametrize(
    ("printed", "count"),
    [
        ("===== 3 passed in 0.35s =====", 3),
        ("1 failed, 2 passed, 1 skipped in 1.20s (0:00:01)", 2),
        ("3 skipped in 0.35s\n1 passed in 0.1s", 1),
        ("test result: ok. 2 passed; 0 failed\n\ntest result: ok. 1 passed; 0 failed", 3),
        ("Test Suites: 9 passed, 9 total\nTests:       1 skipped, 4 passed, 5 total", 4),
        ("      Tests  1 failed | 4 passed (5)", 4),
        ("ℹ tests 3\nℹ pass 2\nℹ fail 0", 2),
        ("  7 passing (12ms)", 7),
        ("Ran 3 tests in 0.001s\n\nOK", 3),
        ("Ran 3 tests in 0.001s\n\nOK (expected failures=1, skipped=1)", 2),
        ("All matched files use Prettier code style!", None),
    ],
)
def test_passed_tests_are_counted(printed: str, count: int | None) -> None:
    assert read(printed.encode()).passed_count == count


def node_output(*passed: str) -> bytes:
    tests = "".join(f"✔ {each} (2.5ms)\n" for each in passed)
    return f"{tests}ℹ tests {len(passed)}\nℹ pass {len(passed)}\nℹ fail 0\n".encode()


def test_an_emptied_test_file_is_no_passed_test(tmp_path: Path) -> None:
    (tmp_path / "a.test.js").write_text("// later\nconst test = require('node:test');\n")
    (tmp_path / "c.test.js").write_text("require('node:test').test('c', () => {})\n")
    (tmp_path / "b.test.mjs").write_text("import assert from 'node:assert'\nassert.ok(1)\n")
    cwd = str(tmp_path)

    assert read(node_output(f"{cwd}/a.test.js"), cwd).has_no_tests
    assert read(node_output("a.test.js"), cwd).has_no_tests
    assert read(node_output(f"{cwd}/a.test.js", "adds"), cwd).passed_count == 1
    assert read(node_output(f"{cwd}/b.test.mjs"), cwd).passed_count == 1
    assert read(
        f"# Subtest: {cwd}/a.test.js\nok 1 - {cwd}/a.test.js\n# pass 1\n# fail 0\n".encode(), cwd
    ).has_no_tests

    [early, other] = [read(node_output(f"{cwd}/{name}.test.js", "adds"), cwd) for name in "ca"]
    assert early.failed_tests == "c.test.js: the test file ended before its tests began"
    assert (early.passed_count, other.failed_tests) == (1, "")
    (tmp_path / "helper.js").write_text("require('node:test').before(() => {})\n")
    assert read(node_output(f"{cwd}/helper.js", "adds"), cwd).failed_tests == ""
    nested = f"# Subtest: {cwd}/c.test.js\n    # Subtest: c\n    ok 1 - c\nok 1 - {cwd}/c.test.js\n"
    assert read(f"{nested}# pass 1\n# fail 0\n".encode(), cwd).failed_tests == ""


def test_a_run_that_pytest_exit_ended_has_not_passed() -> None:
    printed = b"1 passed in 0.01s\n!!!!!!! _pytest.outcomes.Exit: done !!!!!!!\n"

    found = with_exit(read(printed), 0)

    [finding] = found.findings
    assert "pytest stopped before all tests had run: _pytest.outcomes.Exit: done" in finding.text
    assert read(b"1 passed in 0.01s\n").failed_tests == ""
