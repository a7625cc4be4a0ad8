"""Texts made from the settings: config.template.yaml, the JSON schema, and the current values."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import SecretStr

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import AUTO, Processors
from orchestrator.config.sections.agents import UserAgent
from orchestrator.config.sections.triggers import TriggerSettings
from orchestrator.config.settings import Settings
from orchestrator.config.sources import FORMER_NAMES, FROM_VARIABLE
from orchestrator.config.validation_messages import settings_schema
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.secrets.masking import shown_address
from orchestrator.security.secrets.trigger_verification import Verification

HEADER = """\
# yaml-language-server: $schema=./config.schema.json
#
# All settings with their defaults. Change settings in config.yaml, not in this file: copy the lines
# that you need, or the whole file. Relative paths start at the folder of this file. Environment
# variables override the file: ORCHESTRATOR_<SECTION>__<KEY>, such as ORCHESTRATOR_API__PORT=8123.
# A secret can also be read from a file: ORCHESTRATOR_API__API_KEY_FILE=PATH.
"""

STARTER_HEADER = f"""\
# yaml-language-server: $schema=./config.schema.json
# The settings that most people change. To set one, remove "# " before it.
# All settings with their defaults: config.template.yaml ({COMMAND} config template).
"""
#: Settings in the short ``config.yaml`` by section, in addition to the API key.
STARTER = {
    "api": ("port",),
    "workers": ("agent", "max_workers", "default_timeout", "max_retries", "max_cost_usd"),
    "recursion": ("max_depth",),
}
#: Column of the descriptions in the short ``config.yaml``.
STARTER_COLUMN = 26

EXAMPLE_AGENT = UserAgent(
    command=("my-tool", "--quiet"), env=("MY_TOOL_KEY",), description="Description"
)
EXAMPLE_TRIGGER = TriggerSettings(
    verify=Verification.GITHUB,
    secret=SecretStr("env:GITHUB_WEBHOOK_SECRET"),
    when={"event": "issues", "$.action": "labeled", "$.label.name": "agent"},
    request="Fix the issue {{title}}.",
    params={"title": "$.issue.title"},
)
#: Sections whose entries have names that the user chooses: (example name, type, example).
NAMED: Mapping[str, tuple[str, type[Section], Section]] = {
    "agents": ("my-agent", UserAgent, EXAMPLE_AGENT),
    "triggers": ("issues", TriggerSettings, EXAMPLE_TRIGGER),
}
DATABASE = re.compile(r"(sqlite|postgres(ql)?)(\+\w+)?://")
PASSWORDS = re.compile(r"(?<=:)[^:/@]+(?=@)|(?<=password=)[^&]+")


def render_template() -> str:
    return HEADER + "".join(_template_lines(Settings()))


def render_starter() -> str:
    return STARTER_HEADER + "".join(_starter_lines(Settings()))


def _starter_lines(settings: Settings) -> Iterator[str]:
    for name, keys in STARTER.items():
        section = getattr(settings, name)
        yield f"{name}:\n"
        if name == "api":
            yield '  api_key: ""\n'
        for key in keys:
            setting = f"  # {key}: {_as_yaml(getattr(section, key))}"
            yield f"{setting:{STARTER_COLUMN}}  # {type(section).description_of(key)}\n"


def render_schema() -> str:
    """Return the text of ``config.schema.json``.

    The schema allows empty sections, because a new config.yaml has empty sections.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = settings_schema()
    sections = {name: _or_null(section) for name, section in schema["properties"].items()}
    kinds = {name: _with_former_names(kind) for name, kind in schema["$defs"].items()}
    whole = {**head, **schema, "$defs": kinds, "properties": sections}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _with_former_names(kind: Mapping[str, object]) -> Mapping[str, object]:
    properties = kind.get("properties")
    if not isinstance(properties, dict):
        return kind
    former = {
        old: {**properties[new], "deprecated": True, "description": f"Former name of {new}."}
        for (section, old), new in FORMER_NAMES.items()
        if kind.get("title") == section.title()
    }
    return {**kind, "properties": {**properties, **former}}


def _or_null(section: Mapping[str, object]) -> Mapping[str, object]:
    if "$ref" not in section:
        return section
    other_keys = {name: value for name, value in section.items() if name != "$ref"}
    return {"anyOf": [{"$ref": section["$ref"]}, {"type": "null"}], **other_keys}


def visible(settings: Settings) -> dict[str, object]:
    """Return the dotted name and the value of every setting. Secrets are hidden."""
    return {
        f"{section_name}.{key}": _plain_value(value)
        for section_name, section in settings
        for key, value in (section.items() if section_name in NAMED else section)
    }


def _plain_value(value: object) -> object:
    if isinstance(value, SecretStr):
        return _hidden(value.get_secret_value())
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if isinstance(value, Section):
        return {name: _plain_value(item) for name, item in value}
    if isinstance(value, Mapping):
        return {name: _plain_value(item) for name, item in value.items()}
    if isinstance(value, Processors):
        return AUTO
    return str(value) if isinstance(value, Path | str) else value


def _hidden(secret: str) -> str:
    """Return a secret with ``****`` in place of the parts that must not be shown.

    A database's URL is shown without its password. Of any other URL, only scheme and host are
    shown.
    """
    if DATABASE.match(secret):
        return PASSWORDS.sub("****", secret)
    if "://" in secret:
        return f"{shown_address(secret)}/****"
    return "****" if secret else ""


def _template_lines(settings: Settings) -> Iterator[str]:
    for name, section in settings:
        if isinstance(section, Section):
            yield f"\n# {section.__doc__}\n{name}:\n"
            yield from _key_lines(type(section), {}, "  ")
    for name, (example_name, kind, example) in NAMED.items():
        yield f"\n# {Settings.description_of(name)} For example:\n#   {example_name}:\n"
        yield from ("# " + line for line in _key_lines(kind, dict(example), "    "))
        yield f"{name}: {{}}\n"


def _key_lines(section: type[Section], values: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield f"{indent}# {section.description_of(key)}\n"
        value = values.get(key, field.get_default(call_default_factory=True))
        yield f"{indent}{field.alias or key}: {_as_yaml(value)}\n"


def _as_yaml(value: object) -> str:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return text if text.startswith(FROM_VARIABLE) else '""'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_as_yaml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, Section):
        return "{" + ", ".join(f"{key}: {_as_yaml(part)}" for key, part in value) + "}"
    if isinstance(value, Path):
        return f"./{value}"
    if isinstance(value, tuple):
        return f"[{', '.join(_as_yaml(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    plain = str(value) if isinstance(value, str) else value
    return str(yaml.safe_dump(plain)).splitlines()[0]
