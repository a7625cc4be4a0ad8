"""Repeated runs of a gate on the same state, and flaky findings. Pure.

On the base and on a merged state, a finding counts only if two runs on the same state have it. A
finding that only one of two runs on a merged state has is flaky.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.gates.failure_fingerprint import are_alike
from orchestrator.core.gates.findings import EXIT_KEY, Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import Check, GateCause, GatePlace, GateResult
from orchestrator.core.text.formatting import listed

#: Maximum number of findings that a note names if two runs differ.
MOST_NAMED_OF_BASE = 3


def needs_second_run(first: FinishedRun) -> bool:
    """True if the run has findings, which a second run must confirm."""
    return not first.broken and bool(first.reading.findings or first.rewritten)


def combined_on_base(first: FinishedRun, second: FinishedRun) -> FinishedRun:
    """Return two runs on the base as one run.

    The result has the findings that both runs have, and the tests that passed in both runs.

    If the second run has no verdict, return the second run. There are then no certain findings of
    the base, so all findings of the change count as new.
    """
    if second.broken:
        return second
    one, other = first.reading, second.reading
    reading = Reading(
        findings=tuple(common(one.findings, other.findings)),
        passed=_passed_in_both(one.passed, other.passed),
        skipped=_in_both(one.skipped, other.skipped),
        note=_difference_in_words(one.findings, other.findings),
    )
    return replace(
        second,
        reading=reading,
        rewritten=tuple(of_files_in_both(first.rewritten, second.rewritten)),
        seconds=first.seconds + second.seconds,
    )


def of_files_in_both(one: Iterable[Finding], other: Iterable[Finding]) -> Iterable[Finding]:
    """Yield the findings of ``other`` whose files also have findings in ``one``.

    ``one``, ``other``: the findings of two runs. Each finding is a place that the run changed in a
    tracked file. Only the files are compared, because a gate may write different content into a
    file in each run.
    """
    paths = {each.text for each in one}
    return (each for each in other if each.text in paths)


def common(one: Iterable[Finding], other: Iterable[Finding]) -> Iterable[Finding]:
    """Yield the findings that both runs have.

    A test that failed in both runs counts, even if its messages differ.
    """
    unmatched: dict[str, list[Finding]] = {}
    for each in other:
        unmatched.setdefault(each.key, []).append(each)
    for finding in one:
        if unmatched.get(finding.key):
            is_same = are_alike(finding.failure, unmatched[finding.key].pop(0).failure)
            yield finding if is_same else replace(finding, failure="")


def _passed_in_both(
    one: tuple[str, ...] | None, other: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    return None if one is None or other is None else _in_both(one, other)


def _in_both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    other_names = set(other)
    return tuple(name for name in one if name in other_names)


def _difference_in_words(one: Iterable[Finding], other: Iterable[Finding]) -> str:
    counts = Counter(each.key for each in one)
    counts.subtract(Counter(each.key for each in other))
    keys = sorted(key for key, count in counts.items() if count)
    if not keys:
        return ""
    names = listed(keys, MOST_NAMED_OF_BASE)
    return f"two runs on the base commit gave different results: {names}"


#: Maximum number of findings that a note names if only one run has them.
MOST_NAMED = 5
#: Causes of a missing verdict that a machine under load can produce. A second run may succeed.
_MAY_PASS = frozenset({GateCause.KILLED, GateCause.TIMEOUT})


def needs_confirmation(check: Check, ran: FinishedRun, result: GateResult) -> bool:
    """True if a second run must confirm a rejection of a merged result.

    A rejected merged result affects several tasks, so a single run is not enough.
    """
    is_of_result = check.place is GatePlace.RESULT and bool(check.base)
    return is_of_result and result.blocks and (not ran.broken or ran.cause in _MAY_PASS)


def combined_on_result(first: FinishedRun, second: FinishedRun) -> FinishedRun:
    """Return two runs on a merged result as one run.

    A finding counts only if both runs have it. A passed test counts if at least one run has it.

    If the second run has no verdict, return the first run.
    """
    if second.broken:
        return first
    one, other = first.reading, second.reading
    reading = replace(
        other,
        findings=tuple(common(one.findings, other.findings)),
        passed=_in_either(one.passed, other.passed),
        skipped=_in_either(one.skipped, other.skipped) or (),
    )
    return replace(
        second,
        reading=reading,
        rewritten=tuple(of_files_in_both(first.rewritten, second.rewritten)),
        seconds=first.seconds + second.seconds,
    )


def flaky(first: FinishedRun, second: FinishedRun) -> tuple[str, ...]:
    """Return the names of tests and checks that failed in only one of the two runs.

    The name "" means the whole gate.
    """
    if second.broken:
        return ()
    if first.broken:
        return ("",) if second.passed else ()
    counts = Counter(each.key for each in first.reading.findings)
    counts.subtract(Counter(each.key for each in second.reading.findings))
    names = sorted(key for key, count in counts.items() if count)
    return tuple("" if each == EXIT_KEY else each for each in names)[:MOST_NAMED]


def _in_either(one: Iterable[str] | None, other: Iterable[str] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return None if one is other else tuple(one or other or ())
    return tuple(dict.fromkeys((*one, *other)))
