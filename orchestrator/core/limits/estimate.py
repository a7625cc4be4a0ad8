"""Estimate of a plan's usage, made before the plan runs. Not a limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.limits.budget import is_known, tokens
from orchestrator.core.model.attempt.attempt_result import Usage

#: Estimated tokens of one worker of an agent without known usage: about twenty calls of a model.
#: Most of their input comes from the provider's cache and does not count.
RULE_OF_THUMB_TOKENS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Estimated usage; None means unknown."""

    workers: int
    #: Number of workers that compare candidates, in addition to ``workers``.
    reviewers: int = 0
    tokens: int
    cost_usd: float | None
    #: The reviewers' part of the tokens and the cost.
    review_tokens: int = 0
    review_cost_usd: float | None = 0.0
    #: Number of earlier workers behind the estimate; 0: some agent had no earlier worker.
    from_workers: int


def estimate(
    agents: Sequence[str],
    uses_model: Callable[[str], bool],
    earlier: Callable[[str], Sequence[Usage]],
    reviewers: Sequence[str] = (),
) -> Estimate:
    """Return the estimate for one attempt of each worker and reviewer, without child jobs and
    retries.

    ``earlier``: usage of earlier workers, by agent.
    """
    asked = [name for name in (*agents, *reviewers) if uses_model(name)]
    known = {name: [each for each in earlier(name) if is_known(each)] for name in set(asked)}
    reviewing = [name for name in reviewers if uses_model(name)]
    complete = all(known.values())
    return Estimate(
        workers=len(agents),
        reviewers=len(reviewers),
        tokens=sum(_mean_tokens(known[name]) for name in asked),
        cost_usd=_sum([_mean_cost(known[name]) for name in asked]),
        review_tokens=sum(_mean_tokens(known[name]) for name in reviewing),
        review_cost_usd=_sum([_mean_cost(known[name]) for name in reviewing]),
        from_workers=_count(known) if complete else 0,
    )


def _sum(costs: Sequence[float | None]) -> float | None:
    return sum(each for each in costs if each) if None not in costs else None


def _mean_tokens(usages: Sequence[Usage]) -> int:
    if not usages:
        return RULE_OF_THUMB_TOKENS
    return round(sum(map(tokens, usages)) / len(usages))


def _mean_cost(usages: Sequence[Usage]) -> float | None:
    costs = [each.cost_usd for each in usages if each.cost_usd is not None]
    return sum(costs) / len(costs) if costs else None


def _count(known: Mapping[str, Sequence[Usage]]) -> int:
    return sum(map(len, known.values()))
