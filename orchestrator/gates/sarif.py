"""SARIF 2.1.0: results of errors and warnings that nobody has suppressed."""

from collections.abc import Iterator
from typing import Any

from orchestrator.core.readings import Flaw, Reading, UnreadableReport
from orchestrator.gates.json_values import (
    MOST_FINDINGS,
    mapping,
    number,
    parsed,
    relative,
    sequence,
    text,
)

_COUNTED = ("error", "warning")


def read(content: bytes, cwd: str) -> Reading:
    """Paths are told from ``cwd``. Raise UnreadableReport."""
    found = parsed(content, "SARIF")
    if not isinstance(found, dict) or not isinstance(found.get("runs"), list):
        raise UnreadableReport("its report is JSON, but no SARIF: it has no runs")
    flaws: list[Flaw] = []
    for flaw in _flaws(found["runs"], cwd):
        flaws.append(flaw)
        if len(flaws) > MOST_FINDINGS:
            raise UnreadableReport(f"its report has more than {MOST_FINDINGS} findings")
    return Reading(flaws=tuple(flaws))


def _flaws(runs: object, cwd: str) -> Iterator[Flaw]:
    for run in sequence(runs):
        levels = _default_levels(mapping(run))
        for each in sequence(mapping(run).get("results")):
            result = mapping(each)
            rule = text(result.get("ruleId")) or "(no rule)"
            level = text(result.get("level")) or levels.get(rule, "warning")
            if _counts(result, level):
                yield _flaw(result, rule, cwd)


def _default_levels(run: dict[str, Any]) -> dict[str, str]:
    """By rule, where a tool says it once for all of its results."""
    rules = sequence(mapping(mapping(run.get("tool")).get("driver")).get("rules"))
    pairs = ((mapping(each), mapping(mapping(each).get("defaultConfiguration"))) for each in rules)
    return {text(rule.get("id")): text(found.get("level")) or "warning" for rule, found in pairs}


def _counts(result: dict[str, Any], level: str) -> bool:
    is_finding = text(result.get("kind")) in {"", "fail"}
    is_new = text(result.get("baselineState")) not in {"unchanged", "absent"}
    return level in _COUNTED and is_finding and is_new and not result.get("suppressions")


def _flaw(result: dict[str, Any], rule: str, cwd: str) -> Flaw:
    message = text(mapping(result.get("message")).get("text"))
    places = [mapping(each) for each in sequence(result.get("locations"))[:1]]
    place = mapping(places[0].get("physicalLocation")) if places else {}
    path = relative(text(mapping(place.get("artifactLocation")).get("uri"), 4096), cwd)
    line = number(mapping(place.get("region")).get("startLine"))
    return Flaw(f"{path}|{rule}|{message}", f"{path}:{line}: {rule} {message}")
