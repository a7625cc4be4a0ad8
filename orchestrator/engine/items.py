"""What the supervisor is told of, beside the ends of attempts."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from orchestrator.core.model import WorkerKey
from orchestrator.core.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Call:
    """Something that a caller wants done; answered once it is stored."""

    action: Callable[[Scheduler, float], Any]
    answer: Future[Any]


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt waits, before its process starts or after it ended."""

    key: WorkerKey
    attempt: int
    #: Why; empty: it waits no more.
    reason: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The reports of a job are written, or could not be."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all workers of a job are told is there."""

    job_id: str


class End:
    """Ends the loop."""
