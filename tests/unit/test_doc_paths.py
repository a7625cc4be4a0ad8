"""The documents for engineers name files that exist, and names that these files contain."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.openapi.document import document
from orchestrator.cli.command_line.command_table import COMMANDS
from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateOutcome, GateStatus
from orchestrator.core.locks.lock_table import LockKind
from orchestrator.core.model.known_agents import PROGRAMS, KnownTool
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.human_needs import NeedKind
from tests.support.sources import PACKAGE, source_nodes

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("docs/internals/architecture.md", "docs/glossary.md", "CONTRIBUTING.md")
#: A module, or a folder in a folder.
PATH = re.compile(r"`((?:[\w.]+/)+\w+\.(?:py|json)|(?:[\w.]+/){2,})`")
#: A step of an example: a file, and a name in the file.
STEP = re.compile(r"^\d\. `([^`]+)`: `(\w+)`", re.MULTILINE)
#: A name, followed by its file in parentheses.
PLACED = re.compile(r"`(\w+)`\s\(`([^`]+\.py)`\)")
#: An entry in the last column of the glossary's tables: its kind, and names of that kind.
PLACE = re.compile(r"(API|command|event|setting|status) (`[^`]+`(?:, `[^`]+`)*)")


@pytest.mark.parametrize("page", DOCUMENTS)
def test_every_path_of_a_document_exists(page: str) -> None:
    named = PATH.findall((ROOT / page).read_text("utf-8"))

    missing = {
        path
        for path in named
        if not (path.startswith("workspace/") and path.endswith(".json"))
        and not any((ROOT / base / path).exists() for base in (".", "orchestrator"))
    }

    assert named and not missing


@pytest.mark.parametrize(
    ("example", "most"),
    [("An API call", 4), ("A job setting", 3), ("An event", 3), ("A built-in agent", 3)],
)
def test_a_worked_example_names_what_is_there_and_touches_few_files(
    example: str, most: int
) -> None:
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = document.partition(f"### {example}\n")[2].partition("\n#")[0]
    steps = STEP.findall(section)

    assert steps
    assert len({path for path, _ in steps}) <= most
    for path, name in steps:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8")), f"{name} in {path}"


def test_a_name_with_a_file_in_parentheses_is_in_this_file() -> None:
    placed = PLACED.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))

    missing = [
        f"{name} in {path}"
        for name, path in placed
        if not re.search(
            rf"^(?:class |def |async def )?{name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE
        )
    ]

    assert placed and not missing


def test_only_the_four_files_of_its_example_name_an_api_call() -> None:
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    example = document.partition("### An API call\n")[2].partition("\n#")[0]
    steps = STEP.findall(example)
    named = re.compile(rf"\b({'|'.join(name for _, name in steps)})\b")
    # Other callers of the use case, and the rules that it applies.
    beyond = tuple(f"orchestrator/{each}/" for each in ("cli", "api/client", "api/mcp", "core"))

    sources = (path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
    found = {
        path
        for path in sources
        if not path.startswith(beyond) and named.search((ROOT / path).read_text("utf-8"))
    }

    assert len(found) == 4
    assert found == {path for path, _ in steps}


def test_the_setting_of_the_example_is_declared_in_its_files_alone() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("### A job setting\n")[2]
    steps = STEP.findall(section.partition("\n#")[0])
    declared = re.compile(rf"^    {steps[0][1]}: ", re.MULTILINE)
    sources = (ROOT / "orchestrator").rglob("*.py")

    found = {path for path in sources if declared.search(path.read_text("utf-8"))}
    # A field with the same name exists in other tools' API, and sets the value.
    found.discard(ROOT / "orchestrator/schemas/requests_with_answers/tasks_api.py")

    assert found == {ROOT / path for path, _ in steps}


def test_only_the_three_files_of_its_example_name_an_event() -> None:
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    steps = STEP.findall(document.partition("### An event\n")[2].partition("\n#")[0])

    naming = places_of_words()["name", "PLAN_EDITED"] | places_of_words()["text", "plan_edited"]

    assert len(steps) == 3
    assert naming == {path for path, _ in steps}


@pytest.mark.parametrize("agent", PROGRAMS, ids=lambda each: each.name)
def test_only_the_three_files_of_its_example_name_a_built_in_agent(agent: KnownTool) -> None:
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    example = document.partition("### A built-in agent\n")[2].partition("\n#")[0]
    own = {path.replace("gemini", agent.name) for path, _ in STEP.findall(example)}

    words = [
        ("name", agent.name.upper()),
        ("name", agent.command_setting),
        ("text", agent.command_setting),
        ("text", agent.name),
    ]
    naming = {path for word in words for path in places_of_words()[word]}

    assert len(own) == 3
    assert naming <= own


def test_every_name_of_the_glossary_exists() -> None:
    known = known_names()

    named = set(names_of_the_glossary())

    assert {kind for kind, _ in named} == set(known)
    assert not {(kind, name) for kind, name in named if name not in known[kind]}


def test_every_kind_of_need_is_named_and_explained() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    dashboard = (ROOT / "docs" / "dashboard.md").read_text("utf-8")
    row = re.search(r"^\| need \| ([^|]+)", glossary, re.MULTILINE)
    table = dashboard.partition("| Kind of need |")[2].partition("\n\n")[0]

    assert row is not None
    assert set(re.findall(r"`(\w+)`", row[1])) == set(NeedKind)
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(NeedKind)


def names_of_the_glossary() -> Iterator[tuple[str, str]]:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    for place in re.findall(r"\| ([^|]+) \|$", text, re.MULTILINE):
        for kind, names in PLACE.findall(place):
            for name in re.findall("`([^`]+)`", names):
                # Other tests check a command's arguments and options.
                yield kind, name.split()[0] if kind == "command" else name


def known_names() -> dict[str, set[str]]:
    api = json.loads(document())
    schema = json.loads((ROOT / "config.schema.json").read_text("utf-8"))
    states = (JobStatus, WorkerStatus, GateStatus, GateOutcome, LockKind)
    return {
        "API": {*api["paths"], *fields_of(api)},
        "command": {*COMMANDS},
        "event": {*EventKind},
        "setting": {*settings_of(schema, schema)},
        "status": {str(each) for states_of_one in states for each in states_of_one},
    }


def fields_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
        schema = schema.values()
    elif not isinstance(schema, list):
        return
    for each in schema:
        yield from fields_of(each)


def settings_of(schema: dict[str, Any], root: dict[str, Any], above: str = "") -> Iterator[str]:
    """Return the dotted names of sections and settings."""
    either = schema.get("anyOf") or [schema]
    if reference := either[0].get("$ref"):
        schema = root["$defs"][reference.rpartition("/")[2]]
    for name, each in schema.get("properties", {}).items():
        yield f"{above}{name}"
        yield from settings_of(each, root, f"{above}{name}.")


@cache
def places_of_words() -> Mapping[tuple[str, str], set[str]]:
    """Return the product's files by the names and whole texts in them."""
    places = defaultdict(set)
    for path, nodes in source_nodes().items():
        for word in filter(None, map(word_of, nodes)):
            places[word].add(f"orchestrator/{path}")
    return places


def word_of(node: ast.AST) -> tuple[str, str] | None:
    match node:
        case ast.Constant(value=str(text)):
            return "text", text
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            return "name", name
        case _:
            return None
