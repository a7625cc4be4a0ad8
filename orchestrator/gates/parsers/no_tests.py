"""Detects that a gate ran no test, for gates that are judged only by their exit code.

Only the output of a known test runner counts: other gates, such as linters, have no tests.
"""

import re

from orchestrator.core.gates.findings import Reading

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: Output of test runners that ran no test.
_NONE = re.compile(
    "|".join(
        (
            # pytest
            r"^[= ]*no tests ran(?: in |$)",
            r"^[= ]*\d+ deselected(?:, \d+ \w+)* in ",
            # unittest
            r"^Ran 0 tests in ",
            # jest, vitest, mocha, node --test
            r"^No tests found, exiting with code \d",
            r"^ *No test files found, exiting with code \d",
            r"^Error: No test files found",
            r"^ *0 passing\b",
            r"^(?:#|ℹ) tests 0$",
            # go, cargo
            r"\[no test files\]$",
            r"^running 0 tests$",
            # bun, deno, rspec, phpunit, ctest
            r"^ *0 pass$",
            r"^ok \| 0 passed \| 0 failed",
            r"^0 examples, 0 failures",
            r"^No tests executed!",
            r"^No tests were found!!!",
        )
    ),
    re.MULTILINE,
)
#: Output of test runners that ran some tests. One command may call several runners.
_SOME = re.compile(
    "|".join(
        (
            r"\b[1-9]\d* (?:passed|passing|pass|failed|failing|fail|errors?)\b",
            r"^Ran [1-9]\d* tests? in ",
            r"^(?:#|ℹ) tests [1-9]",
            r"^(?:ok  |FAIL|---? FAIL:)\s",
            r"^running [1-9]\d* tests?$",
            r"^[1-9]\d* examples?, ",
            r"^OK \([1-9]",
        )
    ),
    re.MULTILINE,
)


def read(printed: bytes) -> Reading:
    """Return a reading with no passed tests if the output shows that no test ran.

    Otherwise, the tests of the reading are unknown.
    """
    text = _COLORS.sub("", printed.decode("utf-8", "replace"))
    is_empty = _NONE.search(text) is not None and _SOME.search(text) is None
    return Reading(passed=()) if is_empty else Reading()
