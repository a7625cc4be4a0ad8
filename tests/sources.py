"""The product's source, parsed once in a process for all tests that read it."""

import ast
import gc
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "orchestrator"


@cache
def source_trees() -> Mapping[Path, ast.Module]:
    """Every module of the product, by path relative to the package. Do not change the trees."""
    # Half a million new nodes: looking for garbage among them takes as long as parsing.
    gc.disable()
    try:
        return {
            path.relative_to(PACKAGE): ast.parse(path.read_text("utf-8"), str(path))
            for path in sorted(PACKAGE.rglob("*.py"))
        }
    finally:
        gc.enable()
