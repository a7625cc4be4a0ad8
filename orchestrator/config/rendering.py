"""Texts made from the settings: the template, the JSON schema, and the values for users."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import SecretStr

from orchestrator.config.agents import UserAgent
from orchestrator.config.errors import settings_schema
from orchestrator.config.fields.kinds import AUTO, Processors
from orchestrator.config.fields.section import Section
from orchestrator.config.settings import Settings

HEADER = """\
# yaml-language-server: $schema=./config.schema.json
#
# Every setting with its default. ./install.sh copies this file to config.yaml and puts a fresh
# key in; change config.yaml, not this file. A relative path starts at the folder of this file.
# The environment wins over the file: ORCHESTRATOR_<SECTION>__<KEY>, for example
# ORCHESTRATOR_API__PORT=8123; a secret also from a file: ORCHESTRATOR_API__API_KEY_FILE=PATH.
"""

EXAMPLE_AGENT = UserAgent(
    command=("my-tool", "--quiet"), env=("MY_TOOL_KEY",), description="What it is for"
)
PASSWORDS = re.compile(r"(?<=:)[^:/@]+(?=@)|(?<=password=)[^&]+")


def render_template() -> str:
    """The text of ``config.template.yaml``."""
    return HEADER + "".join(_template_lines(Settings()))


def render_schema() -> str:
    """The text of ``config.schema.json``."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **settings_schema()}, indent=2, ensure_ascii=False) + "\n"


def visible(settings: Settings) -> dict[str, object]:
    """Every setting by dotted name as a plain value, secrets hidden."""
    return {
        f"{section_name}.{key}": _plain(value)
        for section_name, section in settings
        for key, value in (section.items() if section_name == "agents" else section)
    }


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return _hidden(value.get_secret_value())
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Section):
        return {name: _plain(item) for name, item in value}
    if isinstance(value, Processors):
        return AUTO
    return str(value) if isinstance(value, Path | str) else value


def _hidden(secret: str) -> str:
    """A database URL without its password; nothing of any other secret."""
    if "://" in secret:
        return PASSWORDS.sub("****", secret)
    return "****" if secret else ""


def _template_lines(settings: Settings) -> Iterator[str]:
    for name, section in settings:
        if isinstance(section, Section):
            yield f"\n# {section.__doc__}\n{name}:\n"
            yield from _key_lines(type(section), {}, "  ")
    yield f"\n# {Settings.model_fields['agents'].description} For example:\n#   my-agent:\n"
    yield from ("# " + line for line in _key_lines(UserAgent, dict(EXAMPLE_AGENT), "    "))
    yield "agents: {}\n"


def _key_lines(section: type[Section], values: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, field in section.model_fields.items():
        yield f"{indent}# {field.description}\n"
        yield f"{indent}{field.alias or key}: {_as_yaml(values.get(key, field.default))}\n"


def _as_yaml(value: object) -> str:
    if isinstance(value, SecretStr):
        return '""'
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
