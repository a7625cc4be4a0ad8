"""Tracked files that a gate changed. Such a gate fails: gates judge, they do not repair. Pure."""

from collections.abc import Collection
from dataclasses import replace

from orchestrator.core.gates.findings import Ran, Reading, new_flaws
from orchestrator.core.gates.same_failure import digest_of
from orchestrator.core.model.gate import GateResult, GateStatus

REWRITTEN = "the gate changed this tracked file; gates must not change files"


def with_rewrites(
    result: GateResult, ran: Ran, base: Ran | None, touched: Collection[str]
) -> GateResult:
    """Set the result to failed if the gate changed tracked files that it does not change at the
    base.
    """
    if ran.broken or not ran.rewritten:
        return result
    paths = new_rewrites(ran, base, touched)
    if not paths:
        return result
    told = tuple(f"{path}: {REWRITTEN}" for path in paths)
    digest = digest_of([result.digest, *paths])
    failures = (*result.failures, *told)
    return replace(result, status=GateStatus.FAILED, failures=failures, digest=digest)


def new_rewrites(now: Ran, base: Ran | None, touched: Collection[str]) -> list[str]:
    """Return paths that a gate changed, except paths that it also changes at the base.

    In a file that the worker changed, only rewritten places that the base does not have count.
    """
    before = base.rewritten if base is not None else ()
    own, own_before = (
        Reading(flaws=tuple(each for each in flaws if each.text in touched))
        for flaws in (now.rewritten, before)
    )
    places = new_flaws(own, own_before)
    known = {each.text for each in before}
    others = {each.text for each in now.rewritten if each.text not in touched}
    return sorted({each.text for each in places} | (others - known))
