"""JSON reports of ``jest --json`` and ``vitest --reporter=json``."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.gates.findings import Finding, Reading, UnreadableReport, of_tests
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers.report_json import parsed, relative, sequence, text

LONGEST_PATH = 4096
#: Maximum number of characters of the first line of a test's message.
LONGEST_FAILURE = 500
_FAILED, _PASSED = "failed", "passed"


def read(content: bytes, cwd: str) -> Reading:
    """Parse a report. Paths in the result are relative to ``cwd``.

    Raise UnreadableReport if the report is not valid.
    """
    report = parsed(content, "JSON of jest")
    if not isinstance(report, dict) or not isinstance(report.get("testResults"), list):
        raise UnreadableReport(
            "the report is JSON, but not a report of jest: the key testResults is missing"
        )
    findings: list[Finding] = []
    passed: list[str] = []
    skipped: list[str] = []
    for suite in map(mapping, sequence(report["testResults"])):
        path = relative(text(suite.get("name"), LONGEST_PATH), cwd)
        tests = [mapping(test) for test in sequence(suite.get("assertionResults"))]
        findings += _findings(path, suite, tests)
        passed += [_name(path, test) for test in tests if test.get("status") == _PASSED]
        others = (test for test in tests if test.get("status") not in {_PASSED, _FAILED})
        skipped += [_name(path, test) for test in others]
    return of_tests(findings, passed, skipped)


def _findings(path: str, suite: dict[str, Any], tests: list[dict[str, Any]]) -> Iterator[Finding]:
    failed = [test for test in tests if test.get("status") == _FAILED]
    for test in failed:
        name, messages = _name(path, test), sequence(test.get("failureMessages"))[:1]
        sentence = text(messages[0]) if messages else ""
        first_line = str(messages[0]).strip().partition("\n")[0] if messages else ""
        yield Finding(name, f"{name}: {sentence or 'failed'}", failure=first_line[:LONGEST_FAILURE])
    # The file could not be loaded, or one of its hooks failed outside of the tests.
    if suite.get("status") == _FAILED and not failed:
        yield Finding(path, f"{path}: {text(suite.get('message')) or 'failed'}", is_error=True)


def _name(path: str, test: dict[str, Any]) -> str:
    return f"{path}::{text(test.get('fullName')) or text(test.get('title'))}"
