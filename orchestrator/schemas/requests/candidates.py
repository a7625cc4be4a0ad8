"""The agents of a task: one name, or candidates that run the task in parallel."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag

from orchestrator.core.model.job import CandidateSettings
from orchestrator.schemas.fields.text import MOST_ITEMS, Seconds, Text, checked_text, not_blank
from orchestrator.schemas.fields.wire import Wire

AgentName = Annotated[
    str,
    BeforeValidator(not_blank),
    BeforeValidator(checked_text),
    StringConstraints(min_length=1, max_length=100),
]


class CandidateRequest(Wire):
    """One candidate, with settings in place of the task's own."""

    name: AgentName
    """Name of the agent, or auto."""
    model: Text | None = None
    """Model of the agent (default: the task's model)."""
    timeout: Seconds | None = None
    """Timeout of one attempt, in seconds (default: the task's timeout)."""
    context: Text = ""
    """Additional text for this agent, after the task's context."""

    @property
    def settings(self) -> CandidateSettings:
        return CandidateSettings(model=self.model, timeout=self.timeout, context=self.context)


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "[name]"
    return "[object]" if isinstance(value, dict | CandidateRequest) else None


#: Brackets mark a part of an error's location that is not in the request.
Candidate = Annotated[
    Annotated[AgentName, Tag("[name]")] | Annotated[CandidateRequest, Tag("[object]")],
    Discriminator(
        _kind,
        custom_error_type="agent",
        custom_error_message="must be an agent's name, or an object with a name",
    ),
]
Candidates = Annotated[tuple[Candidate, ...], Field(strict=False, max_length=MOST_ITEMS)]


def _listed(value: Any) -> Any:
    """Return a list for a single agent."""
    if isinstance(value, str | Mapping | CandidateRequest):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError("must be an agent's name, or a list of names or objects")
    if not value:
        raise ValueError("must have at least 1 entry")
    return value


Agents = Annotated[
    Candidates,
    BeforeValidator(_listed, json_schema_input_type=str | list[str | CandidateRequest]),
]


def names_of(agents: Sequence[str | CandidateRequest]) -> tuple[str, ...]:
    return tuple(each if isinstance(each, str) else each.name for each in agents)


def settings_of(agents: Sequence[str | CandidateRequest]) -> tuple[CandidateSettings, ...]:
    """Return the settings of each agent; empty if none has any."""
    found = tuple(CandidateSettings() if isinstance(x, str) else x.settings for x in agents)
    return found if any(each != CandidateSettings() for each in found) else ()
