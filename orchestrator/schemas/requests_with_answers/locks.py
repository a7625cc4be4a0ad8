"""Requests about locks, and their answers."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from orchestrator.core.locks.lock_table import MOST_NAMES, LockKind
from orchestrator.schemas.answers.answer import Answer
from orchestrator.schemas.fields.bounded_types import LockName, StrictModel

#: Maximum seconds: one day.
LONGEST_LOCK_WAIT = 86_400.0

Names = Annotated[tuple[LockName, ...], Field(strict=False, min_length=1, max_length=MOST_NAMES)]


class LockRequest(StrictModel):
    """Request to acquire locks for the calling worker (all or none)."""

    names: Names
    """Paths of the project, or other names. A path includes all paths inside it."""
    wait: Annotated[float, Field(ge=0, le=LONGEST_LOCK_WAIT)] = 0.0
    """Maximum seconds to wait. One call waits at most 110 seconds, and then answers 202. To
    continue to wait, repeat the call.
    """


class UnlockRequest(StrictModel):
    """Request to release leases of the calling worker. A call with an API key may release leases of
    any worker.
    """

    names: Names
    """Names, as in the request for the locks."""


class LeaseAnswer(Answer):
    """A lock that a running worker acquired."""

    name: str
    number: int
    """Fencing number: greater than that of every earlier lease."""
    job_id: str
    worker_id: str
    attempt: int
    taken_at: datetime


class LockedAnswer(Answer):
    """Leases, in the order of the request."""

    leases: list[LeaseAnswer]


class LockWaitAnswer(Answer):
    """The locks are not granted yet. Repeat the call within 5 seconds, so that the worker keeps its
    position in the queue.
    """

    waits: bool = True
    reason: str


class UnlockedAnswer(Answer):
    """Names of the released locks."""

    names: list[str]


class LockNameAnswer(Answer):
    """The name of one lock, and the leases on exactly this name."""

    name: str
    held: bool
    number: int | None = None
    """Fencing number of the latest active lease."""
    leases: list[LeaseAnswer]


class LockAnswer(Answer):
    """A lock that a worker holds or waits for."""

    names: list[str]
    kind: LockKind
    """claim: the task lists the lock, and the worker holds it until its end. lease: the worker
    acquired the lock while it ran."""
    waits: bool
    """True if the worker waits for the lock."""
    job_id: str
    worker_id: str
    number: int | None = None
    since: datetime


class LocksAnswer(Answer):
    """Locks that the caller may see: first the active locks, then the waiting workers, in the order
    of the queue.
    """

    locks: list[LockAnswer]
