"""The query parameters of each call. The value of each parameter arrives as text."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self, get_origin

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.human_needs import NeedKind
from orchestrator.core.ports.outbox import EntryState
from orchestrator.core.ports.read_models import WorkerOrder
from orchestrator.core.text.field_descriptions import DescribedFields
from orchestrator.schemas.fields.bounded_types import (
    LABEL_PATTERN,
    LINES_PATTERN,
    checked_text,
    path_in_repository,
)

#: Maximum seconds of a blocking call, which must end before the timeouts of agents' tools and
#: proxies.
LONGEST_WAIT_SECONDS = 110.0


class Query(DescribedFields, BaseModel):
    """Query parameters of a call. Unknown parameters are rejected."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def check_texts(cls, value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [checked_text(each) for each in value]
        return checked_text(value)

    @classmethod
    def parameters(cls) -> Mapping[str, FieldInfo]:
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @classmethod
    def is_repeatable(cls, name: str) -> bool:
        """True if a call may have the parameter ``name`` more than once."""
        return get_origin(cls.parameters()[name].annotation) is tuple


class NoQuery(Query):
    """A call without parameters."""


AgentName = Annotated[str, StringConstraints(max_length=200)]
LabelFilter = Annotated[str, StringConstraints(pattern=LABEL_PATTERN, max_length=1000)]


class PageQuery(Query):
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page number, from 1."""
    page_size: int = Field(default=50, ge=1, le=200)
    """Number of entries per page."""


class DeliveriesQuery(PageQuery):
    endpoint: Annotated[str, StringConstraints(max_length=100)] = ""
    """Filter: messages to this endpoint: webhook:NAME, notify:NAME, or callback."""
    state: EntryState | None = None
    """Filter: messages in this state."""
    job: Annotated[str, StringConstraints(max_length=200)] = ""
    """Filter: messages about this job, or about the tree of this root job."""


class JobsQuery(Query):
    status: Annotated[tuple[JobStatus, ...], Field(strict=False)] = ()
    """Filter: jobs with this status; may be repeated."""
    needs: Annotated[tuple[NeedKind, ...], Field(strict=False)] = ()
    """Filter: jobs with a need of this kind; may be repeated."""
    q: Annotated[str, StringConstraints(max_length=200)] = ""
    """Filter: jobs with this text in the request or the id."""
    label: Annotated[tuple[LabelFilter, ...], Field(strict=False, max_length=5)] = ()
    """Filter: jobs with this label, as NAME:VALUE; may be repeated up to 5 times."""
    since: AwareDatetime | None = None
    """Filter: jobs created at this time or later, such as 2026-01-31T00:00:00Z."""
    parent: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Filter: child jobs of the job with this id."""
    depth: int | None = Field(default=None, ge=0, le=1_000_000)
    """Filter: jobs at this depth; 0: root jobs."""
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page number, from 1."""
    page_size: int = Field(default=50, ge=1, le=200)
    """Number of jobs per page."""


class WorkersQuery(Query):
    status: Annotated[tuple[WorkerStatus, ...], Field(strict=False)] = ()
    """Filter: workers with this status; may be repeated."""
    agent: Annotated[tuple[AgentName, ...], Field(strict=False, max_length=20)] = ()
    """Filter: workers of this agent; may be repeated."""
    q: Annotated[str, StringConstraints(max_length=200)] = ""
    """Filter: workers with this text in the id, the task's id or title, or the reason."""
    order: WorkerOrder = WorkerOrder.INDEX
    """Order: index (task order), seconds or cost (highest first), or attention (failed first)."""
    page: int = Field(default=1, ge=1, le=1_000_000)
    """Page number, from 1."""
    page_size: int = Field(default=50, ge=1, le=500)
    """Number of workers per page."""


FilePath = Annotated[str, StringConstraints(max_length=4096)]
RepositoryPath = Annotated[FilePath, AfterValidator(path_in_repository)]


class DiffQuery(Query):
    worker: Annotated[str, StringConstraints(max_length=200)] = ""
    """Worker whose changes to show (default: the merged result)."""
    against: Annotated[str, StringConstraints(max_length=200)] = "base"
    """What the changes are compared with: base, result, or another worker."""
    path: RepositoryPath = ""
    """File to show (default: all files)."""
    context: int = Field(default=3, ge=0, le=1000)
    """Number of unchanged lines around each change."""
    stat: bool = False
    """True: list the files only, without lines."""


class VersionsQuery(Query):
    path: FilePath = Field(min_length=1)
    """Path of the file, as in the list of conflicts."""


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
    """full, or brief: short events for live tables. If a reader of brief events falls behind by
    more than 500 events, it gets the event `reset`, and must read the columns again."""
    tail: bool = False
    """True: omit the earlier events. The first event is `reset`, and new events follow. Ignored
    without fields=brief, and ignored in a call with the id of the last received event."""


#: Maximum number of workers in an answer. A job with more workers has pages.
MOST_WORKERS_PER_ANSWER = 1000


class JobQuery(Query):
    page: int | None = Field(default=None, ge=1, le=1_000_000)
    """Page of the workers, from 1 (default: all workers of a job with up to 1,000 workers,
    otherwise the first page)."""
    page_size: int = Field(default=500, ge=1, le=MOST_WORKERS_PER_ANSWER)
    """Number of workers per page."""


class StatusTasks(StrEnum):
    """Which workers' results a status contains."""

    ALL = "all"
    NONE = "none"
    #: Results of the workers that changed after a given event.
    CHANGED = "changed"


class StatusQuery(Query):
    tasks: StatusTasks = StatusTasks.ALL
    """Results of workers: all, none, or changed (after the event since_seq)."""
    since_seq: int = Field(default=0, ge=0, le=2**53)
    """With tasks=changed: the seq of an earlier status. The answer has all workers that changed
    since then, and possibly other workers.
    """


class FeedQuery(Query):
    last_event_id: int = Field(default=0, ge=0, le=2**53)
    """Id of the last received event; the header Last-Event-ID has priority. Without an id: only new
    events."""


class LogQuery(Query):
    follow: bool = False
    """Follow the log until the worker has ended."""
    tail: int | None = Field(default=None, ge=0, le=10_000_000)
    """Number of last lines (default: all)."""
    start: int | None = Field(default=None, alias="from", ge=-(2**53), le=2**53)
    """First byte, from 0; negative: counted from the end. The answer is a range (206)."""
    limit: int = Field(default=1024 * 1024, ge=1, le=8 * 1024 * 1024)
    """Maximum number of bytes in the answer; only with `from` or `lines`."""
    q: Annotated[str, StringConstraints(max_length=200)] = ""
    """Text to search for. The answer is JSON, with the numbers of the lines that contain it."""
    lines: Annotated[str, StringConstraints(pattern=LINES_PATTERN)] | None = None
    """First and last line of the range to return, such as 120-180."""

    @model_validator(mode="after")
    def _check_exclusive_parameters(self) -> Self:
        parameters = {"follow": self.follow, "tail": self.tail is not None, "q": bool(self.q)}
        parameters |= {"from": self.start is not None, "lines": self.lines is not None}
        names = [name for name, is_given in parameters.items() if is_given]
        if len(names) > 1 and set(names) != {"follow", "tail"}:
            raise ValueError(f"{' and '.join(names)} cannot be combined; pass one of them")
        if "limit" in self.model_fields_set and self.start is None and self.lines is None:
            raise ValueError("limit needs from or lines; add from=0 for the beginning of the log")
        if self.lines is not None:
            first, last = map(int, self.lines.split("-"))
            if first > last:
                raise ValueError(f"lines: {first} is after {last}; write {last}-{first}")
        return self


class UsageQuery(Query):
    by: Annotated[str, StringConstraints(max_length=200)] = "agent"
    """Grouping of the rows: agent, model, day, job, or label:NAME. A worker counts for the model
    that its agent reported, otherwise for the model of its task; empty: unknown."""
    since: AwareDatetime | None = None
    """Only workers that ended at this time or later; for a running worker, its start counts."""
    until: AwareDatetime | None = None
    """Only workers that ended before this time; for a running worker, its start counts."""
    bucket: Literal["hour", "day"] | None = None
    """Rows for each hour or day."""


class WaitQuery(Query):
    timeout: float = Field(default=30.0, ge=0)
    """Maximum seconds to wait; at most 110."""
    run: int = Field(default=1, ge=1, le=1_000_000)
    """Number of the run to wait for (default: the current run). If a later run has begun, the call
    waits for the later run. Feedback and retries begin the next run."""

    @property
    def seconds(self) -> float:
        return min(self.timeout, LONGEST_WAIT_SECONDS)
