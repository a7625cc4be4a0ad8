"""Settings of triggers: an external event starts a job, or sends feedback to a worker."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SecretStr, StringConstraints

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import Count, PathText, SecondsOrZero, Text, Word
from orchestrator.security.secrets.trigger_verification import Verification

ParamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class TriggerAction(StrEnum):
    """The action of a trigger for an event: a new job, or feedback to a worker."""

    #: a new job
    JOB = "job"
    #: feedback to the worker of the event's pull request
    FEEDBACK = "feedback"


class TriggerSettings(Section):
    """One trigger: another service sends events to POST /api/v1/triggers/NAME."""

    verify: Annotated[Verification, Field(strict=False)]
    """Verification of the sender: github, gitlab, standard (Standard Webhooks), or bearer."""
    secret: SecretStr
    """Secret shared with the sender, 16 characters or more; env:NAME reads a variable."""
    action: Annotated[TriggerAction, Field(strict=False)] = TriggerAction.JOB
    """Action: job (start a job), or feedback (send comments on a pull request to its worker)."""
    when: Mapping[Word, Any] = Field(default_factory=dict)
    """Conditions: {event: issues, $.action: labeled}; a list of values means any of the values."""
    request: Text = ""
    """Request of the job, with {{name}} for values of params; the job has one task."""
    plan: PathText | None = None
    """Plan file, instead of request; its texts may contain {{name}}."""
    params: Mapping[ParamName, Word] = Field(default_factory=dict)
    """Names for values of the event: {title: $.issue.title}."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the job, as in a request: {agent: claude, max_cost_usd: 5}."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels of the job, with {{name}} for values of params."""
    dedupe: Word | None = None
    """Path or header with an event's unique id; null: the service's delivery id."""
    max_per_hour: Count = 20
    """Maximum number of events per hour that start work; further events get status 429."""
    pull_request: bool = False
    """Run land --pr for each completed job, with the server's credentials."""
    settle_seconds: SecondsOrZero = 10.0
    """With action feedback: seconds without a new event, after which the comments are sent."""
