"""Messages name the command as users type it in the folder: ``bin/orchestrator``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.command_line.command_table import COMMANDS
from orchestrator.core.text.command_name import COMMAND
from tests.support.sources import PACKAGE, Nodes, nodes_of, source_nodes

VERBS = "|".join(sorted(COMMANDS))
#: The program's name with one of its commands, without a directory before it.
BARE = re.compile(rf"(?<![\w/.`-])`?orchestrator (?:{VERBS})\b")
#: The program's name in its own usage, and in git's logs.
NAMES = re.compile(r"^`?orchestrator (lock|unlock|spawn|mcp|land|undo)(: |`.*)?[ ]*$")
#: Modules whose output is for workers, which have the command on their PATH.
FOR_WORKERS = ("cli/worker/spawn.py", "cli/worker/lock.py")
TEMPLATES = sorted(PACKAGE.glob("reports/templates/*.j2"))


def texts(nodes: Nodes) -> Iterator[tuple[int, str]]:
    """Yield the string constants of a module, except docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.lineno, str(node.value)


def test_no_message_names_the_command_without_its_directory() -> None:
    bare = [
        f"{path}:{line}: {text}"
        for path, nodes in source_nodes().items()
        if "migrations" not in path.parts and path.as_posix() not in FOR_WORKERS
        for line, text in texts(nodes)
        if BARE.search(text) and not NAMES.match(text)
    ]

    assert bare == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_report_names_the_command_without_its_directory(path: Path) -> None:
    text = path.read_text("utf-8")

    assert not BARE.search(text)
    assert "shell('orchestrator'" not in text


def test_a_bare_command_is_found() -> None:
    nodes = nodes_of("def a():\n    'orchestrator run'\n    b = 'try: orchestrator run x'")
    [(_, text), *_] = texts(nodes)

    assert BARE.search(text)
    assert not BARE.search(f"try: {COMMAND} run")
