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
from orchestrator.schemas.requests.plan_text import loaded_yaml
from orchestrator.schemas.triggers.event_paths import EventPath
from orchestrator.schemas.triggers.job_template import JobTemplate
from orchestrator.schemas.triggers.trigger import KIND, Condition, Trigger

LONGEST_TITLE = 120


def triggers(folder: Path, settings: Settings) -> Sequence[Trigger]:
    """Return all triggers. Raise ConfigError with one line for each invalid trigger."""
    found, problems = [], []
    for name, each in settings.triggers.items():
        try:
            found.append(_trigger(name, each, folder))
        except (InvalidRequest, ValueError, OSError, yaml.YAMLError) as error:
            words = " ".join(_error_text(error).split())
            problems.append(f"config.yaml: triggers.{name}: {words}")
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _error_text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"plan: {error.filename}: {error.strerror}; correct the path"
    return str(error)


def _trigger(name: str, given: TriggerSettings, folder: Path) -> Trigger:
    params = {key: EventPath.parse(path) for key, path in given.params.items()}
    trigger = Trigger(
        name=name,
        verify=given.verify,
        secret=given.secret.get_secret_value(),
        when=tuple(_condition(key, value) for key, value in given.when.items()),
        params=params,
        dedupe=_path_or_header(given.dedupe),
        max_per_hour=given.max_per_hour,
        pull_request=given.pull_request,
        settle_seconds=given.settle_seconds,
    )
    if given.action is TriggerAction.FEEDBACK:
        return trigger
    template = _template(name, given, folder)
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


def _path_or_header(given: str | None) -> str | EventPath | None:
    if given is None:
        return None
    return EventPath.parse(given) if given.startswith("$") else given.lower()


def _template(name: str, given: TriggerSettings, folder: Path) -> JobTemplate:
    if given.plan is None:
        # One task, so that no planner splits the text of the event into tasks.
        title = cut(given.request.strip().partition("\n")[0], LONGEST_TITLE)
        document: dict[str, Any] = {"request": given.request}
        document["tasks"] = [{"title": title, "prompt": given.request}]
        source = ""
    else:
        source = given.plan.name
        found = loaded_yaml((folder / given.plan).read_text("utf-8"))
        if not isinstance(found, Mapping):
            raise ValueError(f"{source}: a plan is a mapping with the keys 'request' and 'tasks'")
        document = {**found}
    config = {**(document.get("config") or {}), **given.config}
    labels = {**(config.get("labels") or {}), **given.labels}
    document["config"] = {**config, **({"labels": labels} if labels else {})}
    return JobTemplate(trigger=name, document=document, source=source)
