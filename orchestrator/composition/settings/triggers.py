"""Loads the triggers of the settings, and checks their paths, templates, and plan files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config import Settings
from orchestrator.config.sections.triggers import TriggerAction, TriggerSettings
from orchestrator.core.errors import ConfigError, InvalidRequest
from orchestrator.core.text.formatting import cut
from orchestrator.engine.service.triggers.event_paths import EventPath
from orchestrator.engine.service.triggers.job_template import JobTemplate
from orchestrator.engine.service.triggers.trigger import KIND, Condition, Trigger
from orchestrator.schemas.requests.plan_text import loaded_yaml

LONGEST_TITLE = 120


def triggers(folder: Path, settings: Settings) -> Sequence[Trigger]:
    """Return all triggers. Raise ConfigError with one line for each invalid trigger."""
    parsed_triggers, problems = [], []
    for name, entry in settings.triggers.items():
        try:
            parsed_triggers.append(_trigger(name, entry, folder))
        except (InvalidRequest, ValueError, OSError, yaml.YAMLError) as error:
            reason = " ".join(_error_text(error).split())
            problems.append(f"config.yaml: triggers.{name}: {reason}")
    if problems:
        raise ConfigError("\n".join(problems))
    return parsed_triggers


def _error_text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"plan: {error.filename}: {error.strerror}; correct the path"
    return str(error)


def _trigger(name: str, entry: TriggerSettings, folder: Path) -> Trigger:
    params = {key: EventPath.parse(path) for key, path in entry.params.items()}
    trigger = Trigger(
        name=name,
        verify=entry.verify,
        secret=entry.secret.get_secret_value(),
        when=tuple(_condition(key, value) for key, value in entry.when.items()),
        params=params,
        dedupe=_path_or_header(entry.dedupe),
        max_per_hour=entry.max_per_hour,
        pull_request=entry.pull_request,
        settle_seconds=entry.settle_seconds,
    )
    if entry.action is TriggerAction.FEEDBACK:
        return trigger
    template = _template(name, entry, folder)
    template.check(params)
    return replace(trigger, template=template)


def _condition(name: str, value: object) -> Condition:
    allowed = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not allowed or any(isinstance(each, list | dict) for each in allowed):
        raise ValueError(
            f"when.{name} must be one value or a list of values; "
            "lists and mappings inside the list are not allowed"
        )
    return Condition(
        name=name, path=None if name == KIND else EventPath.parse(name), allowed=allowed
    )


def _path_or_header(text: str | None) -> str | EventPath | None:
    if text is None:
        return None
    return EventPath.parse(text) if text.startswith("$") else text.lower()


def _template(name: str, entry: TriggerSettings, folder: Path) -> JobTemplate:
    if entry.plan is None:
        # One task, so that no planner splits the text of the event into tasks.
        title = cut(entry.request.strip().partition("\n")[0], LONGEST_TITLE)
        document: dict[str, Any] = {"request": entry.request}
        document["tasks"] = [{"title": title, "prompt": entry.request}]
        source = ""
    else:
        source = entry.plan.name
        plan = loaded_yaml((folder / entry.plan).read_text("utf-8"))
        if not isinstance(plan, Mapping):
            raise ValueError(f"{source}: a plan is a mapping with the keys 'request' and 'tasks'")
        document = {**plan}
    config = {**(document.get("config") or {}), **entry.config}
    labels = {**(config.get("labels") or {}), **entry.labels}
    document["config"] = {**config, **({"labels": labels} if labels else {})}
    return JobTemplate(trigger=name, document=document, source=source)
