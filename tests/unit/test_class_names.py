"""Each public class name in the source is used for one class only."""

import ast
from collections import defaultdict

from tests.unit.test_layers import TOP, modules

#: Names that stand for two classes, with the reason.
ALLOWED: frozenset[str] = frozenset()


def test_a_public_class_name_stands_for_one_class() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module in modules().values():
        tree = module.nodes[0]
        assert isinstance(tree, ast.Module)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module.name.removeprefix(f"{TOP}."))
    several = {name: found for name, found in homes.items() if len(found) > 1}
    assert not set(several) - ALLOWED, f"give one of each another standard name: {several}"
    assert set(several) >= ALLOWED, f"no longer needed in ALLOWED: {ALLOWED - set(several)}"
