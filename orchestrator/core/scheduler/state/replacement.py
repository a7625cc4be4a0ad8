"""Frozen values that differ from others in some fields."""

from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

Value = TypeVar("Value")

_set = object.__setattr__


def changed(value: Value, /, **changes: Any) -> Value:
    """As ``dataclasses.replace`` does, for frozen dataclasses with slots and no ``__post_init__``.

    In half of the time: the unit of work does it five times a worker. Raise AttributeError for a
    field that there is none of.
    """
    kind: Any = type(value)
    new: Value = object.__new__(kind)
    setters, fields_of = _slots(kind)
    for set_field, field in zip(setters, fields_of(value), strict=True):
        set_field(new, field)
    for name, field in changes.items():
        _set(new, name, field)
    return new


@cache
def _slots(kind: type) -> tuple[list[Any], Any]:
    """What sets each field, and what reads all of them. For kinds of at least two fields."""
    names: Any = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    return [getattr(kind, name).__set__ for name in names], attrgetter(*names)
