"""Requests of people who control a job: pauses, answers."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.schemas.fields.text import Text
from orchestrator.schemas.fields.wire import Wire


class PauseRequest(Wire):
    """Request for a pause."""

    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish (they continue to their end) or stop (they are stopped, and run
    again after the pause without using a retry)."""


class AnswerRequest(Wire):
    """A decision of a person."""

    comment: Annotated[Text, Field(max_length=10_000)] = ""
    """Text for the tasks that depend on the question, and for the report."""
