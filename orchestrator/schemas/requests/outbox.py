"""Requests about webhooks and notifications."""

from typing import Annotated

from pydantic import Field

from orchestrator.schemas.fields.text import Text, Wire


class NotifyTestRequest(Wire):
    """A request for test notifications."""

    name: Annotated[Text, Field(max_length=100)] = ""
    """Name of a target (default: all targets)."""
