"""Reads the text of a plan file, in YAML or JSON, as plain values.

Imports no pydantic classes, so that ``submit`` starts fast.
"""

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from orchestrator.core.errors import InvalidRequest

KIND = "invalid-plan"


class _PlanLoader(yaml.SafeLoader):
    """Loads YAML with unique keys. ``on``, ``off``, ``yes``, and ``no`` are text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        _refuse_repeated_keys(node)
        return super().construct_mapping(node, deep=deep)


_PlanLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        # Dates stay text, because no field of a plan is a date.
        if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlanLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    list("tTfF"),
)


def read(text: str, source: str) -> tuple[Any, yaml.Node | None]:
    """Return the value of a plan, and the root of its YAML nodes. For JSON, the root is None.

    A node has its line and column in the text. ``source``: the file's name. Raise InvalidRequest
    with ``source:line:column: error``.
    """
    try:
        if source.endswith(".json"):
            return json.loads(text), None
        return _read_yaml(text)
    except json.JSONDecodeError as error:
        position = f"{source}:{error.lineno}:{error.colno}"
        raise invalid_plan(f"{position}: not valid JSON: {error.msg}") from error
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or error
        mark = getattr(error, "problem_mark", None)
        position = line_and_column(mark) if mark else ""
        raise invalid_plan(f"{source}{position}: not valid YAML: {reason}") from error
    except (RecursionError, ValueError) as error:
        raise invalid_plan(f"{source}: cannot be read: {error}") from error


def loaded_yaml(text: str) -> Any:
    """Return the value of a YAML text. Raise yaml.YAMLError."""
    return _read_yaml(text)[0]


def _read_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    loader = _PlanLoader(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    finally:
        loader.dispose()


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    keys: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        if key.value in keys:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value!r} occurs twice; remove one", key.start_mark
            )
        keys.add(key.value)


def line_and_column(mark: Any) -> str:
    return f":{mark.line + 1}:{mark.column + 1}"


def invalid_plan(message: str) -> InvalidRequest:
    return InvalidRequest(message, kind=KIND)
