"""Values from JSON with arbitrary content."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.text import json_values

DEEP = "[" * 100_000

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_every_value_is_of_its_kind_or_not_there(value: object) -> None:
    held = {"a": value}
    assert isinstance(json_values.mapping(held, "a"), dict)
    assert isinstance(json_values.sequence(held, "a"), list)
    assert json_values.text(held, "a").encode() is not None
    assert json_values.flag(held, "a") in (None, True, False)
    for found in (json_values.number(value), json_values.count(held, "a")):
        assert found is None or 0 <= found < float("inf")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", DEEP.encode()])
def test_a_body_without_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        json_values.decoded(body)


@pytest.mark.parametrize("line", ["", "[]", "text", "{", '{"a":' + DEEP])
def test_a_line_is_an_object_or_nothing(line: str) -> None:
    assert json_values.parsed(line) is None


def test_a_number_may_come_as_text_and_a_count_may_not() -> None:
    assert json_values.number("2.5") == 2.5 and json_values.number("nan") is None
    assert json_values.count({"a": 7.0}, "a") == 7 and json_values.count({"a": "7"}, "a") is None
    assert json_values.number(True) is None and json_values.number(10**400) is None


def test_half_of_a_character_pair_becomes_a_question_mark() -> None:
    assert json_values.text(json.loads('{"a": "x\\ud800"}'), "a") == "x?"


@pytest.mark.parametrize(
    ("text", "openings", "values"),
    [
        ('{"a": {"b": 1}} and {"c": 2}', "{", [{"a": {"b": 1}}, {"c": 2}]),
        ('[{"a": 1}] {x} {"b": 2}', "{", [{"a": 1}, {"b": 2}]),
        ('[{"a": 1}] {x} {"b": 2}', "{[", [[{"a": 1}], {"b": 2}]),
        ("no JSON {here", "{[", []),
        (DEEP, "{[", []),
        ('{} {} {} {"the fourth": "is not tried"}', "{", [{}, {}, {}]),
    ],
)
def test_values_are_found_in_a_text(text: str, openings: str, values: list[object]) -> None:
    found = list(json_values.values_in(text, openings, 3))
    assert [value for _, value in found] == values
    assert all(text.count(json.dumps(value)) for value in values)
    assert [length for length, _ in found] == [len(json.dumps(value)) for value in values]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"5.0", 5),
        (b"-5e1", -50),
        (b"5.5", 5.5),
        (b"1e300", 1e300),
        (b"9007199254740993.0", 9007199254740992.0),
        (b"1e400", float("inf")),
    ],
)
def test_a_number_without_a_fraction_is_an_integer(raw: bytes, value: float) -> None:
    found = json_values.strict_json(raw, 1)
    assert (found, type(found)) == (value, type(value))
