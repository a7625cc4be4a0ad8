"""JSON values of other machines: strict types, and errors that name the field."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.launchers.cluster.connection.typed_json import Count, WrongType, plain, typed


class Color(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Part:
    data: bytes
    color: Color = Color.RED


@dataclass(frozen=True, slots=True)
class Whole:
    name: str
    size: Count
    share: float
    part: Part | None
    parts: tuple[Part, ...] = ()
    pair: tuple[int, bool] = (0, False)
    by_name: Mapping[str, tuple[int, ...]] | None = None


WHOLE = Whole(
    name="w",
    size=3,
    share=0.5,
    part=Part(b"\0", Color.RED),
    parts=(Part(b""), Part(b"xyz")),
    pair=(-1, True),
    by_name={"a": (1, 2), "b": ()},
)
AS_JSON = {
    "name": "w",
    "size": 3,
    "share": 0.5,
    "part": {"data": "AA==", "color": "red"},
    "parts": [{"data": "", "color": "red"}, {"data": "eHl6", "color": "red"}],
    "pair": [-1, True],
    "by_name": {"a": [1, 2], "b": []},
}


def test_a_value_becomes_json_and_back() -> None:
    assert plain(WHOLE) == AS_JSON
    assert typed(Whole, AS_JSON) == WHOLE


def test_a_missing_field_has_its_default_and_an_unknown_field_is_ignored() -> None:
    found = typed(Whole, {"name": "", "size": 0, "share": 1, "part": None, "later": 1})
    assert found == Whole("", 0, 1.0, None)
    assert type(found.share) is float


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": 1}, "name must be text"),
        ({"size": True}, "size must be a whole number that is not negative"),
        ({"size": -1}, "size must be a whole number that is not negative"),
        ({"size": 2**63}, "size must be a whole number that is not negative"),
        ({"share": False}, "share must be a finite number"),
        ({"share": float("nan")}, "share must be a finite number"),
        ({"share": "1"}, "share must be a finite number"),
        ({"part": []}, "part must be an object"),
        ({"part": {}}, "part.data must be present"),
        ({"part": {"data": "?"}}, "part.data must be text in Base64"),
        ({"part": {"data": "", "color": "blue"}}, "part.color must be one of 'red'"),
        ({"parts": {}}, "parts must be a list"),
        ({"parts": [{"data": ""}, None]}, "parts.1 must be an object"),
        ({"pair": [1]}, "pair must be a list of 2 values"),
        ({"pair": [1, 1]}, "pair.1 must be true or false"),
        ({"pair": [-(2**63) - 1, True]}, "pair.0 must be a whole number of 64 bits"),
        ({"by_name": {"x" * 1000: [0.5]}}, "by_name.*.0 must be a whole number of 64 bits"),
    ],
)
def test_no_value_is_coerced_and_the_error_names_the_field(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(WrongType) as found:
        typed(Whole, {**AS_JSON, **changes})
    assert found.value.message == says


def test_a_value_that_is_no_object_is_named_as_the_value() -> None:
    with pytest.raises(WrongType, match="the value must be an object"):
        typed(Whole, None)
