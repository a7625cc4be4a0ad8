"""Requests of people who control a job: pauses."""

from typing import Literal

from orchestrator.schemas.fields.wire import Wire


class PauseRequest(Wire):
    """Request for a pause."""

    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish (they continue to their end) or stop (they are stopped, and run
    again after the pause without using a retry)."""
