"""All pages: their links have targets, and their examples are valid."""

import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from orchestrator.api.openapi.document import document
from orchestrator.cli.command_line.command_table import COMMANDS
from orchestrator.cli.command_line.main import Commands
from orchestrator.cli.worker.lock import parser as lock_parser
from orchestrator.cli.worker.spawn import parser as spawn_parser
from orchestrator.config.settings import Settings
from orchestrator.schemas.requests.plan_validation import parse_plan

FOLDER = Path(__file__).resolve().parents[2]
TOP = ("README", "AGENTS", "SECURITY", "CONTRIBUTING", "CHANGELOG")
PAGES = [
    *(FOLDER / f"{name}.md" for name in TOP),
    FOLDER / "llms.txt",
    FOLDER / "skills" / "orchestrate" / "SKILL.md",
    FOLDER / "benchmarks" / "README.md",
    *sorted((FOLDER / "docs").rglob("*.md")),
]
#: Pages except the changelog, which names commands of earlier releases.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]

CODE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
#: A command up to the end of its line or quotation.
CALLED = re.compile(r"(?:bin/)?orchestrator(?: +|\" \")([a-z]+)\b([^`\n|#]*)")
#: A command with JOB and without the program's name, as in prose.
SHORT = re.compile(rf"^({'|'.join(COMMANDS)})( (?:JOB|--[a-z]).*)$")


def name_of(page: Path) -> str:
    return str(page.relative_to(FOLDER))


def prose(page: Path) -> str:
    return CODE.sub("", page.read_text("utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each) for each in HEADING.findall(prose(page))]
    return frozenset(
        re.sub(r"[^\w\- ]", "", text.lower(), flags=re.UNICODE).replace(" ", "-") for text in texts
    )


def is_broken(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = page.parent / target if target else page
    return not path.exists() or (bool(anchor) and anchor not in anchors(path.resolve()))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]

    assert [link for link in links if is_broken(page, link)] == []


def test_a_broken_link_is_found() -> None:
    page = FOLDER / "README.md"

    assert is_broken(page, "docs/none.md") and is_broken(page, "#no-such-heading")
    assert not is_broken(page, "docs/git.md") and not is_broken(page, "#promises")


#: A function of Node.js in prose that has the name of a group of commands.
OF_NODE_JS = "node --test"


def calls(page: Path) -> list[tuple[str, str]]:
    """Return commands with the rest of their lines, only from code, not from prose."""
    text = page.read_text("utf-8")
    inline = [each for each in re.findall(r"`([^`\n]+)`", prose(page)) if each != OF_NODE_JS]
    blocks = [block for kind, block in CODE.findall(text) if kind in ("bash", "sh", "console", "")]
    found = [call for code in (*blocks, *inline) for call in CALLED.findall(code)]
    return found + [(short[1], short[2]) for code in inline if (short := SHORT.match(code))]


@cache
def options_of(command: str) -> frozenset[str]:
    if command in ("spawn", "lock"):
        made = spawn_parser() if command == "spawn" else lock_parser("lock")
        return frozenset(option for action in made._actions for option in action.option_strings)
    found = Commands().get_command(click.Context(Commands()), command)
    assert found is not None
    below = found.commands.values() if isinstance(found, click.Group) else ()
    params = [param for each in (found, *below) for param in each.params]
    options = (option for one in params for option in (*one.opts, *one.secondary_opts))
    return frozenset({"-h", "--help", *options})


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_every_command_and_its_options_exist(page: Path) -> None:
    for command, rest in calls(page):
        assert command in COMMANDS, f"orchestrator {command}{rest}"
        unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", rest)
        options = set(re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", unquoted))
        assert options <= options_of(command), f"orchestrator {command}{rest}"


def test_commands_of_the_pages_are_found() -> None:
    def found(name: str) -> set[str]:
        return {command for command, _ in calls(FOLDER / name)}

    assert {"submit", "wait", "run", "spawn", "cancel"} <= found("skills/orchestrate/SKILL.md")
    assert {"mcp", "serve", "submit"} <= found("AGENTS.md")
    assert {"diff", "land", "merge", "rollback", "clean"} <= found("docs/git.md")


#: Commands for workers, whose PATH has the program.
OF_WORKERS = ("spawn", "lock", "unlock")
#: Pages for the folder; install.md also describes the package, which puts the program on the PATH.
OF_THE_FOLDER = [page for page in CURRENT if page.name != "install.md"]


@pytest.mark.parametrize("page", OF_THE_FOLDER, ids=name_of)
def test_commands_can_be_pasted_in_the_folder(page: Path) -> None:
    blocks = [
        text for kind, text in CODE.findall(page.read_text("utf-8")) if kind in ("bash", "sh")
    ]
    lines = [line for text in blocks for line in text.splitlines()]
    bare = [re.match(r"orchestrator (\w+)", line) for line in lines]

    assert [each[0] for each in bare if each and each[1] not in OF_WORKERS] == []


@cache
def paths_of_the_api() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())["paths"]
    return found


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_every_call_of_the_api_exists(page: Path) -> None:
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`? ]*)", page.read_text("utf-8")):
        assert method.lower() in paths_of_the_api().get(path, {}), f"{method} {path}"


def yaml_examples() -> list[Any]:
    return [
        pytest.param(text, id=f"{name_of(page)}-{number}")
        for page in CURRENT
        for number, (kind, text) in enumerate(CODE.findall(page.read_text("utf-8")))
        if kind == "yaml"
    ]


@pytest.mark.parametrize("text", yaml_examples())
def test_every_example_in_yaml_is_accepted(text: str) -> None:
    """An example may be a plan, a part of a plan, or settings."""
    text = text.replace("key_hash: ...", f"key_hash: {64 * 'a'}")
    found = yaml.safe_load(text)

    if {"request", "tasks", "config"} & set(found):
        parse_plan(text if "request" in found else f"request: x\n{text}", "example")
    elif set(found) == {"gates"} and isinstance(found["gates"], list):
        parse_plan(f"request: x\nconfig: {json.dumps(found)}", "example")
    else:
        Settings.model_validate(found)


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_every_example_in_python_finds_what_it_imports(page: Path) -> None:
    for kind, text in CODE.findall(page.read_text("utf-8")):
        if kind == "python":
            compile(text, name_of(page), "exec")
            for module, name in re.findall(r"^from (\S+) import (\w+)$", text, re.MULTILINE):
                assert hasattr(import_module(module), name), f"{module}.{name}"
