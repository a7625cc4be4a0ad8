"""Combines two runs of a gate on a merged state: only findings of both block the work. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.gates.findings import EXIT_KEY, Ran
from orchestrator.core.gates.runs.base_runs import common, of_files_in_both
from orchestrator.core.model.gate import Check, GateCause, GatePlace, GateResult

#: Maximum number of named findings that only one run has.
MOST_NAMED = 5
#: Possibly caused by the change, but also by a machine under load.
_MAY_PASS = frozenset({GateCause.KILLED, GateCause.TIMEOUT})


def needs_confirmation(check: Check, ran: Ran, result: GateResult) -> bool:
    """True if a run rejects the work of several tasks, so that a second run must confirm it."""
    is_of_result = check.place is GatePlace.RESULT and bool(check.base)
    return is_of_result and result.blocks and (not ran.broken or ran.cause in _MAY_PASS)


def confirmed(first: Ran, second: Ran) -> Ran:
    """Combine two runs: the findings of both runs, and the tests that passed in either run.

    If the second run has no result, the first run's findings stay.
    """
    if second.broken:
        return first
    one, other = first.reading, second.reading
    reading = replace(
        other,
        flaws=tuple(common(one.flaws, other.flaws)),
        passed=_in_one(one.passed, other.passed),
        skipped=_in_one(one.skipped, other.skipped) or (),
    )
    return replace(
        second,
        reading=reading,
        rewritten=tuple(of_files_in_both(first.rewritten, second.rewritten)),
        seconds=first.seconds + second.seconds,
    )


def flaky(first: Ran, second: Ran) -> tuple[str, ...]:
    """Return the names that failed in one run and passed in the other; "" means the whole gate."""
    if second.broken:
        return ()
    if first.broken:
        return ("",) if second.passed else ()
    counts = Counter(each.key for each in first.reading.flaws)
    counts.subtract(Counter(each.key for each in second.reading.flaws))
    names = sorted(key for key, count in counts.items() if count)
    return tuple("" if each == EXIT_KEY else each for each in names)[:MOST_NAMED]


def _in_one(one: Iterable[str] | None, other: Iterable[str] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return None if one is other else tuple(one or other or ())
    return tuple(dict.fromkeys((*one, *other)))
