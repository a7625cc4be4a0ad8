"""Every failpoint of the code is crashed at by a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.faults.crash_points import CRASHED_BY

TESTS = Path(__file__).absolute().parents[1]
CODE = TESTS.parent / "orchestrator"


def failpoints_of(source: str) -> Iterator[str]:
    """The names; {} stands for what is known only when it runs."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.reached":
            parts = node.args[0]
            pieces = parts.values if isinstance(parts, ast.JoinedStr) else [parts]
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in pieces)


def test_every_failpoint_is_crashed_at_by_a_test() -> None:
    named = {name for names in CRASHED_BY.values() for name in names}
    there = {
        name
        for path in CODE.rglob("*.py")
        if "failpoints.reached" in (source := path.read_text())
        for name in failpoints_of(source)
    }

    assert there == named, "add it to tests/faults/crash_points.py, with a test that crashes there"
    assert len(there) > 30


def test_the_tests_that_crash_exist() -> None:
    for test in CRASHED_BY:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / path).read_text(), test
