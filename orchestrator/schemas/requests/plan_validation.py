"""Validation of a plan file: a request with its config and tasks, in YAML or JSON."""

import yaml
from pydantic import ValidationError

from orchestrator.schemas.fields.validation_errors import Fault, Location, faults
from orchestrator.schemas.requests.job import OrchestrateRequest
from orchestrator.schemas.requests.plan_text import invalid_plan, line_and_column, read

MOST_FAULTS_SHOWN = 20


def parse_plan(text: str, source: str, default_request: str = "") -> OrchestrateRequest:
    """Return the plan in a text. ``source``: the file's name, for messages.

    ``default_request``: the request for a plan that contains no request; empty: a plan without a
    request is invalid.

    Raise InvalidRequest. Its message has one line ``source:line:column: error`` for each error.
    """
    value, root = read(text, source)
    if value is None and default_request:
        value = {}
    if not isinstance(value, dict):
        raise invalid_plan(f"{source}: {_not_a_plan(value)}")
    if default_request:
        value.setdefault("request", default_request)
    try:
        return OrchestrateRequest.model_validate(value)
    except ValidationError as error:
        errors = faults(error, OrchestrateRequest, lambda place: _line_number(root, place))
        raise invalid_plan(_fault_lines(errors, source, root)) from error


def _not_a_plan(value: object) -> str:
    rule = "a plan is a mapping with the keys 'request', 'tasks', and 'config'"
    return (
        f"this is a list; {rule}: put the list below 'tasks'" if isinstance(value, list) else rule
    )


def _fault_lines(errors: list[Fault], source: str, root: yaml.Node | None) -> str:
    lines = [f"{source}{_position(root, fault.location)}: {fault}" for fault in errors]
    omitted = len(lines) - MOST_FAULTS_SHOWN
    if omitted > 0:
        lines[MOST_FAULTS_SHOWN:] = [f"... and {omitted} more"]
    return "\n".join(lines)


def _position(root: yaml.Node | None, location: Location) -> str:
    """Return ``:line:column`` of the node at ``location``; "" if ``root`` is None."""
    node = _nearest_node(root, location)
    return line_and_column(node.start_mark) if node is not None else ""


def _line_number(root: yaml.Node | None, location: Location) -> int:
    node = _nearest_node(root, location)
    return int(node.start_mark.line) if node is not None else 0


def _nearest_node(root: yaml.Node | None, location: Location) -> yaml.Node | None:
    """Return the node at ``location``, or its nearest existing parent."""
    node = root
    for part in location:
        child = _child(node, part)
        if child is None:
            break
        node = child
    return node


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: yaml.Node = node.value[part]
        return item
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
