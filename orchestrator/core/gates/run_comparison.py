"""Compares runs of a gate: on the base, on candidates, and on a merged state. Pure.

On the base and on a merged state, a finding counts only if two runs on the same state have it.

A candidate must not win by altered tests. Therefore a separate run on the candidate uses the base's
tests and configuration, and counts the tests of the base. Only some of the candidate's new tests
count (see ``selection.counted_new_tests``).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from orchestrator.core.gates.failure_fingerprint import are_alike
from orchestrator.core.gates.findings import EXIT_KEY, Finding, FinishedRun, Reading, new_findings
from orchestrator.core.gates.gate import Check, Gate, GateCause, GateOutcome, GatePlace, GateResult
from orchestrator.core.gates.tampering import reads_tests
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


#: Maximum number of new tests of one gate that are stored, in alphabetical order.
MOST_NEW_TESTS = 500


def with_counts(
    gate: Gate, result: GateResult, now: FinishedRun, as_base: FinishedRun, base: FinishedRun | None
) -> GateResult:
    """Return the result with numbers of tests or findings; unchanged if the gate did not judge.

    ``now``: the run with the worker's files. ``as_base``: the run with the base's tests and
    configuration; equal to ``now`` if the worker altered neither. ``base``: the run on the base
    commit.
    """
    if result.outcome is GateOutcome.DID_NOT_RUN:
        return result
    if now.reading.passed is None:
        finding_count = (
            len(result.failures) if as_base is now else _number_of_findings(gate, as_base, base)
        )
        return replace(result, is_of_files=not reads_tests(gate), base_findings=finding_count)
    base_reading = Reading() if base is None or base.broken else base.reading
    passing = [] if as_base.broken else list(_passed_tests_of_base(as_base.reading, base_reading))
    base_names = {
        *passing,
        *(base_reading.passed or ()),
        *(each.key for each in base_reading.findings),
    }
    new = {without_parameters(each) for each in set(now.reading.passed) - base_names}
    new -= {without_parameters(each) for each in base_names}
    names = tuple(sorted(new)[:MOST_NEW_TESTS])
    return replace(result, base_tests=len(passing), new_tests=names)


def without_parameters(test: str) -> str:
    """Return a test's name without parameters: ``test_one[2-3]`` becomes ``test_one``.

    Parameters do not count, because a candidate could add parameters only to have more tests.
    """
    return test.partition("[")[0]


def _number_of_findings(gate: Gate, as_base: FinishedRun, base: FinishedRun | None) -> int:
    if not gate.new_only or base is None or base.broken:
        return len(as_base.reading.findings)
    return len(new_findings(as_base.reading, base.reading))


def _passed_tests_of_base(now: Reading, base: Reading) -> Iterator[str]:
    """Yield the passed tests that the base also has, under the same name or in another file.

    Also yield each passed test of a file that the base cannot load. If the base lists no tests at
    all, yield every passed test.
    """
    names = {*(base.passed or ()), *(each.key for each in base.findings)}
    unloaded = (each.key for each in base.findings if each.is_error)
    unloaded_prefixes = tuple(
        f"{file}{separator}" for file in unloaded for separator in ("::", ".")
    )
    is_listed = bool(names - {EXIT_KEY})
    lost = names - {*(now.passed or ()), *(each.key for each in now.findings)}
    moved = Counter(map(_own_name, lost))
    for test in sorted(set(now.passed or ())):
        if not is_listed or test in names or test.startswith(unloaded_prefixes):
            yield test
        elif moved[_own_name(test)] > 0:
            moved[_own_name(test)] -= 1
            yield test


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


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
