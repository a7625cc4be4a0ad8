"""Requests about one worker: its rollback, and the usage that it reports."""

from pydantic import Field

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.schemas.fields.bounded_types import (
    CHECKPOINT_PATTERN,
    CountOrZero,
    MoneyOrZero,
    StrictModel,
)


class UsageRequest(StrictModel):
    """Cumulative usage of the worker's current attempt; null: unknown."""

    steps: CountOrZero | None = None
    input_tokens: CountOrZero | None = None
    """Input tokens, without tokens that are read from or written to the provider's cache."""
    output_tokens: CountOrZero | None = None
    cache_read_tokens: CountOrZero | None = None
    cache_write_tokens: CountOrZero | None = None
    cost_usd: MoneyOrZero | None = None
    cost_estimated: bool = False
    """True if the cost was computed from a price table."""
    partial: bool = False
    """True if part of the usage is unknown."""

    def to_usage(self) -> Usage:
        return Usage(**self.model_dump())


class RollbackRequest(StrictModel):
    """Request for a rollback."""

    checkpoint: str | None = Field(default=None, pattern=CHECKPOINT_PATTERN)
    """Checkpoint, such as 1-before or start (default: before the latest attempt)."""
