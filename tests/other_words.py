"""A pytest plugin under which every message of ``core`` and ``engine`` reads otherwise.

``pytest -p tests.other_words`` spells each word of a text backwards while it imports the modules:
"waits for approval" becomes "stiaw rof lavorppa". What a test sees then is what a job does, not
what is said of it. Texts without a space are names (of enums, files, settings) and stay.
"""

import ast
import re
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

PACKAGES = ("orchestrator.core.", "orchestrator.engine.")
#: What earlier versions wrote, and the patterns by which an agent's answer is read: no messages.
EXEMPT = ("orchestrator.core.earlier_exits", "orchestrator.core.final_text")
_WORD = re.compile(r"\{[^{}]*\}|[A-Za-z]{2,}")
#: Their arguments are read by programs.
_READ_BY_PROGRAMS = frozenset({"compile", "encode", "split", "partition", "replace", "join"})


def other_words(text: str) -> str:
    """The same text, unreadable; names in braces are filled in as before."""
    if " " not in text.strip():
        return text
    return _WORD.sub(lambda found: _backwards(found[0]), text)


def _backwards(word: str) -> str:
    return word if word.startswith("{") else word[::-1]


class _Rewriting(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else ""
        return node if name in _READ_BY_PROGRAMS else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            return ast.copy_location(ast.Constant(other_words(node.value)), node)
        return node


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        # Not from the cache, and never into it.
        tree = ast.parse(self.get_data(self.path), self.path)
        return compile(ast.fix_missing_locations(_Rewriting().visit(tree)), self.path, "exec")


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
    """The first thing that pytest calls in a plugin: nothing of the package is imported yet."""
    sys.meta_path.insert(0, _Finder())
