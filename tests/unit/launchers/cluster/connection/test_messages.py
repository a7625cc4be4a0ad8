"""Messages between server and node: their JSON, and messages of a hostile machine."""

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.launchers.cluster.connection import messages
from orchestrator.launchers.cluster.connection.messages import (
    EndReport,
    InvalidMessage,
    Message,
    Rejection,
    Release,
    SnapshotPiece,
    Welcome,
    decode_answer_to_hello,
    decode_from_node,
    decode_from_server,
    decode_hello,
    decode_release,
    encode,
)
from tests.support.examples import examples
from tests.unit.launchers.cluster.connection.wire_examples import (
    EXIT,
    FROM_NODE,
    FROM_SERVER,
    HELLO,
    WELCOME,
)

Decode = Callable[[dict[str, Any]], Message | None]

ROWS: Sequence[tuple[Decode, Message, str]] = [
    *((decode_from_node, *row) for row in FROM_NODE),
    *((decode_from_server, *row) for row in FROM_SERVER),
]
IDS = [f"{decode.__name__}-{type(message).__name__}" for decode, message, _ in ROWS]
#: A value of each JSON type, and values that overflow in calculations.
VALUES: Sequence[Any] = (
    *(None, True, 0, -1, 2**63, 10**400, 0.5, float("nan"), float("inf"), 1e300),
    *("", "text", "eA==", "x===", "\ud800", [], [1], ["text"], [[]], {}, {"text": 1}, {"text": {}}),
)


def nested(wrap: Callable[[Any], Any]) -> Any:
    """Return a value that is nested deeper than Python's limit of nested calls."""
    value: Any = 1
    for _ in range(2000):
        value = wrap(value)
    return value


NESTED = (nested(lambda inner: [inner]), nested(lambda inner: {"text": inner}))

each_message = pytest.mark.parametrize(("decode", "message", "text"), ROWS, ids=IDS)


@each_message
def test_a_message_has_the_fields_of_its_kind(decode: Decode, message: Message, text: str) -> None:
    assert json.dumps(encode(message)) == text
    assert decode(json.loads(text)) == message


def test_each_kind_has_an_example() -> None:
    assert {type(message) for message, _ in FROM_NODE} == set(get_args(messages.NodeMessage))
    assert {type(message) for message, _ in FROM_SERVER} == set(get_args(messages.ServerMessage))


@pytest.mark.parametrize("decode", [decode_from_node, decode_from_server])
def test_an_unknown_kind_is_no_message_and_no_error(decode: Decode) -> None:
    assert decode({"is": "later", "do": "later", "n": []}) is None


@pytest.mark.parametrize("decode", [decode_from_node, decode_from_server])
@pytest.mark.parametrize("kind", [None, 5, [], {}, True])
def test_a_message_without_a_kind_is_invalid(decode: Decode, kind: object) -> None:
    for fields in ({}, {"is": kind, "do": kind}):
        with pytest.raises(InvalidMessage, match="no kind"):
            decode(fields)


@each_message
def test_unknown_fields_are_ignored(decode: Decode, message: Message, text: str) -> None:
    assert decode({**json.loads(text), "later": [[]]}) == message


@each_message
def test_a_message_without_one_of_its_fields_is_invalid(
    decode: Decode, message: Message, text: str
) -> None:
    # A piece of a snapshot without its data equals an answer.
    required = {each.name for each in dataclasses.fields(message) if each.default is MISSING}
    for name in required - ({"data"} if isinstance(message, SnapshotPiece) else set()):
        fields = json.loads(text)
        del fields[name]
        with pytest.raises(InvalidMessage, match=f"{name} must be present"):
            decode(fields)


@each_message
def test_a_message_without_a_value_inside_a_field_raises_no_other_error(
    decode: Decode, message: Message, text: str
) -> None:
    for path in paths(json.loads(text)):
        fields = json.loads(text)
        del parent(fields, path)[path[-1]]
        check(decode, fields)


@each_message
def test_a_field_of_a_wrong_type_is_invalid(decode: Decode, message: Message, text: str) -> None:
    for path in paths(json.loads(text)):
        for value in (*VALUES, *NESTED):
            fields = json.loads(text)
            parent(fields, path)[path[-1]] = value
            check(decode, fields)


@pytest.mark.parametrize(
    ("decode", "text", "path", "value", "says"),
    [
        (decode_from_node, '{"is": "beat"}', ["n"], True, "Heartbeat: n must be a whole number"),
        (decode_from_node, '{"is": "had"}', ["bytes"], -1, "bytes must be a whole number that is"),
        (decode_from_node, '{"is": "had"}', ["bytes"], 10**400, "bytes must be a whole number"),
        (decode_from_node, '{"is": "beat", "n": 1}', ["memory"], 0.5, "memory must be a whole"),
        (decode_from_node, HELLO, ["python"], [3], "python must be a list of 2 values"),
        (decode_from_node, HELLO, ["python"], "3.11", "python must be a list"),
        (decode_from_node, HELLO, ["own_files"], 1, "own_files must be true or false"),
        (decode_from_node, HELLO, ["known"], [5], "known.0 must be text"),
        (decode_from_node, HELLO, ["time"], float("inf"), "time must be a finite number"),
        (decode_from_node, HELLO, ["time"], 10**400, "time must be a finite number"),
        (decode_from_node, HELLO, ["attempts"], {"j": {"log": "5"}}, "attempts.*.* must be a"),
        (decode_from_server, WELCOME, ["terms"], [], "terms must be an object"),
        (decode_from_server, WELCOME, ["terms", "lease"], "8", "terms.lease must be a finite"),
        (
            decode_from_server,
            WELCOME,
            ["containment", "mode"],
            "none",
            "containment.mode must be one of 'auto'",
        ),
        (decode_from_server, WELCOME, ["agents"], [1], "agents.0 must be an object"),
        (decode_from_server, '{"do": "refused"}', ["why"], None, "why must be text"),
    ],
)
def test_the_error_names_the_field(
    decode: Decode, text: str, path: list[str], value: object, says: str
) -> None:
    fields = json.loads(text)
    parent(fields, path)[path[-1]] = value

    with pytest.raises(InvalidMessage) as found:
        decode(fields)

    assert says in found.value.message


@pytest.mark.parametrize("data", ["x", "x===", "e A==", "\u00e9", 5, None, [], {}])
def test_a_piece_whose_data_are_not_base64_is_invalid(data: object) -> None:
    piece = {"is": "piece", "attempt": "j", "file": "log", "at": 0, "data": data}
    snapshot = {"is": "snapshot", "attempt": "j", "n": 1, "at": 0, "data": data}
    for fields in (piece, snapshot):
        with pytest.raises(InvalidMessage, match="data must be text in Base64"):
            decode_from_node(fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [("ended_at", 1e12), ("strays", [{"pid": -1, "command": ""}]), ("strays", 5), ("code", 2**40)],
)
def test_an_end_out_of_range_is_invalid(field: str, value: object) -> None:
    exit = {**json.loads(EXIT), field: value}
    with pytest.raises(InvalidMessage, match="exit must be the end of an attempt"):
        decode_from_node({"is": "ended", "attempt": "j", "exit": exit, "record": "", "files": None})


def test_a_record_that_no_exit_record_file_can_have_is_invalid() -> None:
    ended = {"is": "ended", "attempt": "j", "exit": json.loads(EXIT), "files": None}
    assert isinstance(decode_from_node({**ended, "record": "{}"}), EndReport)
    for record in ('{"error": "\u00e9"}', "\ud800"):
        with pytest.raises(InvalidMessage, match="record must be ASCII text"):
            decode_from_node({**ended, "record": record})


def test_the_release_of_a_node_is_read_although_its_hello_has_other_fields() -> None:
    found = decode_release({"is": "hello", "version": "0.1.0", "python": [3, 10], "slots": "many"})
    assert found == Release(version="0.1.0", python=(3, 10), code="")
    for python in (3, [], [3], ["3", "11"], [3, 11, 7]):
        with pytest.raises(InvalidMessage):
            decode_release({"is": "hello", "version": "0.1.0", "python": python})


def test_the_first_message_has_a_kind_of_its_own() -> None:
    assert decode_hello(json.loads(HELLO)) == FROM_NODE[0][0]
    for _, text in FROM_NODE[1:]:
        with pytest.raises(InvalidMessage, match="first message"):
            decode_hello(json.loads(text))
    for _, text in FROM_SERVER[2:]:
        with pytest.raises(InvalidMessage, match="first message"):
            decode_answer_to_hello(json.loads(text))
    assert isinstance(decode_answer_to_hello(json.loads(WELCOME)), Welcome)
    assert isinstance(decode_answer_to_hello({"do": "refused", "why": "x"}), Rejection)


ANY_VALUE = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        st.sampled_from(VALUES),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=examples(100, 3000))
@given(st.data())
def test_no_message_of_a_hostile_machine_raises_another_error(data: st.DataObject) -> None:
    decode, _, text = data.draw(st.sampled_from(ROWS))
    fields = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        found = sorted(paths(fields), key=str)
        if not found:
            break
        path = data.draw(st.sampled_from(found))
        parent(fields, path)[path[-1]] = copy.deepcopy(data.draw(ANY_VALUE))

    check(decode, fields)


def check(decode: Decode, fields: dict[str, Any]) -> None:
    """Assert that a message is invalid, or that its values are read without any conversion."""
    try:
        message = decode(fields)
    except InvalidMessage as error:
        assert len(error.message) < 300
        return
    if isinstance(message, Welcome):
        # The descriptions of agents may have any values inside.
        message, fields = replace(message, agents=()), {**fields, "agents": []}
    # ``exit_from`` fits the end of an attempt.
    if message is not None and not isinstance(message, EndReport):
        assert_read(encode(message), fields)


def assert_read(encoded: Any, original: Any) -> None:
    """Assert that ``encoded`` has the values of ``original``.

    ``original`` may also have unknown fields, and lack fields with default values.
    """
    if isinstance(encoded, dict):
        for name in encoded.keys() & original.keys():
            assert_read(encoded[name], original[name])
    elif isinstance(encoded, list):
        for pair in zip(encoded, original, strict=True):
            assert_read(*pair)
    else:
        assert encoded == original
        assert (type(encoded) is bool) == (type(original) is bool)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths of all fields and list elements inside a JSON value."""
    if len(above) > 5:
        return
    inside: list[Any] = []
    if isinstance(value, dict):
        inside = list(value)
    elif isinstance(value, list):
        inside = list(range(len(value)))
    for each in inside:
        yield (*above, each)
        yield from paths(value[each], (*above, each))


def parent(value: Any, path: Sequence[Any]) -> Any:
    for each in path[:-1]:
        value = value[each]
    return value
