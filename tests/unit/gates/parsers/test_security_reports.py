"""Reports of security tools.

Reports of bandit, pip-audit and npm are shortened real reports. These tools run in
tests/integration/engine/gates/test_security_tools.py. Reports of cargo-audit and govulncheck follow
their documentation.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.gates.findings import NoAdvisories, Reading, UnreadableReport
from orchestrator.core.gates.gate import GateCause
from orchestrator.gates.parsers import security_reports

ADVISORY = {
    "source": 1106913,
    "name": "lodash",
    "title": "Command Injection in lodash",
    "url": "https://github.com/advisories/GHSA-35jh-r3h4-6jhm",
    "severity": "high",
}
NPM = {"vulnerabilities": {"lodash": {"via": [ADVISORY]}, "uses-it": {"via": ["lodash"]}}}
NO_REGISTRY = {
    "message": "request to http://127.0.0.1:9/ failed, reason: connect ECONNREFUSED 127.0.0.1:9",
    "error": {"summary": "", "detail": ""},
}
PIP = {
    "dependencies": [
        {"name": "flask", "version": "0.5", "vulns": [{"id": "PYSEC-2019-179"}]},
        {"name": "own", "skip_reason": "Dependency not found on PyPI"},
    ],
    "fixes": [],
}
CARGO = {
    "vulnerabilities": {
        "found": True,
        "list": [
            {
                "advisory": {"id": "RUSTSEC-2020-0071", "title": "Potential segfault in time"},
                "package": {"name": "time", "version": "0.1.0"},
            }
        ],
    }
}


def read(reader: Callable[[bytes], Reading], report: Any) -> Reading:
    return reader(json.dumps(report).encode())


def test_bandit_names_file_rule_and_message() -> None:
    result = {
        "filename": "./src/a.py",
        "line_number": 2,
        "test_id": "B602",
        "issue_text": "subprocess call with shell=True identified, security issue.",
    }

    [finding] = security_reports.read_bandit(
        json.dumps({"results": [result]}).encode(), "/w"
    ).findings

    assert finding.key.startswith("src/a.py|B602|subprocess call")
    assert finding.text.startswith("src/a.py:2: B602 ")


@pytest.mark.parametrize(
    ("reader", "report", "key"),
    [
        (
            security_reports.read_npm,
            NPM,
            "lodash|https://github.com/advisories/GHSA-35jh-r3h4-6jhm",
        ),
        (security_reports.read_pip, PIP, "flask|PYSEC-2019-179"),
        (security_reports.read_cargo, CARGO, "time|RUSTSEC-2020-0071"),
    ],
)
def test_advisories_are_named_by_package(
    reader: Callable[[bytes], Reading], report: Any, key: str
) -> None:
    assert [each.key for each in read(reader, report).findings] == [key]


@pytest.mark.parametrize(
    ("reader", "content"),
    [
        (security_reports.read_npm, json.dumps(NO_REGISTRY).encode()),
        (security_reports.read_pip, b""),
        (security_reports.read_pip, json.dumps({"dependencies": PIP["dependencies"][1:]}).encode()),
        (security_reports.read_cargo, b"error: couldn't fetch advisory database"),
        (lambda content: security_reports.read_go(content, "/w"), b""),
    ],
)
def test_a_tool_without_an_answer_did_not_run(
    reader: Callable[[bytes], Reading], content: bytes
) -> None:
    with pytest.raises(NoAdvisories) as raised:
        reader(content)
    assert raised.value.cause is GateCause.NO_NETWORK


def test_a_report_that_is_not_by_bandit_is_unreadable() -> None:
    with pytest.raises(UnreadableReport) as raised:
        security_reports.read_bandit(b"{}", "/w")
    assert raised.value.cause is GateCause.REPORT_UNREADABLE
