"""Requests about locks, and their answers."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from orchestrator.core.locks.lock_names import MOST_NAMES
from orchestrator.core.locks.lock_table import LockKind
from orchestrator.schemas.answers.common import Answer
from orchestrator.schemas.fields.text import LockName
from orchestrator.schemas.fields.wire import Wire

#: A day.
LONGEST_LOCK_WAIT = 86_400.0

Names = Annotated[tuple[LockName, ...], Field(strict=False, min_length=1, max_length=MOST_NAMES)]


class LockRequest(Wire):
    """Locks for the calling worker: all of them, or none."""

    names: Names
    """Paths of the project, or other names; a path stands for all below it."""
    wait: Annotated[float, Field(ge=0, le=LONGEST_LOCK_WAIT)] = 0.0
    """Seconds to wait for them; after 110 the answer is 202, and the call is to be made again."""


class UnlockRequest(Wire):
    """Leases to end: the calling worker's own, or, for a person, those of others."""

    names: Names
    """Names as they were asked for."""


class LeaseAnswer(Answer):
    """A lock that a worker holds while its attempt runs."""

    name: str
    number: int
    """The fencing number: greater than that of every lease given before."""
    job_id: str
    worker_id: str
    attempt: int
    taken_at: datetime


class LockedAnswer(Answer):
    """Leases, in the order asked for."""

    leases: list[LeaseAnswer]


class LockWaitAnswer(Answer):
    """Not yet: make the same call again within 5 seconds, and the place in the queue is kept."""

    waits: bool = True
    reason: str


class UnlockedAnswer(Answer):
    """What is free now."""

    names: list[str]


class LockNameAnswer(Answer):
    """One name, and the leases on exactly it."""

    name: str
    held: bool
    number: int | None = None
    """Of the latest lease that stands."""
    leases: list[LeaseAnswer]


class LockAnswer(Answer):
    """What a worker holds or waits for."""

    names: list[str]
    kind: LockKind
    """claim: by its task, until the worker is done; lease: taken while it runs."""
    waits: bool
    """It does not have them yet."""
    job_id: str
    worker_id: str
    number: int | None = None
    since: datetime


class LocksAnswer(Answer):
    """What the caller sees of locks; those who wait come last, the first one first."""

    locks: list[LockAnswer]
