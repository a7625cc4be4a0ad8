"""What all workers have cost, read out of their results without taking those apart.

A result is JSON that may hold a long output; only its usage is fetched. A quotation mark within a
text of JSON has a backslash before it, so that what is looked for is nowhere else.
"""

import json
from collections.abc import Iterable

from sqlalchemy import Connection, Text, func, select, type_coerce

from orchestrator.core.evidence import Usage
from orchestrator.core.ports import Cost
from orchestrator.store import tables

_MARK = '"usage":{'
#: More than a usage has; what comes after it is left.
_CHARACTERS = 600


def cost(connection: Connection) -> Cost:
    """Over everything in the store."""
    result = type_coerce(tables.workers.c.result, Text)
    place = func.instr if connection.dialect.name == "sqlite" else func.strpos
    at = place(result, _MARK)
    statement = select(func.substr(result, at + len(_MARK) - 1, _CHARACTERS)).where(at > 0)
    return summed(_usage(text) for text in connection.execute(statement).scalars())


def _usage(text: str) -> Usage:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
        return Usage(**found)
    except (ValueError, TypeError):  # of another release
        return Usage(partial=True)


def summed(usages: Iterable[Usage]) -> Cost:
    usd, known, estimated, partial = 0.0, False, False, False
    for usage in usages:
        if usage.cost_usd is not None:
            usd, known = usd + usage.cost_usd, True
            estimated |= usage.cost_estimated
        partial |= usage.partial or (usage.cost_usd is None and usage != Usage())
    return Cost(usd=round(usd, 6) if known else None, estimated=estimated, partial=partial)
