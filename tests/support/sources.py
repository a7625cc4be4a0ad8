"""The product's source code. Each process parses it once for all tests that read it."""

import ast
import gc
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "orchestrator"
#: All nodes of a module in the order of ``ast.walk``: the module itself is first.
Nodes = Sequence[ast.AST]


@cache
def source_nodes() -> Mapping[Path, Nodes]:
    """Return the nodes of every module of the product, by relative path.

    Callers must not change the nodes.
    """
    # For half a million new nodes, the garbage collector would take as long as parsing.
    gc.disable()
    try:
        return {
            path.relative_to(PACKAGE): nodes_of(path.read_text("utf-8"), str(path))
            for path in sorted(PACKAGE.rglob("*.py"))
        }
    finally:
        gc.enable()


def nodes_of(source: str, name: str = "<source>") -> Nodes:
    return tuple(ast.walk(ast.parse(source, name)))
