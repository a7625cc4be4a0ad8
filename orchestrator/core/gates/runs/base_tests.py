"""Counts for comparing candidates: tests of the base, new tests, and findings. Pure.

A candidate must not win by its own added tests. So the base's tests are counted separately, by
their names at the base, and with the base's versions of tests and configuration.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from orchestrator.core.gates.findings import EXIT_KEY, Ran, Reading, new_flaws
from orchestrator.core.gates.tampering.judging_files import reads_tests
from orchestrator.core.model.gate import Gate, GateOutcome, GateResult

#: Maximum number of new tests of one gate that are stored, in the order of their names.
MOST_NEW_TESTS = 500


def counted(gate: Gate, result: GateResult, now: Ran, as_base: Ran, base: Ran | None) -> GateResult:
    """Return the result with its counts; unchanged if the gate did not judge the work.

    ``now``: the run with the worker's files. ``as_base``: the run with the base's tests and
    configuration; it is ``now`` if the worker altered none of them. ``base``: the run of the base
    commit.
    """
    if result.outcome is GateOutcome.DID_NOT_RUN:
        return result
    if now.reading.passed is None:
        found = len(result.failures) if as_base is now else _findings(gate, as_base, base)
        return replace(result, is_of_files=not reads_tests(gate), base_findings=found)
    known = Reading() if base is None or base.broken else base.reading
    passing = [] if as_base.broken else list(_of_base(as_base.reading, known))
    there = {*passing, *(known.passed or ()), *(each.key for each in known.flaws)}
    new = {without_parameters(each) for each in set(now.reading.passed) - there}
    new -= {without_parameters(each) for each in there}
    names = tuple(sorted(new)[:MOST_NEW_TESTS])
    return replace(result, base_tests=len(passing), new_tests=names)


def without_parameters(test: str) -> str:
    """Return a test's name without parameters: ``test_one[2-3]`` becomes ``test_one``. Otherwise
    parameters would multiply tests at no cost.
    """
    return test.partition("[")[0]


def _findings(gate: Gate, as_base: Ran, base: Ran | None) -> int:
    if not gate.new_only or base is None or base.broken:
        return len(as_base.reading.flaws)
    return len(new_flaws(as_base.reading, base.reading))


def _of_base(now: Reading, base: Reading) -> Iterator[str]:
    """Yield passed tests that the base has under the same name, or under the name before a move.
    Each name counts once.

    If the base cannot load a file, each test of the file counts.
    """
    names = {*(base.passed or ()), *(each.key for each in base.flaws)}
    unloaded = {each.key for each in base.flaws if each.is_error}
    is_listed = bool(names - {EXIT_KEY})
    gone = names - {*(now.passed or ()), *(each.key for each in now.flaws)}
    moved = Counter(map(_own_name, gone))
    for test in sorted(set(now.passed or ())):
        if not is_listed or test in names or _is_below(test, unloaded):
            yield test
        elif moved[_own_name(test)] > 0:
            moved[_own_name(test)] -= 1
            yield test


def _is_below(test: str, files: Collection[str]) -> bool:
    return any(test.startswith((f"{each}::", f"{each}.")) for each in files)


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]
