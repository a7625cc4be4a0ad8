"""Combines two runs of a gate on the base commit: only findings of both runs are certain."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.gates.findings import Flaw, Ran, Reading
from orchestrator.core.gates.same_failure import are_alike

#: Maximum number of named findings if two runs differ.
MOST_NAMED = 3


def needs_another(first: Ran) -> bool:
    """True if a run may excuse a failure, so that a second run must confirm it."""
    return not first.broken and bool(first.reading.flaws or first.rewritten)


def both(first: Ran, second: Ran) -> Ran:
    """Combine two runs: the findings of both, and the tests that passed in both.

    If the second run was killed or timed out, return it: it excuses nothing.
    """
    if second.broken:
        return second
    one, other = first.reading, second.reading
    reading = Reading(
        flaws=tuple(common(one.flaws, other.flaws)),
        passed=_passed(one.passed, other.passed),
        skipped=_in_both(one.skipped, other.skipped),
        note=_difference(one.flaws, other.flaws),
    )
    return replace(
        second,
        reading=reading,
        rewritten=tuple(of_files_in_both(first.rewritten, second.rewritten)),
        seconds=first.seconds + second.seconds,
    )


def of_files_in_both(one: Iterable[Flaw], other: Iterable[Flaw]) -> Iterable[Flaw]:
    """Yield findings in files that have findings in both runs.

    The findings' content does not count, because a gate's log or report differs each time.
    """
    paths = {each.text for each in one}
    return (each for each in other if each.text in paths)


def common(one: Iterable[Flaw], other: Iterable[Flaw]) -> Iterable[Flaw]:
    """Yield the findings of both runs. A failed test is in both runs even if its message
    differs.
    """
    left: dict[str, list[Flaw]] = {}
    for each in other:
        left.setdefault(each.key, []).append(each)
    for flaw in one:
        if left.get(flaw.key):
            is_same = are_alike(flaw.failure, left[flaw.key].pop(0).failure)
            yield flaw if is_same else replace(flaw, failure="")


def _passed(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if one is None or other is None else _in_both(one, other)


def _in_both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    again = set(other)
    return tuple(name for name in one if name in again)


def _difference(one: Iterable[Flaw], other: Iterable[Flaw]) -> str:
    counts = Counter(each.key for each in one)
    counts.subtract(Counter(each.key for each in other))
    found = sorted(key for key, count in counts.items() if count)
    if not found:
        return ""
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    named = ", ".join(found[:MOST_NAMED])
    return f"two runs on the base commit differ: {named}{more}"
