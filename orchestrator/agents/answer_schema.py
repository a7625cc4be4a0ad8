"""A JSON schema as every model's service takes it.

OpenAI's strict mode wants all properties required and knows few words; Claude Code refuses a
``$schema``; others stumble over references. Whoever reads the answer checks it by the whole schema.
"""

import json
from collections.abc import Mapping
from typing import Any

_KEPT = ("type", "description", "enum", "const")


def strict(text: str) -> dict[str, Any]:
    """The schema in ``text``, spelt out; it says less, and what it accepts has every property."""
    whole: Mapping[str, Any] = json.loads(text)
    return _plain(whole, whole.get("$defs", {}))


def _plain(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _plain(defs[schema["$ref"].rpartition("/")[2]], defs)
    plain: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
    if "anyOf" in schema:
        plain["anyOf"] = [_plain(each, defs) for each in schema["anyOf"]]
    if "items" in schema:
        plain["items"] = _plain(schema["items"], defs)
    if "properties" in schema:
        properties = {name: _plain(each, defs) for name, each in schema["properties"].items()}
        plain |= {"properties": properties, "required": [*properties]}
        plain["additionalProperties"] = False
    return plain
