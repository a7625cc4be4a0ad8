"""Column types for single values: text, members of enums, documents.

Any Python text is read back exactly as it was written. Two kinds of characters cannot be stored:
NUL in PostgreSQL, and lone surrogates in any database. Therefore such a character is stored as
ESCAPE and four hexadecimal digits. This form never changes: existing databases contain it, and
migrations read it. Times and durations are finite numbers.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

import pydantic_core
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.worker_result import WorkerResult

#: The control character SUBSTITUTE, which rarely occurs in text.
ESCAPE = "\x1a"
_NO_NAMES = "[]"
_UNSTORABLE = re.compile("[\0\x1a\ud800-\udfff]")
_ESCAPED = re.compile(ESCAPE + "([0-9a-f]{4})")


def escape(text: str) -> str:
    """Return a text in the form that every database can store. ``unescape`` restores the text."""
    # Printable text has neither control characters nor surrogates.
    if text.isprintable():
        return text
    return _UNSTORABLE.sub(lambda match: f"{ESCAPE}{ord(match[0]):04x}", text)


def unescape(text: str) -> str:
    """Return the original of a text that ``escape`` returned."""
    if ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _jsonable(value: Any) -> object:
    if is_dataclass(value):
        # Unlike ``dataclasses.fields``, this does not build a tuple for every value.
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be stored")


# Do not escape characters. Otherwise, two lone surrogates in a row would be escaped, and read back
# as one character.
_any_to_json = json.JSONEncoder(default=_jsonable, ensure_ascii=False, separators=(",", ":")).encode


def _to_json(value: Any) -> str:
    try:
        # This encoder takes a third of the time of ``json``. Two values are encoded whenever a
        # worker ends.
        return pydantic_core.to_json(value, fallback=_jsonable).decode()
    except pydantic_core.PydanticSerializationError:
        return _any_to_json(value)  # the value has a lone surrogate


def _from_json(text: str) -> Any:
    try:
        return pydantic_core.from_json(text)
    except (TypeError, ValueError):
        return json.loads(text)


def _defaults(kind: type) -> dict[str, object]:
    factories = ((each, each.default_factory) for each in fields(kind))
    return {
        each.name: factory() if factory is not MISSING else each.default
        for each, factory in factories
    }


#: Classes whose fields are stored only if they differ from their defaults, because most values
#: differ in few fields. For each class: the names of its fields, the defaults, and a function that
#: returns a value's fields. Never change a default, because stored values depend on the default.
_SPARSE: Mapping[type, tuple[Collection[str], Collection[object], Callable[[Any], Any]]] = {
    kind: (defaults.keys(), defaults.values(), attrgetter(*defaults))
    for kind, defaults in ((each, _defaults(each)) for each in (WorkerResult, TaskSpec))
}


def _without_defaults(value: Any) -> Any:
    sparse = _SPARSE.get(type(value))
    if sparse is None:
        return value
    names, defaults, fields_of = sparse
    return {
        name: field
        for name, field, default in zip(names, fields_of(value), defaults, strict=True)
        if field is not default and field != default
    }


class TextCodec(TypeDecorator[Any]):
    """A text column: ``write`` converts a value to text, and ``read`` converts it back.

    ``bind_processor`` and ``result_processor`` call these two methods, because the usual hooks of a
    ``TypeDecorator`` would cost two more calls per value.
    """

    impl = Text
    cache_ok = True

    def write(self, value: Any) -> str:
        raise NotImplementedError

    def read(self, text: str) -> Any:
        raise NotImplementedError

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        write = self.write
        return lambda value: None if value is None else write(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        read = self.read
        return lambda text: None if text is None else read(text)


class PlainText(TextCodec):
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        return _stored_or_none

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _restored_or_none


def _restored_or_none(text: str | None) -> str | None:
    # This repeats the check in ``unescape``, because most texts then need no call of ``unescape``.
    return text if text is None or ESCAPE not in text else unescape(text)


def _stored_or_none(text: str | None) -> str | None:
    # This repeats the check in ``escape``, because printable text then needs no call of ``escape``.
    # Most of a worker's 35 texts are printable.
    return text if text is None or text.isprintable() else escape(text)


class Member(TextCodec):
    """A column that stores members of an enum as their values.

    The column can be compared with any text.
    """

    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind
        self._members: Mapping[str, StrEnum] = {str(member): member for member in kind}

    def write(self, value: str) -> str:
        # ``_value_`` is faster than ``str``, and than a mapping with members as keys, because
        # ``__hash__`` of a member is Python code.
        return value._value_ if type(value) is self.kind else escape(str(value))

    def read(self, text: str) -> StrEnum:
        return self._members.get(text) or self.kind(text)


class Document(TextCodec):
    """A column of tuples, mappings, or dataclasses, stored as compact JSON.

    ``make`` converts the parsed JSON to the value.
    """

    cache_ok = True

    def __init__(self, make: Callable[[Any], object]) -> None:
        super().__init__()
        self.make = make

    def write(self, value: Any) -> str:
        if not value:
            return _NO_NAMES if isinstance(value, tuple) else "{}"
        return escape(_to_json(_without_defaults(value)))

    def read(self, text: str) -> Any:
        return self.make(_from_json(unescape(text)))


def names_of(text: str) -> tuple[str, ...]:
    return () if text == _NO_NAMES else tuple(_from_json(unescape(text)))
