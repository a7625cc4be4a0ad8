"""The query parameters of each call; values come as text."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchestrator.core.model.states import JobStatus

#: Maximum seconds of a blocking call, which must end before the timeouts of agents' tools and
#: proxies.
LONGEST_WAIT_SECONDS = 110.0


class Query(BaseModel):
    """Parameters of a call; unknown parameters are rejected."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class NoQuery(Query):
    """A call without parameters."""


class JobsQuery(Query):
    status: JobStatus | None = None
    """Filter: jobs with this status."""
    parent: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Filter: child jobs of the job with this id."""
    depth: int | None = Field(default=None, ge=0, le=1_000_000)
    """Filter: jobs at this depth; 0: root jobs."""
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page number, from 1."""
    page_size: int = Field(default=50, ge=1, le=200)
    """Number of jobs per page."""


class EventFields(StrEnum):
    """Form of the events of a stream."""

    #: Everything about each event.
    FULL = "full"
    #: The new state of a worker or a job: seq, k (kind), j (job), w (worker), st (state), at.
    BRIEF = "brief"


class EventsQuery(Query):
    last_event_id: int = Field(default=0, ge=0, le=2**53)
    """Id of the last received event; the header Last-Event-ID has priority."""
    fields: EventFields = EventFields.FULL
    """full, or brief: short events for live tables. A reader of brief events that is more than 500
    events behind gets the event `reset`, and reads the columns again."""
    tail: bool = False
    """With fields=brief and without the id of an event: only new events, after a first `reset`."""


class LogQuery(Query):
    follow: bool = False
    """Follow the log until the worker has ended."""
    tail: int | None = Field(default=None, ge=0, le=10_000_000)
    """Number of last lines (default: all)."""


class WaitQuery(Query):
    timeout: float = Field(default=30.0, ge=0)
    """Maximum seconds to wait; at most 110."""
    run: int = Field(default=1, ge=1, le=1_000_000)
    """Run of the job whose end is awaited (default: the present one); feedback and retries begin
    the next run."""

    @property
    def seconds(self) -> float:
        return min(self.timeout, LONGEST_WAIT_SECONDS)
