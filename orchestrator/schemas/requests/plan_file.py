"""The plan file: a request with its config and tasks, in YAML or JSON."""

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml
from pydantic import ValidationError

from orchestrator.core.errors import InvalidRequest
from orchestrator.schemas.fields.validation_errors import Fault, Place, faults
from orchestrator.schemas.requests.job import OrchestrateRequest

KIND = "invalid-plan"
MOST_FAULTS_SHOWN = 20


class _PlanLoader(yaml.SafeLoader):
    """Plain YAML values, except that ``on``, ``off``, ``yes``, and ``no`` are text, and keys must
    be unique.
    """

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


def parse_plan(text: str, source: str) -> OrchestrateRequest:
    """Read a plan; ``source`` is the file's name, for messages.

    Raise InvalidRequest with one ``source:line:column: error`` per line.
    """
    value, root = _read(text, source)
    if not isinstance(value, dict):
        raise _invalid(
            f"{source}: a plan is a mapping with request:, and optionally config: and tasks:"
        )
    try:
        return OrchestrateRequest.model_validate(value)
    except ValidationError as error:
        found = faults(error, OrchestrateRequest)
        raise _invalid(_listed(found, source, root)) from error


def _read(text: str, source: str) -> tuple[Any, yaml.Node | None]:
    try:
        if source.endswith(".json"):
            return json.loads(text), None
        return _read_yaml(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"{source}:{error.lineno}:{error.colno}: {error.msg}") from error
    except yaml.YAMLError as error:
        raise _invalid(f"{source}{_mark(error)}: {_reason(error)}") from error
    except (RecursionError, ValueError) as error:
        raise _invalid(f"{source}: cannot be read: {error}") from error


def loaded_yaml(text: str) -> Any:
    """Return plain values. Raise yaml.YAMLError."""
    return _read_yaml(text)[0]


def _read_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    loader = _PlanLoader(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    finally:
        loader.dispose()


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value!r} occurs twice", key.start_mark
            )
        seen.add(key.value)


def _listed(found: list[Fault], source: str, root: yaml.Node | None) -> str:
    lines = [f"{source}{_position(root, fault.place)}: {fault}" for fault in found]
    left_out = len(lines) - MOST_FAULTS_SHOWN
    if left_out > 0:
        lines[MOST_FAULTS_SHOWN:] = [f"... and {left_out} more"]
    return "\n".join(lines)


def _position(root: yaml.Node | None, place: Place) -> str:
    """Return ``:line:column`` of the nearest node at or above ``place``."""
    node = root
    for part in place:
        below = _child(node, part)
        if below is None:
            break
        node = below
    return _colons(node.start_mark) if node is not None else ""


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: yaml.Node = node.value[part]
        return item
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None


def _mark(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return _colons(mark) if mark else ""


def _colons(mark: Any) -> str:
    return f":{mark.line + 1}:{mark.column + 1}"


def _reason(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error)


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, kind=KIND)
