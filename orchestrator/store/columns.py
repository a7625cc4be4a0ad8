"""How single values lie in columns: text, members of enums, documents.

Any Python text comes back exactly as it was, although PostgreSQL holds no NUL and no database
holds a lone surrogate: such characters are kept as ESCAPE and four hexadecimal digits. Times and
durations are finite numbers.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any

import pydantic_core
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

#: SUBSTITUTE: a control character that hardly occurs in text.
ESCAPE = "\x1a"
_UNSTORABLE = re.compile("[\0\x1a\ud800-\udfff]")
_ESCAPED = re.compile(ESCAPE + "([0-9a-f]{4})")


def stored(text: str) -> str:
    """Text that every database can hold."""
    # Printable text holds neither control characters nor surrogates.
    if text.isprintable():
        return text
    return _UNSTORABLE.sub(lambda found: f"{ESCAPE}{ord(found[0]):04x}", text)


def restored(text: str) -> str:
    """What ``stored`` was given."""
    if ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _plain(value: Any) -> object:
    """What JSON has for a value of the core."""
    if is_dataclass(value):
        # As ``fields`` does, without building a tuple of them for every value.
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be stored")


# Unescaped, so that two lone surrogates are not read back as the one character they spell.
_any_to_json = json.JSONEncoder(default=_plain, ensure_ascii=False, separators=(",", ":")).encode


def _to_json(value: Any) -> str:
    try:
        # Takes a third of the time, which every end of a worker needs twice.
        return pydantic_core.to_json(value, fallback=_plain).decode()
    except pydantic_core.PydanticSerializationError:
        return _any_to_json(value)  # it holds a lone surrogate


def _from_json(text: str) -> Any:
    try:
        return pydantic_core.from_json(text)
    except (TypeError, ValueError):
        return json.loads(text)


class Kept(TypeDecorator[Any]):
    """A column of text that ``write`` makes of a value and ``read`` makes a value of.

    The processors are these functions themselves: the usual hooks cost two more calls a value.
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


class PlainText(Kept):
    """Text as it is."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        return _stored_or_none

    def read(self, text: str) -> str:
        return restored(text)


def _stored_or_none(text: str | None) -> str | None:
    # As ``stored`` does; most of 35 texts for every worker are plain, and a call takes longer.
    return text if text is None or text.isprintable() else stored(text)


class Member(Kept):
    """A member of an enum, by its value; it may be compared with any text."""

    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind
        self._texts: Mapping[str, str] = {member: str(member) for member in kind}

    def write(self, value: str) -> str:
        return self._texts.get(value) or stored(str(value))

    def read(self, text: str) -> StrEnum:
        return self.kind(text)


class Document(Kept):
    """A tuple, mapping or dataclass as compact JSON; ``make`` makes it of what JSON holds."""

    cache_ok = True

    def __init__(self, make: Callable[[Any], object]) -> None:
        super().__init__()
        self.make = make

    def write(self, value: Any) -> str:
        if not value:
            return "[]" if isinstance(value, tuple) else "{}"
        return stored(_to_json(value))

    def read(self, text: str) -> Any:
        return self.make(_from_json(restored(text)))
