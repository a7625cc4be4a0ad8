"""Texts of validation errors: the expected value of a setting, from the settings' JSON schema."""

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from orchestrator.config.fields.value_types import AGENT_NAME_PATTERN, AGENT_NAME_RULE
from orchestrator.config.setting_types import setting_paths
from orchestrator.config.settings import Settings
from orchestrator.config.yaml.key_paths import KeyPath, dotted

Schema = Mapping[str, Any]

#: Schema of a name that the user chooses: of an agent or a trigger. The JSON schema of the settings
#: has no title for such names.
AGENT_NAME = {"pattern": AGENT_NAME_PATTERN, "title": AGENT_NAME_RULE}


@cache
def settings_schema() -> Schema:
    return Settings.model_json_schema()


def schema_at(path: KeyPath) -> Schema:
    schema = settings_schema()
    for part in path:
        schema = _child(schema, part)
    return _resolved(schema)


def expected_at(path: KeyPath) -> str:
    """Return a setting's expected value as text, such as ``a whole number from 0 to 65535``."""
    schema = schema_at(path)
    words = _in_words(schema)
    return f"{words}, or null" if schema.get("optional") else words


def unknown_key(path: KeyPath) -> str:
    *holder, name = path
    keys = list(schema_at(tuple(holder)).get("properties", ()))
    kind = "key" if holder else "section"
    elsewhere = [dotted(path) for path in setting_paths() if path[1] == str(name)]
    close = difflib.get_close_matches(str(name).lower().replace("-", "_"), keys, n=1, cutoff=0.6)
    if likely := next(iter([*elsewhere, *close]), None):
        return f"unknown {kind} (did you mean '{likely}'?)"
    return f"unknown {kind}; known: {', '.join(keys)}"


def _child(schema: Schema, part: str | int) -> Schema:
    schema = _resolved(schema)
    if isinstance(part, int):
        return _subschema(schema.get("items"))
    if part == "[key]":
        return AGENT_NAME
    by_pattern = next(iter(schema.get("patternProperties", {}).values()), None)
    return _subschema(schema.get("properties", {}).get(part, by_pattern))


def _subschema(value: object) -> Schema:
    return value if isinstance(value, Mapping) else {}


def _resolved(schema: Schema) -> Schema:
    """Return ``schema``, or the schema to which the reference in ``schema`` points.

    If the setting may be null, the result describes only the values other than null, and has the
    key ``optional`` with the value True.
    """
    if "$ref" in schema:
        return _resolved(settings_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    choices = schema.get("anyOf")
    if not choices:
        return schema
    return {**_resolved(choices[0]), "optional": True}


def _in_words(schema: Schema) -> str:
    if "enum" in schema:
        *others, last = schema["enum"]
        return f"{', '.join(others)}, or {last}" if len(others) > 1 else f"{others[0]} or {last}"
    if "pattern" in schema:
        return str(schema["title"])
    return _kind_in_words(schema) + _bounds_in_words(schema)


def _kind_in_words(schema: Schema) -> str:
    if schema.get("format") == "path":
        return "a path"
    if schema.get("type") == "array":
        entry = _resolved(_subschema(schema.get("items")))
        if "properties" in entry:
            return "a list of mappings, such as [{key: value}]"
        return f"a list such as [first, second]; each entry: {_in_words(entry)}"
    return {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "text" if not schema.get("minLength") else "non-empty text",
    }.get(schema.get("type", ""), "a mapping: one 'key: value' per line")


def _bounds_in_words(schema: Schema) -> str:
    low, above, high = map(schema.get, ("minimum", "exclusiveMinimum", "maximum"))
    if high is None:
        return ""
    if low is None:
        return f" above {above:g} and at most {high:.15g}"
    return f" from {low:g} to {high if isinstance(high, int) else format(high, '.15g')}"
