"""Decides if a request is worth the call of a model that splits it."""

import re

from orchestrator.engine.planning.rule_planner import is_list

#: A short request with this beginning is one task for every planner.
_SMALL = re.compile(
    r"(?:please\s+)?(?:fix|rename|correct|bump|format|remove|delete|revert|run|print|say|show"
    r"|explain|describe|list|what|why|how|where|which|who|is|are|does)\b",
    re.IGNORECASE,
)
_SMALL_WORDS = 12
_MORE_THAN_ONE = re.compile(r"[.!?;:]\s+\S|,|\b(?:and|then|also|with|including)\b", re.IGNORECASE)


def worth_planning(request: str) -> bool:
    """False for a request that is already a list, or that is one small task."""
    return not (is_list(request) or _is_small(request.strip()))


def _is_small(request: str) -> bool:
    few = len(request.split()) <= _SMALL_WORDS
    return few and bool(_SMALL.match(request)) and not _MORE_THAN_ONE.search(request)
