"""Parses reports of bandit, and of tools that ask a server for advisories about packages.

A tool that got no answer from its server has checked nothing: ``NoAdvisories`` is then raised.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.gates.findings import Finding, NoAdvisories, Reading, UnreadableReport
from orchestrator.core.text.formatting import plural
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers import sarif
from orchestrator.gates.parsers.report_json import (
    finding_at,
    number,
    parsed,
    relative,
    sequence,
    text,
)

_LONGEST_PATH = 4096


def read_bandit(content: bytes, cwd: str) -> Reading:
    """Parse a report of ``bandit -f json``. Raise UnreadableReport if the report is not valid."""
    report = mapping(parsed(content, "JSON of bandit"))
    if "results" not in report:
        raise UnreadableReport(
            "the report is JSON, but not a report of bandit: the key results is missing"
        )
    return Reading(
        findings=tuple(_bandit_finding(mapping(each), cwd) for each in _list(report, "results"))
    )


def _bandit_finding(issue: dict[str, Any], cwd: str) -> Finding:
    path = relative(text(issue.get("filename"), _LONGEST_PATH), cwd).removeprefix("./")
    rule, message = text(issue.get("test_id")), text(issue.get("issue_text"))
    line = number(issue.get("line_number"))
    return finding_at(path, line, rule, message)


def read_npm(content: bytes) -> Reading:
    """Parse a report of ``npm audit --json``. Raise NoAdvisories if it has no results."""
    report = _answer(content, "vulnerabilities")
    findings = {}
    for name, vulnerability in mapping(report["vulnerabilities"]).items():
        for via in sequence(mapping(vulnerability).get("via")):
            if isinstance(via, dict):
                title = text(via.get("title")) or "vulnerable"
                key = f"{text(name)}|{text(via.get('url')) or title}"
                severity = text(via.get("severity"))
                findings[key] = Finding(
                    key, f"{text(name)}: {title} ({severity}, {text(via.get('url'))})"
                )
    return Reading(findings=tuple(findings.values()))


def read_pip(content: bytes) -> Reading:
    """Parse a report of ``pip-audit -f json``.

    Raise NoAdvisories if ``content`` has no results, or if pip-audit skipped all packages.
    """
    packages = [mapping(each) for each in _list(_answer(content, "dependencies"), "dependencies")]
    skipped = [each for each in packages if "skip_reason" in each]
    if packages and len(skipped) == len(packages):
        raise NoAdvisories(f"pip-audit skipped all packages: {text(skipped[0]['skip_reason'])}")
    note = f"pip-audit skipped {plural(len(skipped), 'package')}" if skipped else ""
    return Reading(findings=tuple(_package_findings(packages)), note=note)


def _package_findings(packages: list[dict[str, Any]]) -> Iterator[Finding]:
    for package in packages:
        name, version = text(package.get("name")), text(package.get("version"))
        for vulnerability in map(mapping, _list(package, "vulns")):
            advisory_id = text(vulnerability.get("id"))
            yield Finding(f"{name}|{advisory_id}", f"{name} {version}: {advisory_id}")


def read_cargo(content: bytes) -> Reading:
    """Parse a report of ``cargo audit --json``. Raise NoAdvisories if it has no results."""
    vulnerabilities = mapping(_answer(content, "vulnerabilities")["vulnerabilities"])
    return Reading(
        findings=tuple(_crate_finding(mapping(each)) for each in _list(vulnerabilities, "list"))
    )


def _crate_finding(vulnerability: dict[str, Any]) -> Finding:
    advisory, package = (
        mapping(vulnerability.get("advisory")),
        mapping(vulnerability.get("package")),
    )
    name, advisory_id = text(package.get("name")), text(advisory.get("id"))
    sentence = f"{name} {text(package.get('version'))}: {advisory_id} {text(advisory.get('title'))}"
    return Finding(f"{name}|{advisory_id}", sentence)


def read_go(content: bytes, cwd: str) -> Reading:
    """Parse a report of ``govulncheck -format sarif``.

    Raise NoAdvisories if ``content`` has no results, and UnreadableReport if it is not SARIF.
    """
    _answer(content, "runs")
    return sarif.read(content, cwd)


def _answer(content: bytes, key: str) -> dict[str, Any]:
    # Output without the key means that the tool got no advisories.
    report: dict[str, Any] = {}
    try:
        report = mapping(parsed(content, "JSON"))
    except UnreadableReport as error:
        raise NoAdvisories(f"the tool got no advisories from its server: {error}") from error
    if key not in report:
        message = text(report.get("message"))
        raise NoAdvisories(f"the tool got no advisories from its server: {message}".rstrip(": "))
    return report


def _list(document: dict[str, Any], name: str) -> list[Any]:
    return sequence(document.get(name))
