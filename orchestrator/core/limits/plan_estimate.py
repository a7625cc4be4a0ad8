"""The estimated usage of a plan, from earlier workers of its agents. Pure."""

from collections.abc import Callable, Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import is_known, tokens

#: Estimated tokens of one worker if no usage of its agent is known: about twenty calls of a model.
#: Most input of these calls is read from the provider's cache, and does not count.
RULE_OF_THUMB_TOKENS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Estimated usage of a plan. None means unknown."""

    workers: int
    #: Number of workers that compare candidates, in addition to ``workers``.
    reviewers: int = 0
    tokens: int
    cost_usd: float | None
    #: Tokens and cost of the reviewers, which are included in ``tokens`` and ``cost_usd``.
    review_tokens: int = 0
    review_cost_usd: float | None = 0.0
    #: Number of earlier workers from which the estimate was computed; 0 if an agent of the plan has
    #: no earlier worker with known usage.
    from_workers: int


def estimate(
    agents: Sequence[str],
    uses_model: Callable[[str], bool],
    earlier: Callable[[str], Sequence[Usage]],
    reviewers: Sequence[str] = (),
) -> Estimate:
    """Return the estimated usage of one attempt of each worker and each reviewer.

    Child jobs and retries are not included. ``agents``: agents of the workers. ``reviewers``:
    agents of the reviewers. ``uses_model``: True for an agent that uses a model. ``earlier``:
    returns the usage of an agent's earlier workers.
    """
    agents_with_model = [name for name in (*agents, *reviewers) if uses_model(name)]
    known_usages = {
        name: [each for each in earlier(name) if is_known(each)] for name in set(agents_with_model)
    }
    reviewers_with_model = [name for name in reviewers if uses_model(name)]
    complete = all(known_usages.values())
    return Estimate(
        workers=len(agents),
        reviewers=len(reviewers),
        tokens=sum(_mean_tokens(known_usages[name]) for name in agents_with_model),
        cost_usd=_total_of([_mean_cost(known_usages[name]) for name in agents_with_model]),
        review_tokens=sum(_mean_tokens(known_usages[name]) for name in reviewers_with_model),
        review_cost_usd=_total_of(
            [_mean_cost(known_usages[name]) for name in reviewers_with_model]
        ),
        from_workers=sum(map(len, known_usages.values())) if complete else 0,
    )


def _total_of(costs: Sequence[float | None]) -> float | None:
    return sum(each for each in costs if each) if None not in costs else None


def _mean_tokens(usages: Sequence[Usage]) -> int:
    if not usages:
        return RULE_OF_THUMB_TOKENS
    return round(sum(map(tokens, usages)) / len(usages))


def _mean_cost(usages: Sequence[Usage]) -> float | None:
    costs = [each.cost_usd for each in usages if each.cost_usd is not None]
    return sum(costs) / len(costs) if costs else None
