"""Reads sources other than Python with tree-sitter grammars, which are loaded when needed.

The grammars are optional packages: the extra ``survey`` of pyproject.toml.

Each grammar has a query in ``queries/``. The query's captures are ``comment``, ``import``,
``main``, ``test``, and kinds of public symbols. Captures that begin with ``_`` are used only in
conditions of the query. Captures ``top.<kind>`` are top-level symbols, which are public only if the
file exports nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agents.survey.source.line_count import mask_ranges
from orchestrator.agents.survey.source.source_file import Import, SourceFile, Symbol
from orchestrator.core.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

#: Language: (module of the grammar, its function, name of the query).
_GRAMMARS = {
    "JavaScript": ("tree_sitter_javascript", "language", "javascript"),
    "TypeScript": ("tree_sitter_typescript", "language_typescript", "typescript"),
    "TSX": ("tree_sitter_typescript", "language_tsx", "typescript"),
    "Go": ("tree_sitter_go", "language", "go"),
    "Rust": ("tree_sitter_rust", "language", "rust"),
    "Java": ("tree_sitter_java", "language", "java"),
    "C": ("tree_sitter_c", "language", "c"),
    "C++": ("tree_sitter_cpp", "language", "cpp"),
    "C/C++ header": ("tree_sitter_cpp", "language", "cpp"),
    "C#": ("tree_sitter_c_sharp", "language", "c_sharp"),
    "Ruby": ("tree_sitter_ruby", "language", "ruby"),
    "PHP": ("tree_sitter_php", "language_php", "php"),
    "Bash": ("tree_sitter_bash", "language", "bash"),
}
#: Maximum average line length, in characters. A file with a longer average counts as generated: its
#: symbols are not read.
MACHINE_MADE_LINE_LENGTH = 400
#: Maximum length of a name. The name of a symbol is cut, and a longer import is omitted.
LONGEST_NAME = 120
_NOT_SYMBOLS = frozenset({"comment", "import", "main", "test"})
_STORAGE = "storage_class_specifier"
_QUOTES = "\"'`<>"


@dataclass(frozen=True)
class _Grammar:
    parser: Parser
    query: Query


@cache
def _grammar(language: str) -> _Grammar | None:
    module, function, query = _GRAMMARS[language]
    source = (Path(__file__).parent / "queries" / f"{query}.scm").read_text(encoding="utf-8")
    try:
        from tree_sitter import Language, Parser, Query

        grammar = Language(getattr(importlib.import_module(module), function)())
        return _Grammar(Parser(grammar), Query(grammar, source))
    except (ImportError, ValueError):
        return None  # not installed, or an unsupported version


def are_installed() -> bool:
    """True if the grammars are installed. No grammar is loaded."""
    return importlib.util.find_spec("tree_sitter") is not None


def is_read_by_grammar(language: str) -> bool:
    """True if there is a grammar for ``language``, installed or not."""
    return language in _GRAMMARS


def is_machine_made(text: str) -> bool:
    """True if ``text`` looks minified or generated: its lines are very long."""
    return len(text) > MACHINE_MADE_LINE_LENGTH * (text.count("\n") + 1)


def read_with_grammar(text: str, language: str) -> SourceFile | None:
    """Analyze ``text``. Return None if the grammar is missing. Invalid text raises no error."""
    grammar = _grammar(language)
    if grammar is None:
        return None
    from tree_sitter import QueryCursor

    tree = grammar.parser.parse(text.encode("utf-8", "replace"))
    captures = QueryCursor(grammar.query).captures(tree.root_node)
    comments = sorted(_comment_range(node) for node in captures.get("comment", []))
    main = captures.get("main", [])
    return SourceFile(
        masked=mask_ranges(text, comments),
        symbols=tuple(_symbols(captures, language)),
        imports=tuple(_imports(captures, language)),
        main_line=main[0].start_point.row + 1 if main else 0,
        test_cases=len(captures.get("test", [])),
    )


def _comment_range(node: Node) -> tuple[int, int]:
    # A line comment of Rust includes the line feed, but not the next line.
    text = node.text or b""
    return node.start_byte, node.end_byte - (1 if text.endswith(b"\n") else 0)


def _symbols(captures: dict[str, list[Node]], language: str) -> list[Symbol]:
    kinds = [kind for kind in captures if kind not in _NOT_SYMBOLS and not kind.startswith("_")]
    exported = [kind for kind in kinds if not kind.startswith("top.")]
    symbols = {
        Symbol(_text(node)[:LONGEST_NAME], kind.removeprefix("top."), node.start_point.row + 1)
        for kind in exported or kinds
        for node in captures[kind]
        if _is_public(node, language)
    }
    return sorted(symbols, key=lambda symbol: (symbol.line, symbol.name))


def _is_public(node: Node, language: str) -> bool:
    name = _text(node)
    if language == "Go":
        return name[:1].isupper()
    if language in ("C", "C++"):
        return not _is_static(node)
    return not name.startswith("_")


def _is_static(node: Node) -> bool:
    definition: Node | None = node
    while definition is not None and definition.type != "function_definition":
        definition = definition.parent
    children = definition.children if definition is not None else []
    return any(child.type == _STORAGE and child.text == b"static" for child in children)


def _imports(captures: dict[str, list[Node]], language: str) -> list[Import]:
    modules: set[str] = set()
    for node in captures.get("import", []):
        name = _text(node).strip().strip(_QUOTES)
        modules.update(_rust_paths(name) if language == "Rust" else [name])
    return [Import(name) for name in sorted(modules) if name and len(name) <= LONGEST_NAME]


def _rust_paths(argument: str) -> list[str]:
    # ``a::b`` for ``a::b::{c, d}``.
    path = re.split(r"::\{|\sas\s|::\*", argument)[0]
    return [part.strip() for part in path.strip("{}").split(",")]


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
