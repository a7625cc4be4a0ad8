"""No code decides by the wording of a message: states and kinds are enums and fields."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import Nodes, nodes_of, source_nodes

#: Fields with texts for people. Another field has the same fact.
MESSAGES = frozenset({"reason", "error", "detail", "message", "stopped_by", "cancelled_by"})
#: Adapters parse the output of other programs. The other modules read texts of earlier versions,
#: or parse the messages of a library.
EXEMPT = (
    "agents/",
    "gates/",
    "git/",
    "store/migrations/",
    "schemas/fields/validation_errors.py",
)
#: Messages of version 0.1.0, whose records have no cause; the output of a worker's own tool,
#: masked, or searched for the words of a full disk; and OpenSSL's name of an error.
ALLOWED = {
    "core/model/attempt/attempt_result.py": {
        "error.startswith(start)",
        "_OF_CANCEL.get(stopped_by, ExitCause.NONE)",
        "stopped_by.startswith('max_wall_seconds')",
    },
    "engine/attempts/evidence_reader.py": {"evidence.error in masked_output"},
    "launchers/cluster/node/server_dialer.py": {"error.reason in _REJECTIONS"},
    "core/outcome/failure_rules.py": {"_DISK_FULL.search(evidence.error)"},
}
TESTS_OF_TEXT = frozenset({"startswith", "endswith", "removeprefix", "find", "index", "count"})


@pytest.mark.parametrize(
    "source",
    [
        'job.reason == "waiting for approval"',
        'job.reason.startswith(("not", "in"))',
        '"no job" not in error.message',
        'answer["reason"] != WAITS',
        'answer.get("detail").endswith("x")',
        "exit.error in KNOWN",
        "exit.stopped_by not in ('', SHUTDOWN)",
        "(job.cancelled_by or '').startswith(WALL_TIME)",
        "str(worker.reason).startswith('waits')",
        "re.match('a', exit.error)",
        "KNOWN[exit.stopped_by]",
        "KNOWN.get(exit.stopped_by)",
    ],
)
def test_a_decision_on_wording_is_found(source: str) -> None:
    assert list(decisions(nodes_of(source)))


@pytest.mark.parametrize(
    "source",
    [
        'reason = job.reason or ""',
        "if job.reason:\n    pass",
        "job.reason != ''",
        "job.cancelled_by is not None",
        "job.stop_cause == StopCause.USER",
        'answer["reason"] = "x"',
    ],
)
def test_a_message_may_be_shown_and_may_be_absent(source: str) -> None:
    assert not list(decisions(nodes_of(source)))


def test_nothing_decides_by_the_wording_of_a_message() -> None:
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for path, nodes in source_nodes().items()
        if not (name := path.as_posix()).startswith(EXEMPT)
        for node in decisions(nodes)
        if ast.unparse(node) not in ALLOWED.get(name, ())
    ]

    assert not found, f"make it an enum or a field (core/model/states.py): {found}"


def decisions(nodes: Nodes) -> Iterator[ast.expr]:
    """Yield comparisons, searches, and look-ups by the text of a message."""
    for node in nodes:
        if isinstance(node, ast.expr) and (_compares(node) or _searches(node) or _keys(node)):
            yield node


def _keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and _is_message(node.slice)


def _compares(node: ast.expr) -> bool:
    if not isinstance(node, ast.Compare):
        return False
    operands = [node.left, *node.comparators]
    texts = not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
    absent = any(isinstance(each, ast.Constant) and not each.value for each in operands)
    return texts and not absent and any(map(_is_message, operands))


def _searches(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    called = node.func
    if called.attr in TESTS_OF_TEXT and _is_message(called.value):
        return True
    return called.attr in {"match", "search", "fullmatch", "get"} and any(
        map(_is_message, node.args)
    )


def _is_message(node: ast.expr) -> bool:
    """True if the expression reads an attribute or a key whose name is in ``MESSAGES``.

    Also true inside ``str(...)``, and with a default value.
    """
    match node:
        case ast.Attribute(attr=name):
            return name in MESSAGES
        case ast.Subscript(slice=ast.Constant(value=name)):
            return name in MESSAGES
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=name), *_]):
            return name in MESSAGES
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return _is_message(inner)
        case ast.BoolOp(values=values):
            return any(map(_is_message, values))
        case _:
            return False
