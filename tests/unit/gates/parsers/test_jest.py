"""Reports of jest 30 and vitest 4, without the fields that are not read."""

import json
from typing import Any

import pytest

from orchestrator.core.gates.findings import Reading, UnreadableReport
from orchestrator.gates.parsers import jest


def read(*suites: dict[str, Any]) -> Reading:
    return jest.read(json.dumps({"testResults": suites}).encode(), "/work/tree")


JEST = {
    "name": "/work/tree/src/sum.test.js",
    "status": "failed",
    "message": "  ● sum › bad",
    "assertionResults": [
        {"fullName": "sum adds", "status": "passed", "failureMessages": []},
        {"fullName": "sum bad", "status": "failed", "failureMessages": ["Error: 3\n  is not 4"]},
        {"fullName": "sum later", "status": "pending", "failureMessages": []},
        {"fullName": "sum some day", "status": "todo", "failureMessages": []},
    ],
}


def test_tests_are_named_by_file_and_title() -> None:
    reading = read(JEST)

    assert reading.passed == ("src/sum.test.js::sum adds",)
    assert [each.text for each in reading.findings] == [
        "src/sum.test.js::sum bad: Error: 3 is not 4"
    ]
    assert len(reading.skipped) == 2


def test_a_file_that_cannot_be_loaded_is_a_finding() -> None:
    broken = {
        "name": "/work/tree/src/broken.test.js",
        "status": "failed",
        "message": "Cannot find module 'nope'",
        "assertionResults": [],
    }

    [finding] = read(broken).findings

    assert finding.key == "src/broken.test.js"
    assert finding.text.endswith("Cannot find module 'nope'")


def test_a_report_without_tests_has_none() -> None:
    assert read().passed == ()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"testResults": 3}', b"not json"])
def test_an_invalid_report_is_rejected(content: bytes) -> None:
    with pytest.raises(UnreadableReport):
        jest.read(content, "/work/tree")
