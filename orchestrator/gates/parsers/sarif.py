"""Parses SARIF 2.1.0 reports.

A result is a finding if its level is error or warning, and if it is not suppressed.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.gates.findings import Finding, Reading, UnreadableReport
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers.report_json import (
    MOST_FINDINGS,
    finding_at,
    number,
    parsed,
    relative,
    sequence,
    text,
)
from orchestrator.gates.parsers.sarif_rules import Rules

_COUNTED = ("error", "warning")
LONGEST_PATH = 4096


def read(content: bytes, cwd: str) -> Reading:
    """Parse a SARIF report. Paths in the result are relative to ``cwd``.

    Raise UnreadableReport if the report is not valid, or if a tool crashed and reported no finding.
    """
    report = parsed(content, "SARIF")
    if not isinstance(report, dict) or not isinstance(report.get("runs"), list):
        raise UnreadableReport("the report is JSON, but not SARIF: it has no runs")
    if not report["runs"]:
        raise UnreadableReport("the SARIF report is empty: no tool has run")
    findings: list[Finding] = []
    for finding in _findings(report["runs"], cwd):
        findings.append(finding)
        if len(findings) > MOST_FINDINGS:
            raise UnreadableReport(
                f"the report has more than {MOST_FINDINGS:,} findings; check fewer files per gate"
            )
    return Reading(findings=tuple(findings))


def _findings(runs: object, cwd: str) -> Iterator[Finding]:
    for each in sequence(runs):
        run = mapping(each)
        rules, has_finding = Rules(run), False
        for result in map(mapping, sequence(run.get("results"))):
            if _counts(result, rules.level(result)):
                has_finding = True
                yield _finding(run, rules, result, cwd)
        if not has_finding:
            _check_ended(run)


def _check_ended(run: dict[str, Any]) -> None:
    # If the tool crashed, its list of results is incomplete.
    for invocation in map(mapping, sequence(run.get("invocations"))):
        if invocation.get("executionSuccessful") is False:
            notes = sequence(invocation.get("toolExecutionNotifications"))
            messages = [
                text(mapping(mapping(note).get("message")).get("text")) for note in notes[:1]
            ]
            words = ": ".join(filter(None, ["the tool did not complete", *messages]))
            raise UnreadableReport(words)


def _counts(result: dict[str, Any], level: str) -> bool:
    is_finding = text(result.get("kind")) in {"", "fail"}
    is_new = text(result.get("baselineState")) not in {"unchanged", "absent"}
    return level in _COUNTED and is_finding and is_new and not _is_suppressed(result)


def _is_suppressed(result: dict[str, Any]) -> bool:
    # A suppression that was only proposed, or that was rejected, does not count.
    suppressions = map(mapping, sequence(result.get("suppressions")))
    return any(text(each.get("status")) in {"", "accepted"} for each in suppressions)


def _finding(run: dict[str, Any], rules: Rules, result: dict[str, Any], cwd: str) -> Finding:
    rule, message = rules.id_of(result) or "(no rule)", rules.message(result)
    places = [mapping(each) for each in sequence(result.get("locations"))[:1]]
    place = mapping(places[0].get("physicalLocation")) if places else {}
    path = relative(_uri(run, mapping(place.get("artifactLocation"))), cwd)
    line = number(mapping(place.get("region")).get("startLine"))
    return finding_at(path, line, rule, message)


def _uri(run: dict[str, Any], location: dict[str, Any]) -> str:
    # A location without a URI has the index of the file in the run's list of files.
    index, files = location.get("index"), sequence(run.get("artifacts"))
    uri = text(location.get("uri"), LONGEST_PATH)
    if uri or not isinstance(index, int) or not 0 <= index < len(files):
        return uri
    return text(mapping(mapping(files[index]).get("location")).get("uri"), LONGEST_PATH)
