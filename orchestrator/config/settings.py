"""The settings: all sections of ``config.yaml``. Each section is in a module of ``sections``."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from pydantic import Field, ValidationError

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import AgentName
from orchestrator.config.sections.agents import UserAgent
from orchestrator.config.sections.api import Api
from orchestrator.config.sections.cluster import ClusterSection
from orchestrator.config.sections.gates import GateSettings
from orchestrator.config.sections.git import GitSection
from orchestrator.config.sections.limits import Limits, Recursion
from orchestrator.config.sections.logging import Logging
from orchestrator.config.sections.orchestrator import Orchestrator
from orchestrator.config.sections.reports import ReportSettings
from orchestrator.config.sections.store import StoreSettings
from orchestrator.config.sections.triggers import TriggerSettings
from orchestrator.config.sections.webhooks_and_notifications import Notify, WebhookSettings
from orchestrator.config.sections.workers import Workers

#: Sections whose entries have names that the user chooses.
NAMED = ("agents", "triggers")


class Settings(Section):
    """Settings of the orchestrator."""

    orchestrator: Orchestrator = Orchestrator.by_default()
    workers: Workers = Workers.by_default()
    gates: GateSettings = GateSettings.by_default()
    recursion: Recursion = Recursion.by_default()
    limits: Limits = Limits.by_default()
    api: Api = Api.by_default()
    store: StoreSettings = StoreSettings.by_default()
    logging: Logging = Logging.by_default()
    git: GitSection = GitSection.by_default()
    reports: ReportSettings = ReportSettings.by_default()
    webhooks: WebhookSettings = WebhookSettings.by_default()
    notify: Notify = Notify.by_default()
    cluster: ClusterSection = ClusterSection.by_default()
    agents: Mapping[AgentName, UserAgent] = Field(default_factory=dict)
    """Agents that you add, by name."""
    triggers: Mapping[AgentName, TriggerSettings] = Field(default_factory=dict)
    """Triggers by name: events from outside start jobs or give feedback (see docs/triggers.md)."""

    @classmethod
    def from_sections(cls, sections: Mapping[str, Any]) -> Self:
        """Return the settings with ``sections``, and with defaults for all other sections.

        Raise ValidationError if one of ``sections`` is invalid. The defaults are not checked,
        because building the validators of all sections would take 2 % of a server's start time.
        """
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        if sections.keys() <= kinds.keys() - set(NAMED):
            with suppress(ValidationError):
                checked = {name: kinds[name].model_validate(sections[name]) for name in sections}  # type: ignore[union-attr]
                return cls.model_construct(**checked)
        # Check again, because the errors of this check name the section.
        return cls.model_validate(sections)
