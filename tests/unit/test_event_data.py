"""The code and the documents use exactly the keys that each kind of event declares."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.api.openapi.document import document
from orchestrator.api.serializers.events import brief_values
from orchestrator.cli.follow.display import is_permanent, timed_line
from orchestrator.cli.follow.tree_progress import TreeProgress
from orchestrator.cli.output.style import Style
from orchestrator.core.events import Event, EventKind
from tests.support.event_data import PAGE, check_event, page
from tests.support.sources import PACKAGE, source_nodes

EXAMPLES: dict[Any, Any] = {
    str: "text",
    int: 2,
    float: 2.5,
    bool: True,
    list[str]: ["a", "b"],
    list[int]: [1, 2],
    str | None: None,
    int | None: None,
    float | None: None,
}
#: Names under which the product's modules read the data of an event.
READ_AS = ("data", "facts", "payload")


class Declared(dict[str, Any]):
    """Data with all keys of a kind of event. Reading another key fails."""

    def __init__(self, kind: EventKind) -> None:
        super().__init__({key.name: EXAMPLES[key.type] for key in kind.keys})
        self._kind = kind

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        assert key in self, f"{self._kind} does not declare {key}"
        return self[key]


def test_the_page_on_events_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_the_openapi_document_has_the_data_of_each_kind() -> None:
    schemas = json.loads(document())["components"]["schemas"]

    data = {each["title"]: each for each in schemas["EventData"]["anyOf"]}

    assert schemas["EventAnswer"]["properties"]["data"] == {
        "$ref": "#/components/schemas/EventData"
    }
    assert list(data) == list(EventKind) == schemas["EventKind"]["enum"]
    for kind in EventKind:
        assert list(data[kind]["properties"]) == [key.name for key in kind.keys]
        assert data[kind]["required"] == [key.name for key in kind.keys if key.always]
    properties = data["question_asked"]["properties"]
    assert properties["due_at"]["anyOf"] == [{"type": "number"}, {"type": "null"}]


@pytest.mark.parametrize("kind", EventKind)
def test_a_kind_has_its_name_and_a_sentence_and_each_key_once(kind: EventKind) -> None:
    names = [key.name for key in kind.keys]

    assert kind == kind.name.lower()
    assert kind.meaning.endswith(".")
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "data",
    [
        {"by": "me", "version": 2, "tasks": 3, "task": 3},
        {"by": "me", "version": 2},
        {"by": "me", "version": 2, "tasks": "3"},
        {"by": None, "version": 2, "tasks": 3},
    ],
    ids=["undeclared key", "missing key", "wrong type", "null"],
)
def test_other_data_than_declared_fails(data: dict[str, object]) -> None:
    check_event(EventKind.PLAN_EDITED, {"by": "me", "version": 2, "tasks": 3})

    with pytest.raises((AssertionError, ValueError)):
        check_event(EventKind.PLAN_EDITED, data)


@pytest.mark.parametrize("kind", EventKind)
def test_a_terminal_reads_only_declared_keys(kind: EventKind) -> None:
    at = "2026-05-04T09:30:00Z"
    event = {"kind": kind, "job_id": "j", "worker_id": "worker_1", "at": at, "data": Declared(kind)}

    line = TreeProgress().record(event)
    timed_line(1.0, line or "", event, Style(is_on=False))
    is_permanent(event)


@pytest.mark.parametrize("kind", EventKind)
def test_a_brief_event_reads_only_declared_keys(kind: EventKind) -> None:
    event = Event(root_id="r", seq=1, job_id="j", kind=kind, at=0.0, data=Declared(kind))

    brief_values(event)


def test_every_key_that_the_product_reads_is_declared() -> None:
    declared = {key.name for kind in EventKind for key in kind.keys}

    read = {
        name: path.as_posix()
        for path, nodes in source_nodes().items()
        if any(isinstance(each, ast.ImportFrom) and is_of_events(each) for each in nodes)
        for name in keys_read_by(nodes)
    }

    assert {"status", "outcome", "child_job_ids", "comment"} <= read.keys()
    assert not read.keys() - declared, read


def test_the_dashboard_names_only_declared_kinds() -> None:
    source = (PACKAGE / "api/static/app/job/model.js").read_text("utf-8")

    named = set(re.findall(r'"([a-z]+_[a-z_]+)"', source))

    assert "worker_ended" in named
    assert named <= set(EventKind)


def is_of_events(node: ast.ImportFrom) -> bool:
    return node.module == "orchestrator.core.events"


def keys_read_by(nodes: Any) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Subscript(value=read, slice=ast.Constant(value=str(name))):
                pass
            case ast.Call(
                func=ast.Attribute(value=read, attr="get"), args=[ast.Constant(value=str(name)), *_]
            ):
                pass
            case _:
                continue
        if (read.id if isinstance(read, ast.Name) else getattr(read, "attr", "")) in READ_AS:
            yield name
