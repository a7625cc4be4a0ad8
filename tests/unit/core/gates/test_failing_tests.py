"""Names of failing tests in the output of test runners."""

import pytest

from orchestrator.core.gates.findings import failing_tests

PYTEST = """
F.                                                   [100%]
E   assert 2 == 1
=========================== short test summary info ============================
\x1b[31mFAILED\x1b[0m tests/test_app.py::\x1b[1mtest_one[a b]\x1b[0m - assert 2 == 1
ERROR tests/test_other.py
1 failed, 1 passed in 0.01s
"""
UNITTEST = """
FAIL: test_one (tests.test_app.TestApp.test_one)
ERROR: test_two (tests.test_app.TestApp.test_two)
ERROR: tests.test_more (unittest.loader._FailedTest.tests.test_more)
FAILED (failures=1, errors=2)
"""
GO = """
=== RUN   TestOne
    one_test.go:5: no
--- FAIL: TestOne (0.00s)
    --- FAIL: TestOne/sub (0.00s)
FAIL
FAIL\texample.com/x\t0.002s
"""
CARGO = """
test tests::one ... FAILED
test tests::two ... ok
test result: FAILED. 1 passed; 1 failed
"""
JEST = """
FAIL ./one.test.js
  ● adds › one and one

    expect(received).toBe(expected)

  ● Test suite failed to run
  ● adds › one and one
"""
NODE = """
✖ adds (1.25ms)
✔ subtracts (0.1ms)
✖ failing tests:
✖ adds (1.25ms)
"""
TAP = "TAP version 13\nok 1 - a\nnot ok 2 - b # time=3ms\n" + "".join(
    f"not ok {number} - c{number}\n" for number in range(3, 7)
)


@pytest.mark.parametrize(
    ("printed", "named"),
    [
        (PYTEST, "tests/test_app.py::test_one[a b] - assert 2 == 1"),
        (
            UNITTEST,
            "test_one (tests.test_app.TestApp.test_one), "
            "test_two (tests.test_app.TestApp.test_two)",
        ),
        (GO, "TestOne, TestOne/sub"),
        (CARGO, "tests::one"),
        (JEST, "adds › one and one"),
        (" FAIL  src/a.test.ts > adds > one\n", "src/a.test.ts > adds > one"),
        (NODE, "adds"),
        (TAP, "b, c3, c4 and 2 more"),
        ("make: *** [Makefile:2: check] Error 1\n", ""),
    ],
    ids=["pytest", "unittest", "go", "cargo", "jest", "vitest", "node", "tap", "none"],
)
def test_the_names_that_a_runner_prints_are_found(printed: str, named: str) -> None:
    assert failing_tests(printed) == named
