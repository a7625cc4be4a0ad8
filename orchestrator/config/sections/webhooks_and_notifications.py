"""Settings of webhooks and notifications, which send messages to external receivers."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import Seconds, SecondsOrZero, Words
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports.outbox import Topic

EndpointName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$"),
    Field(title="a name of lower-case letters, digits, and -, that starts with a letter"),
]
Topics = Annotated[
    tuple[Annotated[Topic, Field(strict=False)], ...], Field(strict=False, min_length=1)
]
#: Statuses that an ended job may have.
Ended = Annotated[tuple[Annotated[JobStatus, Field(strict=False)], ...], Field(strict=False)]
QuietHours = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"),
    Field(title="quiet hours such as 22:00-07:00, in quotes"),
]
TargetKindName = Annotated[
    str,
    StringConstraints(pattern=r"^(auto|slack|mattermost|ntfy|json|smtp|desktop|apprise)$"),
    Field(title="auto, slack, mattermost, ntfy, json, smtp, desktop, or apprise"),
]


class WebhookEndpoint(Section):
    """A receiver of webhooks. url, secret, old_secret, and headers may be env:NAME."""

    name: EndpointName
    """Name of the receiver, for commands and lists."""
    url: SecretStr
    """Address, https:// or http://."""
    secret: SecretStr | None = None
    """Secret that signs messages (Standard Webhooks), base64 of 24 to 64 bytes; null: unsigned."""
    old_secret: SecretStr | None = None
    """Former secret, during a change of secrets; messages then have a signature of each secret."""
    events: Topics = (Topic.JOB_ENDED,)
    """Events: job_started, job_ended, needs_you, job_landed."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels; only jobs with all of these labels are reported."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Additional HTTP headers of each message."""


class WebhookSettings(Section):
    """Messages to other programs when jobs end or need you (see docs/webhooks.md)."""

    endpoints: Annotated[tuple[WebhookEndpoint, ...], Field(strict=False)] = ()
    """Receivers: [{name: ci, url: https://ci.example/hook, secret: env:HOOK_SECRET}]."""
    callback_secret: SecretStr | None = None
    """Secret that signs the messages to a job's callback_url; null: messages are not signed."""
    allow_hosts: Words = ()
    """Private hosts that may get messages, such as [localhost:5678]; others must be public."""
    timeout: Annotated[Seconds, Field(le=120)] = 10.0
    """Timeout to send a message or notification and to get the answer, in seconds."""


class NotifyTarget(Section):
    """A target of notifications. url may be env:NAME."""

    name: EndpointName
    """Name of the target, for commands and lists."""
    url: SecretStr
    """Address: https://, smtp://, desktop:, or any address that the package apprise supports."""
    kind: TargetKindName = "auto"
    """Kind: auto (from the address), slack, mattermost, ntfy, json, smtp, desktop, or apprise."""
    events: Topics = (Topic.NEEDS_YOU, Topic.JOB_ENDED)
    """Events: needs_you, job_ended, job_started, job_landed."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Labels; only jobs with all of these labels are reported."""
    on: Ended = (JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED)
    """Statuses; an ended job is reported only if it has one of these statuses."""
    min_seconds: SecondsOrZero = 60
    """Minimum duration of a reported job, in seconds."""
    quiet: QuietHours | None = None
    """Hours without notifications, such as "22:00-07:00" (local time); null: none."""


class Notify(Section):
    """Notifications to people: a job needs you, or has ended (see docs/notifications.md)."""

    targets: Annotated[tuple[NotifyTarget, ...], Field(strict=False)] = ()
    """Targets: [{name: me, url: env:NTFY_URL, min_seconds: 60}]."""
