"""The statistics at the end of a run of the Gemini CLI, in its two forms."""

from dataclasses import replace

from orchestrator.agents.prices import Prices
from orchestrator.agents.readers import loose
from orchestrator.agents.readers.counts import plus, priced
from orchestrator.core.evidence import Usage


def used(stats: object, prices: Prices) -> Usage:
    """Over all models, each at its own price; with one that has none the cost is not known."""
    models = loose.entries(stats, "models")
    parts = [priced(_of_model(each), name, prices) for name, each in models]
    if not parts:
        return _streamed(stats)
    total = Usage()
    for part in parts:
        total = plus(total, part)
    if any(part.cost_usd is None for part in parts):
        total = replace(total, cost_usd=None, cost_estimated=False)
    return total


def _of_model(model: object) -> Usage:
    tokens = loose.dig(model, "tokens")
    return _streamed(model) if tokens is None else _of_document(model, tokens)


def _streamed(stats: object) -> Usage:
    """``input`` is what was read anew. What it thought is only in ``total_tokens``."""
    read = loose.count(stats, "input_tokens")
    cached = loose.count(stats, "cached")
    fresh = loose.count(stats, "input")
    total = loose.count(stats, "total_tokens") or 0
    written = loose.count(stats, "output_tokens")
    return Usage(
        input_tokens=_fresh(read, cached) if fresh is None else fresh,
        output_tokens=None if written is None else max(written, total - (read or total)),
        cache_read_tokens=cached,
    )


def _of_document(model: object, tokens: object) -> Usage:
    cached = loose.count(tokens, "cached")
    written = loose.count(tokens, "candidates")
    thought = loose.count(tokens, "thoughts") or 0
    return Usage(
        steps=loose.count(model, "api", "totalRequests"),
        input_tokens=_fresh(loose.count(tokens, "prompt"), cached),
        # Thinking is billed as output.
        output_tokens=None if written is None else written + thought,
        cache_read_tokens=cached,
    )


def of_answer(tokens: object) -> Usage:
    """Of one answer of the model, as the session's file has it."""
    cached = loose.count(tokens, "cached")
    written = loose.count(tokens, "output")
    thought = loose.count(tokens, "thoughts") or 0
    return Usage(
        input_tokens=_fresh(loose.count(tokens, "input"), cached),
        output_tokens=None if written is None else written + thought,
        cache_read_tokens=cached,
    )


def _fresh(read: int | None, cached: int | None) -> int | None:
    return None if read is None else max(0, read - (cached or 0))
