"""Settings of triggers: external events that start a job, or are sent as feedback."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints

from orchestrator.config.fields.value_types import (
    Count,
    PathText,
    SecondsOrZero,
    Section,
    Text,
    Word,
)
from orchestrator.security.secrets.trigger_signatures import Verification

ParamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class TriggerAction(StrEnum):
    """The action of a trigger for an event: a new job, or feedback to a worker."""

    #: a new job
    JOB = "job"
    #: feedback to the worker of the event's pull request
    FEEDBACK = "feedback"


class TriggerSettings(Section):
    """One trigger, called by POST /api/v1/triggers/NAME."""

    verify: Annotated[Verification, Field(strict=False)]
    """Proof of the sender: github, gitlab, standard (Standard Webhooks), or bearer."""
    secret: SecretStr
    """Secret that the sender knows, 16 characters or more; env:NAME reads a variable."""
    action: Annotated[TriggerAction, Field(strict=False)] = TriggerAction.JOB
    """job (start a job), or feedback (on the pull request of a job, from GitHub)."""
    when: Mapping[Word, Any] = Field(default_factory=dict)
    """Conditions: {event: issues, $.action: labeled}; a list of values means any of them."""
    request: Text = ""
    """Request of the job, with {{name}} for values of params; the job has one task."""
    plan: PathText | None = None
    """Plan file instead of request, with {{name}} in its texts."""
    params: Mapping[ParamName, Word] = Field(default_factory=dict)
    """Values of the event by name: {title: $.issue.title}."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the job, as in a request: {agent: claude, max_cost_usd: 5}."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels of the job, with {{name}} for values of params."""
    dedupe: Word | None = None
    """Source of an event's id: a path or header; null: the delivery id of the service."""
    max_per_hour: Count = 20
    """Maximum number of events per hour that start work; further events are answered 429."""
    pull_request: bool = False
    """Open a pull request for each completed job, as land --pr, with the server's credentials."""
    settle_seconds: SecondsOrZero = 10.0
    """For feedback: seconds without a new event, after which comments are sent together."""
