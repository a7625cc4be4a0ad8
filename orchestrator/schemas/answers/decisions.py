"""The answers to people who control a job: pauses."""

from orchestrator.schemas.answers.common import Answer, PausedAnswer


class ServerPauseAnswer(Answer):
    """The pause of everything."""

    paused: PausedAnswer | None = None
    """Omitted if jobs run."""
