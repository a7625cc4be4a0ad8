"""Compares a run of a gate with the run on the base: passed tests, new tests, findings. Pure.

A candidate must not win by altered tests. Therefore a separate run on the candidate uses the base's
tests and configuration, and counts the tests of the base. Only some of the candidate's new tests
count (see ``selection.counted_new_tests``).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.core.gates.findings import EXIT_KEY, FinishedRun, Reading, new_findings
from orchestrator.core.gates.gate import Gate, GateOutcome, GateResult
from orchestrator.core.gates.tampering import reads_tests

#: Maximum number of new tests of one gate that are stored, in alphabetical order.
MOST_NEW_TESTS = 500


def with_counts(
    gate: Gate, result: GateResult, now: FinishedRun, as_base: FinishedRun, base: FinishedRun | None
) -> GateResult:
    """Return the result, with numbers of tests or findings added.

    If the gate did not judge, the result is unchanged.

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
    """Yield the tests that passed in ``now`` and that the base also has.

    A test that was moved to another file counts as the same test. Also yield each passed test of a
    file that the base cannot load. If the base lists no tests at all, yield every passed test.
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
