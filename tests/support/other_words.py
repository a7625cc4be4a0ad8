"""A pytest plugin: rewrites every message of ``core`` and ``engine``.

``pytest -p tests.support.other_words`` rewrites each text while it imports the modules. The
rewritten text has its words spelled backwards, and a mark of its position in the source. Code that
compares or searches messages then fails. A test that still passes depends on the behaviour of a
job, not on messages.

Texts without a space are unchanged, because they are names of enums, files, or settings. An
f-string counts as one text.
"""

import ast
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any
from zlib import crc32

PACKAGES = ("orchestrator.core.", "orchestrator.engine.")
#: Modules whose texts are no messages: texts of earlier versions, patterns for agents' answers, and
#: code to compile.
EXEMPT = (
    "orchestrator.core.lazy_dataclass",
    "orchestrator.core.model.attempt.attempt_result",
    "orchestrator.core.model.attempt.final_text",
)
_WORD = re.compile(r"\{[^{}]*\}|[A-Za-z]{2,}")
#: Functions whose text arguments programs read.
_READ_BY_PROGRAMS = frozenset(
    {"compile", "lazy_pattern", "encode", "split", "partition", "replace", "match"}
)


def other_words(text: str, mark: str = "") -> str:
    """Return ``text`` in unreadable form. Names in braces still work as placeholders."""
    return _rewritten(text, mark) if _is_message(text) else text


def _is_message(text: str) -> bool:
    return " " in text.strip()


def _rewritten(text: str, mark: str) -> str:
    return _WORD.sub(lambda found: _backwards(found[0], mark), text)


def _backwards(word: str, mark: str) -> str:
    return word if word.startswith("{") else f"{word[::-1]}{mark}"


class _Rewriting(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._module = module

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name not in _READ_BY_PROGRAMS:
            return self.generic_visit(node)
        node.func = self.visit(called)
        node.args = [
            each if isinstance(each, ast.Constant) else self.visit(each) for each in node.args
        ]
        node.keywords = [self.visit(each) for each in node.keywords]
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        whole = "".join(
            str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values
        )
        is_message = _is_message(whole)
        node.values = [
            self._other(each)
            if is_message and isinstance(each, ast.Constant)
            else each
            if isinstance(each, ast.Constant)
            else self.visit(each)
            for each in node.values
        ]
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        # ``format`` reads the text after the colon.
        node.value = self.visit(node.value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_message = isinstance(node.value, str) and _is_message(node.value)
        return self._other(node) if is_message else node

    def _other(self, node: ast.Constant) -> ast.Constant:
        place = f"{self._module}:{node.lineno}:{node.col_offset}"
        mark = f"{crc32(place.encode()):08x}"
        return ast.copy_location(ast.Constant(_rewritten(str(node.value), mark)), node)


def rewritten(tree: ast.Module, module: str) -> ast.Module:
    """Return a module with rewritten messages."""
    _Rewriting(module).visit(tree)
    return ast.fix_missing_locations(tree)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        # Bypasses the bytecode cache, because the cache must not store rewritten code.
        tree = ast.parse(self.get_data(self.path), self.path)
        return compile(rewritten(tree, fullname), self.path, "exec")


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PACKAGES) or fullname in EXEMPT:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def pytest_addoption() -> None:
    """Install the rewriting.

    Pytest calls this function first, before anything of the package is imported.
    """
    sys.meta_path.insert(0, _Finder())
