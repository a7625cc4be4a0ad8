"""What an agent has used, in words."""

from orchestrator.core.evidence import Usage


def in_words(usage: Usage) -> str:
    """One line for people; what is not known is left out."""
    amounts = [
        ("steps", usage.steps),
        ("tokens in", usage.input_tokens),
        ("tokens out", usage.output_tokens),
        ("read from cache", usage.cache_read_tokens),
        ("written to cache", usage.cache_write_tokens),
    ]
    words = [f"{value} {name}" for name, value in amounts if value is not None]
    if usage.cost_usd is not None:
        words.append(f"${usage.cost_usd:.4f}{' (estimated)' if usage.cost_estimated else ''}")
    if usage.partial and words:
        words.append("and what it did not tell of")
    return ", ".join(words) or "not known"
