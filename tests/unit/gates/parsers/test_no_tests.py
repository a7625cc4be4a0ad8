"""Commands that are judged by their exit code, and ran no test."""

import pytest

from orchestrator.gates.parsers.no_tests import read


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
    ],
)
def test_what_runners_print_that_ran_no_test(printed: str) -> None:
    assert read(printed.encode()).has_no_tests


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "checked 12 files",
        "3 passed in 0.01s",
        "no tests ran in 0.01s\n4 passed in 0.02s",
        "ok  \texample.com/y\t0.01s\n?   \texample.com/x\t[no test files]",
        "running 0 tests\nrunning 3 tests\n",
        "No tests found, exiting with code 0\nTests:       2 passed, 2 total",
    ],
)
def test_what_ran_some_or_is_no_test_is_judged_by_its_exit_code(printed: str) -> None:
    assert not read(printed.encode()).has_no_tests
