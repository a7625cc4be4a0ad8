"""The answers to people who control a job: pauses, plans."""

from typing import Any

from orchestrator.schemas.answers.common import Answer, PausedAnswer
from orchestrator.schemas.answers.job import EstimateAnswer


class ServerPauseAnswer(Answer):
    """The pause of everything."""

    paused: PausedAnswer | None = None
    """Omitted if jobs run."""


class PlanAnswer(Answer):
    """The plan of a job."""

    job_id: str
    version: int
    """Grows with each edit; PUT plan needs it."""
    awaits_approval: bool
    """True if the plan can be edited, approved, and rejected."""
    tasks: list[dict[str, Any]]
    """Tasks as in a plan file, without empty fields; env is omitted, and PUT plan keeps it."""
    estimate: EstimateAnswer | None = None
    """Estimated usage; present while the job waits for approval."""
