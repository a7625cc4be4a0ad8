"""Checks the settings for names of agents that do not exist."""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.composition.settings.agents import registry
from orchestrator.composition.settings.triggers import triggers
from orchestrator.config import Settings
from orchestrator.core.errors import ConfigError, UnknownAgent
from orchestrator.core.model.job import RULES
from orchestrator.core.model.job_settings import AUTO, RESOLVE_OFF, RESOLVE_WORKER

_NO_AGENTS = ("", AUTO, RULES, RESOLVE_WORKER, RESOLVE_OFF)
_SETTINGS = ("agent", "planner", "resolve")


def check_agents(folder: Path, settings: Settings) -> None:
    """Raise ConfigError with one line for each unknown agent that the settings name.

    Check the settings of workers and of triggers. If any trigger is invalid, do not check the
    triggers: the function ``triggers`` reports the invalid trigger.
    """
    agents = registry(folder, settings)
    problems = []
    for place, name in _named_agents(folder, settings):
        try:
            if name not in _NO_AGENTS:
                agents.get(name)
        except UnknownAgent as error:
            problems.append(f"config.yaml: {place}: {error.message}")
    if problems:
        raise ConfigError("\n".join(problems))


def _named_agents(folder: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    for setting in _SETTINGS:
        yield f"workers.{setting}", getattr(settings.workers, setting)
    try:
        configured_triggers = triggers(folder, settings)
    except ConfigError:
        return
    for trigger in configured_triggers:
        if trigger.template is None:
            continue
        job = trigger.template.render(dict.fromkeys(trigger.params, "example")).to_submission()
        for setting in _SETTINGS:
            yield (
                f"triggers.{trigger.name}: config.{setting}",
                getattr(job.config.values, setting) or "",
            )
        for task in job.tasks:
            for name in task.agents:
                yield f"triggers.{trigger.name}: task {task.id}", name
