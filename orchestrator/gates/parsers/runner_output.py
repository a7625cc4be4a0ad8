"""Reads the output of test runners: no tests, skipped tests, hidden failures, passed tests.

This module reads the output of gates that are judged only by their exit code. Only the output of
test runners in this module's patterns counts, because other gates, such as linters, have no tests.
"""

import re

from orchestrator.core.gates.findings import Reading
from orchestrator.core.text.formatting import listed
from orchestrator.gates.parsers.node_test_files import ENDED_EARLY, Emptiness, empty_files

#: Matches a failed test in the summary of ``node --test``.
_FAILURES = re.compile(r"^(?:#|ℹ) (?:fail|cancelled) [1-9]", re.MULTILINE)
#: The last lines of unittest's output if unittest skipped all tests.
_UNITTEST = r"(?P<ran>\d+) tests? in .*\n\s*OK \(skipped=(?P=ran)\)$"
#: Maven's counts if Maven skipped all tests.
_MAVEN = r"(?P<run>\d+), Failures: 0, Errors: 0, Skipped: (?P=run)\b"
#: The last lines of cargo's output if cargo skipped all tests: the skipped tests, and the result.
_CARGO = r"(?:i*\n|test .* \.\.\. ignored.*\n)*test result: ok\. 0 passed; 0 failed;"
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: Output of test runners that ran no test.
_NONE = re.compile(
    "|".join(
        (
            # pytest
            r"^[= ]*no tests ran(?: in |$)",
            r"^[= ]*\d+ (?:skipped|deselected)(?:, \d+ (?:skipped|deselected|warnings?))* in ",
            # unittest
            r"^Ran 0 tests in ",
            rf"^Ran {_UNITTEST}",
            # jest, vitest, mocha, node --test
            r"^No tests found, exiting with code \d",
            r"^ *No test files found, exiting with code \d",
            r"^Error: No test files found",
            r"^ *0 passing\b",
            r"^Tests: +\d+ (?:skipped|todo)(?:, \d+ todo)?, \d+ total$",
            r"^(?:#|ℹ) pass 0\n(?:#|ℹ) fail 0$",
            # go, cargo
            r"\[no test files\]$",
            r"\[no tests to run\]$",
            r"^running 0 tests$",
            rf"^running \d+ tests?\n{_CARGO}",
            # maven, minitest
            r"^(?:\[INFO\] )?No tests to run\.$",
            rf"\bTests run: {_MAVEN}",
            r"^0 runs, 0 assertions, ",
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
            r"(?<!^Test Suites: )\b[1-9]\d* (?:passed|passing|pass|failed|failing|fail|errors?)\b",
            rf"^Ran (?!{_UNITTEST})[1-9]\d* tests? in ",
            r"^(?:#|ℹ) (?:pass|fail) [1-9]",
            r"^(?:ok  (?!.*\[no tests to run\]$)|FAIL|---? FAIL:)\s",
            rf"^running [1-9]\d* tests?\n(?!{_CARGO})",
            rf"\bTests run: (?!{_MAVEN})[1-9]",
            r"^[1-9]\d* runs, ",
            r"^[1-9]\d* examples?, ",
            r"^OK \([1-9]",
            # pre-commit
            r"^.*\.{3}(?:Passed|Failed)$",
        )
    ),
    re.MULTILINE,
)


#: Matches a hook of pre-commit that checked no file. Without --all-files, pre-commit checks only
#: staged files, and a gate's worktree has no staged files.
_NO_FILES = re.compile(r"^.*\(no files to check\)Skipped$", re.MULTILINE)


#: Matches the last line of the output of ``pytest --collect-only``.
_COLLECTED = re.compile(
    r"^[= ]*(?:\d+/)?\d+ tests? collected(?: \(\d+ deselected\))? in ", re.MULTILINE
)
#: The summaries of pytest, unittest, cargo, go, jest, vitest, node --test, and mocha.
_SUMMARY = re.compile(
    "|".join(
        (
            r"^[= ]*(?:no tests ran|\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s\b.*$",
            r"^(?:OK|FAILED)(?: \(.*\))?$",
            r"^test result: .*$",
            r"^(?:ok  \t.*|FAIL)$",
            r"^ *Tests:? +\d.*$",
            r"^(?:#|ℹ) fail \d+$",
            r"^ *\d+ (?:passing|failing)\b.*$",
        )
    ),
    re.MULTILINE,
)
_FAILED = re.compile(
    r"[= ]*(?:\d+ [a-z]+, )*[1-9]\d* (?:failed|errors?)(?:,| in )|FAILED \(|test result: FAILED"
    r"|FAIL$| *Tests:? +[1-9]\d* failed|(?:#|ℹ) fail [1-9]| *[1-9]\d* failing"
)
#: Numbers of passed tests in the summaries of pytest, cargo, jest, vitest, node --test, mocha, and
#: unittest.
_PASSED = re.compile(
    "|".join(
        (
            r"^[= ]*(?:\d+ [a-z]+, )*(\d+) passed(?:, \d+ [a-z]+)* in [\d.]+s\b",
            r"^test result: \w+\. (\d+) passed;",
            r"^ *Tests:? +(?:\d+ [a-z]+(?:, +| *\| *))*(\d+) passed\b",
            r"^(?:#|ℹ) pass (\d+)$",
            r"^ *(\d+) passing\b",
            r"^Ran (\d+) tests? in .*\n\s*OK\b",
        )
    ),
    re.MULTILINE,
)
#: The end of unittest's output if it skipped some tests. ``_PASSED`` counts these tests, too.
_SKIPPED = re.compile(r"^OK \((?:.*, )?skipped=(\d+)", re.MULTILINE)


#: Matches the last line of pytest if a test, or the tested code, has called ``pytest.exit``.
_STOPPED = re.compile(r"^!+ _pytest\.outcomes\.Exit: .*$", re.MULTILINE)


def early_end(printed: bytes) -> str:
    """Return text that says that ``pytest.exit`` ended a run early; "" if it did not.

    ``printed``: the output of a gate. Such a run may have exit code 0, and omits the other tests.
    """
    text = _COLORS.sub("", printed.decode("utf-8", "replace"))
    match = next(reversed([*_STOPPED.finditer(text)]), None)
    return f"pytest stopped before all tests had run: {match[0].strip('! ')}" if match else ""


def read(printed: bytes, cwd: str = "") -> Reading:
    """Return what the output of a gate shows about tests.

    ``cwd``: the directory in which the gate ran; "" if unknown.

    These fields of the result are set:

    - ``passed``: an empty tuple if no test ran; otherwise None.
    - ``failed_tests``: the last summary of a test runner if the summary reports failed tests;
      otherwise text about an early end of pytest (see ``early_end``), or the test files of
      ``node --test`` that ended before their tests began.
    - ``passed_count``: the sum of the passed tests in all summaries, without skipped tests and
      without test files that test nothing; None if no summary has the number of passed tests.
    - ``note``: why no test ran, with advice, if the cause is an option of pytest or of pre-commit.
    """
    text = _COLORS.sub("", printed.decode("utf-8", "replace"))
    if _SOME.search(text) is None:
        if _COLLECTED.search(text) is not None:
            return Reading(passed=(), note="pytest only listed the tests; remove --collect-only")
        if _NONE.search(text) is not None:
            return Reading(passed=())
        if _NO_FILES.search(text) is not None:
            return Reading(passed=(), note="pre-commit checked no file; add --all-files")
    last = next(reversed([*_SUMMARY.finditer(text)]), None)
    is_failure = last is not None and _FAILED.match(last[0]) is not None
    counts = [int(match[match.lastindex or 0]) for match in _PASSED.finditer(text)]
    skipped = sum(int(match[1]) for match in _SKIPPED.finditer(text))
    empty = empty_files(text, cwd) if cwd and counts else {}
    early = [name for name, why in empty.items() if why is Emptiness.ENDED_EARLY]
    skipped += len(empty)
    if skipped and sum(counts) == skipped and not early and _FAILURES.search(text) is None:
        return Reading(passed=())
    failed = last[0].strip("= ") if last and is_failure else early_end(printed)
    return Reading(
        failed_tests=failed or (f"{listed(early)}: {ENDED_EARLY}" if early else ""),
        passed_count=sum(counts) - skipped if counts else None,
    )
