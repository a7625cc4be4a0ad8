"""The query parameters of each call; values come as text."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchestrator.core.model.states import JobStatus

#: A blocking call must return before the time-outs of agents' tools and of proxies.
LONGEST_WAIT_SECONDS = 110.0


class Query(BaseModel):
    """Parameters of a call: unknown ones are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class NoQuery(Query):
    """A call without parameters."""


class JobsQuery(Query):
    status: JobStatus | None = None
    """Only jobs in this state."""
    parent: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Only child jobs of the job with this id."""
    depth: int | None = Field(default=None, ge=0, le=1_000_000)
    """Only jobs at this depth; 0: root jobs."""
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page, counted from 1."""
    page_size: int = Field(default=50, ge=1, le=200)
    """Jobs on a page."""


class EventsQuery(Query):
    last_event_id: int = Field(default=0, ge=0, le=2**53)
    """Only events after this one; the header Last-Event-ID goes before it."""


class LogQuery(Query):
    follow: bool = False
    """Go on until the worker's end."""
    tail: int | None = Field(default=None, ge=0, le=10_000_000)
    """Only the last lines; all if absent."""


class WaitQuery(Query):
    timeout: float = Field(default=30.0, ge=0)
    """Seconds to wait; more than 110 is taken as 110."""

    @property
    def seconds(self) -> float:
        return min(self.timeout, LONGEST_WAIT_SECONDS)
