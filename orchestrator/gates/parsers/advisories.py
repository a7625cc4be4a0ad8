"""Parses reports of bandit, and of tools that ask a server for advisories about packages.

A tool that got no answer from its server has checked nothing: ``NoAdvisories`` is then raised.
"""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.gates.findings import Flaw, NoAdvisories, Reading, UnreadableReport
from orchestrator.core.text.formatting import plural
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers import sarif
from orchestrator.gates.parsers.report_json import flaw_at, number, parsed, relative, sequence, text

_LONGEST_PATH = 4096


def read_bandit(content: bytes, cwd: str) -> Reading:
    """Parse a report of ``bandit -f json``. Raise UnreadableReport."""
    found = mapping(parsed(content, "JSON of bandit"))
    if "results" not in found:
        raise UnreadableReport(
            "the report is JSON, but not a report of bandit: the key results is missing"
        )
    return Reading(
        flaws=tuple(_bandit_flaw(mapping(each), cwd) for each in _list(found, "results"))
    )


def _bandit_flaw(each: dict[str, Any], cwd: str) -> Flaw:
    path = relative(text(each.get("filename"), _LONGEST_PATH), cwd).removeprefix("./")
    rule, message = text(each.get("test_id")), text(each.get("issue_text"))
    line = number(each.get("line_number"))
    return flaw_at(path, line, rule, message)


def read_npm(content: bytes) -> Reading:
    """Parse a report of ``npm audit --json``. Raise NoAdvisories if it has no results."""
    found = _answer(content, "vulnerabilities")
    flaws = {}
    for name, each in mapping(found["vulnerabilities"]).items():
        for via in sequence(mapping(each).get("via")):
            if isinstance(via, dict):
                title = text(via.get("title")) or "vulnerable"
                key = f"{text(name)}|{text(via.get('url')) or title}"
                severity = text(via.get("severity"))
                flaws[key] = Flaw(
                    key, f"{text(name)}: {title} ({severity}, {text(via.get('url'))})"
                )
    return Reading(flaws=tuple(flaws.values()))


def read_pip(content: bytes) -> Reading:
    """Parse a report of ``pip-audit -f json``.

    Raise NoAdvisories if ``content`` has no results, or if pip-audit skipped all packages.
    """
    packages = [mapping(each) for each in _list(_answer(content, "dependencies"), "dependencies")]
    skipped = [each for each in packages if "skip_reason" in each]
    if packages and len(skipped) == len(packages):
        raise NoAdvisories(f"pip-audit skipped all packages: {text(skipped[0]['skip_reason'])}")
    note = f"pip-audit skipped {plural(len(skipped), 'package')}" if skipped else ""
    return Reading(flaws=tuple(_of_packages(packages)), note=note)


def _of_packages(packages: list[dict[str, Any]]) -> Iterator[Flaw]:
    for package in packages:
        name, version = text(package.get("name")), text(package.get("version"))
        for vulnerability in map(mapping, _list(package, "vulns")):
            known = text(vulnerability.get("id"))
            yield Flaw(f"{name}|{known}", f"{name} {version}: {known}")


def read_cargo(content: bytes) -> Reading:
    """Parse a report of ``cargo audit --json``. Raise NoAdvisories if it has no results."""
    found = mapping(_answer(content, "vulnerabilities")["vulnerabilities"])
    return Reading(flaws=tuple(_crate_flaw(mapping(each)) for each in _list(found, "list")))


def _crate_flaw(each: dict[str, Any]) -> Flaw:
    advisory, package = mapping(each.get("advisory")), mapping(each.get("package"))
    name, known = text(package.get("name")), text(advisory.get("id"))
    sentence = f"{name} {text(package.get('version'))}: {known} {text(advisory.get('title'))}"
    return Flaw(f"{name}|{known}", sentence)


def read_go(content: bytes, cwd: str) -> Reading:
    """Parse a report of ``govulncheck -format sarif``.

    Raise NoAdvisories if ``content`` has no results, and UnreadableReport if it is not SARIF.
    """
    _answer(content, "runs")
    return sarif.read(content, cwd)


def _answer(content: bytes, wanted: str) -> dict[str, Any]:
    # Output without the key ``wanted`` means that the tool got no advisories.
    found: dict[str, Any] = {}
    try:
        found = mapping(parsed(content, "JSON"))
    except UnreadableReport as error:
        raise NoAdvisories(f"the tool got no advisories from its server: {error}") from error
    if wanted not in found:
        message = text(found.get("message"))
        raise NoAdvisories(f"the tool got no advisories from its server: {message}".rstrip(": "))
    return found


def _list(found: dict[str, Any], name: str) -> list[Any]:
    return sequence(found.get(name))
