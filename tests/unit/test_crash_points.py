"""A test crashes the code at every failpoint."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.faults.crash_points import CRASHED_BY
from tests.support.sources import Nodes, source_nodes

TESTS = Path(__file__).absolute().parents[1]


def failpoints_of(nodes: Nodes) -> Iterator[str]:
    """Return the names of failpoints. {} replaces parts that are known only at run time."""
    for node in nodes:
        if isinstance(node, ast.Call) and _called(node.func) == "failpoints.reached":
            parts = node.args[0]
            pieces = parts.values if isinstance(parts, ast.JoinedStr) else [parts]
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in pieces)


def _called(function: ast.expr) -> str:
    match function:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case _:
            return ""


def test_every_failpoint_is_crashed_at_by_a_test() -> None:
    named = {name for names in CRASHED_BY.values() for name in names}
    there = {name for nodes in source_nodes().values() for name in failpoints_of(nodes)}

    assert there == named, "add it to tests/faults/crash_points.py, with a test that crashes there"
    assert len(there) > 30


def test_the_tests_that_crash_exist() -> None:
    for test in CRASHED_BY:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text(), test
