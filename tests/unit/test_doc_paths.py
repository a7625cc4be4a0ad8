"""The documents for engineers name files that exist, and names that are in them."""

import ast
import re
from pathlib import Path

import pytest

from orchestrator.core.model.known_agents import PROGRAMS, KnownTool
from tests.sources import source_nodes

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("docs/architecture.md", "CONTRIBUTING.md")
#: A module, or a folder within a folder.
PATH = re.compile(r"`((?:[\w.]+/)+\w+\.(?:py|json)|(?:[\w.]+/){2,})`")
#: A step of a worked example: a file, and a name in it.
STEP = re.compile(r"^\d\. `([^`]+)`: `(\w+)`", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_of_a_document_exists(document: str) -> None:
    named = PATH.findall((ROOT / document).read_text("utf-8"))

    missing = {
        path
        for path in named
        if not (path.startswith("workspace/") and path.endswith(".json"))
        and not any((ROOT / base / path).exists() for base in (".", "orchestrator"))
    }

    assert named and not missing


@pytest.mark.parametrize(
    ("example", "most"), [("An API call", 4), ("A job setting", 3), ("A built-in agent", 3)]
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


def test_the_setting_of_the_example_is_declared_in_its_files_alone() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("### A job setting\n")[2]
    steps = STEP.findall(section.partition("\n#")[0])
    declared = re.compile(rf"^    {steps[0][1]}: ", re.MULTILINE)
    sources = (ROOT / "orchestrator").rglob("*.py")

    found = {path for path in sources if declared.search(path.read_text("utf-8"))}

    assert found == {ROOT / path for path, _ in steps}


@pytest.mark.parametrize("agent", PROGRAMS, ids=lambda each: each.name)
def test_only_the_three_files_of_its_example_name_a_built_in_agent(agent: KnownTool) -> None:
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    example = document.partition("### A built-in agent\n")[2].partition("\n#")[0]
    own = {path.replace("gemini", agent.name) for path, _ in STEP.findall(example)}

    naming = {
        f"orchestrator/{path}"
        for path, nodes in source_nodes().items()
        for node in nodes
        if is_name_of(agent, node)
    }

    assert len(own) == 3
    assert naming <= own


def is_name_of(agent: KnownTool, node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return text in (agent.name, agent.command_setting)
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            return name in (agent.name.upper(), agent.command_setting)
        case _:
            return False
