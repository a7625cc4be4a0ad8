"""Prices of models: a dated table in ``prices.json``. The user's own prices have priority."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from orchestrator.core.model.attempt.attempt_result import Usage

#: USD per million tokens by kind of token: input, output, cache_read, cache_write.
Price = Mapping[str, float]
Prices = Mapping[str, Price]

TABLE = Path(__file__).with_name("prices.json")
PER_MILLION = 1_000_000
#: Names of tools whose models run on the user's own machine, whatever the models are called.
LOCAL_TOOLS = frozenset({"ollama"})
_KINDS = ("input", "output", "cache_read", "cache_write")
#: Suffixes of a model's name that do not change its price: the date of a snapshot, ``-latest``, a
#: larger context window, or a reasoning effort.
_VARIANT = re.compile(r"(?:[-@](?:\d{8}|\d{4}-\d\d-\d\d)|-latest|\[1m\]|:\w+)$")


def cost(
    model: str, usage: Usage, overrides: Prices | None = None, *, local: bool = False
) -> float | None:
    """Return the cost in USD; None if the cost is unknown.

    The cost is unknown if the model has no price, if a needed price is missing, or if ``usage`` has
    no token count.

    ``overrides``: the user's prices, which have priority. A ``local`` model has only these prices,
    because the table may have another model of the same name.
    """
    tokens = {kind: getattr(usage, f"{kind}_tokens") for kind in _KINDS}
    price = _price(model, overrides or {}, {} if local else _listed_prices())
    if price is None or all(each is None for each in tokens.values()):
        return None
    used_tokens = {kind: each for kind, each in tokens.items() if each}
    if any(kind not in price for kind in used_tokens):
        return None
    return float(sum(each * price[kind] for kind, each in used_tokens.items())) / PER_MILLION


def _price(model: str, overrides: Prices, table: Prices) -> Price | None:
    bare = model.rpartition("/")[2]
    names = list(dict.fromkeys((model, bare, _VARIANT.sub("", bare))))
    table_price = next((table[name] for name in names if name in table), None)
    override = next((overrides[name] for name in names if name in overrides), None)
    return table_price if override is None else {**(table_price or {}), **override}


@cache
def _listed_prices() -> Prices:
    models: Mapping[str, Mapping[str, object]] = _table()["models"]
    return {
        name: {kind: float(str(entry[kind])) for kind in _KINDS if kind in entry}
        for name, entry in models.items()
    }


@cache
def _table() -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    table: Mapping[str, Mapping[str, Mapping[str, object]]] = json.loads(TABLE.read_text("utf-8"))
    return table
