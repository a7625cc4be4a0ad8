"""Converts JSON values from other machines to typed values, and back.

| type of a field | JSON value |
| --- | --- |
| ``str``, ``bool``, ``None`` | text; true or false; null |
| ``int`` | a whole number of 64 bits |
| ``float`` | a finite number |
| ``bytes`` | text in Base64 |
| an enum | one of its values |
| ``tuple`` | a list |
| ``Mapping[str, ...]`` | an object |
| a dataclass | an object; fields with a default may be missing |
| ``Annotated[..., Conversion(...)]`` | a value that the function of the ``Conversion`` accepts |
| ``Any`` | any value |

No value is coerced: true is not a number, and a number is not text. Unknown fields are ignored.

This module does not use pydantic. In strict mode, pydantic converts lists to tuples and Base64 to
bytes only if pydantic also parses the JSON. But pydantic's parser rejects text such as
``"\\udcff"``, which stands for a byte of a command or path that is not valid UTF-8.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from orchestrator.core.errors import OrchestratorError

Value = TypeVar("Value")
_Reader = Callable[[Any], Any]

#: Numbers are below this limit, so that calculations with them cannot overflow.
_NUMBER_LIMIT = 2**63
_SAME_IN_JSON = frozenset({str, int, float, bool, NoneType})


class WrongType(OrchestratorError):
    """A JSON value does not have the type of its field."""

    def __init__(self, expected: str, path: str = "") -> None:
        """``path``: the names of the fields that lead to the value, separated by periods."""
        super().__init__(f"{path or 'the value'} must be {expected}")
        self._expected, self._path = expected, path

    def inside(self, name: str) -> "WrongType":
        """Return this error for a value in the field ``name``."""
        return WrongType(self._expected, f"{name}.{self._path}" if self._path else name)


class Conversion(NamedTuple):
    """How to read a value whose type alone is not specific enough."""

    #: Function that converts the JSON value. It may raise ValueError, LookupError, TypeError, or
    #: AttributeError.
    convert: Callable[[Any], Any]
    #: Description of a valid value, for the error.
    expected: str


def typed(kind: type[Value], value: object) -> Value:
    """Convert a JSON value to the type ``kind``. Raise WrongType if it has another type."""
    hashable_kind: Any = kind
    converted: Value = _reader(hashable_kind)(value)
    return converted


def plain(value: object) -> Any:
    """Convert a value to JSON. The opposite of ``typed``."""
    if type(value) in _SAME_IN_JSON:
        return value
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return value


@cache
def _reader(kind: Any) -> _Reader:
    """Return the function that converts a JSON value to a type.

    The function raises WrongType if the value has another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _CONVERSIONS:
        return _converting(_CONVERSIONS[kind])
    if origin is Annotated:
        return _converting(inner[1])
    if origin in (Union, UnionType):
        return _reader_of_union([_reader(each) for each in inner])
    if origin is tuple and inner[-1] is ...:
        return _reader_of_list(_reader(inner[0]))
    if origin is tuple:
        return _reader_of_row([_reader(each) for each in inner])
    if origin is Mapping:
        return _reader_of_mapping(_reader(inner[1]))
    if is_dataclass(kind):
        return _reader_of_object(kind)
    if issubclass(kind, Enum):
        return _converting(
            Conversion(kind, f"one of {', '.join(repr(each.value) for each in kind)}")
        )
    raise TypeError(f"no JSON value has the type {kind}")


def _converting(conversion: Conversion) -> _Reader:
    def read(value: object) -> Any:
        try:
            return conversion.convert(value)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # RecursionError: the conversion raised another error. Its message shows the value, but
            # the value is nested too deeply to be shown.
            raise WrongType(conversion.expected) from None

    return read


def _reader_of_union(readers: Sequence[_Reader]) -> _Reader:
    def read(value: object) -> Any:
        errors = []
        for each in readers:
            try:
                return each(value)
            except WrongType as error:
                errors.append(error)
        raise errors[0]

    return read


def _reader_of_list(member: _Reader) -> _Reader:
    def read(value: object) -> Any:
        items = enumerate(_read_list(value))
        return tuple([_read_inside(str(at), member, item) for at, item in items])

    return read


def _reader_of_row(members: Sequence[_Reader]) -> _Reader:
    def read(value: object) -> Any:
        items = _read_list(value)
        if len(items) != len(members):
            raise WrongType(f"a list of {len(members)} values")
        pairs = zip(members, items, strict=True)
        return tuple([_read_inside(str(at), *pair) for at, pair in enumerate(pairs)])

    return read


def _reader_of_mapping(member: _Reader) -> _Reader:
    def read(value: object) -> Any:
        items = _read_object(value).items()
        # The error does not contain the name: the other machine chose it, and it may be long.
        return {name: _read_inside("*", member, item) for name, item in items}

    return read


def _reader_of_object(kind: Any) -> _Reader:
    declared: Sequence[Any] = fields(kind)
    members = [
        (each.name, _reader(each.type), each.default is each.default_factory is MISSING)
        for each in declared
    ]

    def read(value: object) -> Any:
        source, arguments = _read_object(value), {}
        for name, member, is_required in members:
            if name in source:
                arguments[name] = _read_inside(name, member, source[name])
            elif is_required:
                raise WrongType("present", name)
        return kind(**arguments)

    return read


def _read_inside(name: str, member: _Reader, value: object) -> Any:
    try:
        return member(value)
    except WrongType as error:
        raise error.inside(name) from None


def _exactly(kind: type[Value]) -> Callable[[object], Value]:
    def convert(value: object) -> Value:
        if type(value) is not kind:
            raise TypeError
        return value

    return convert


def _limited(number: int | float, least: int = -_NUMBER_LIMIT) -> int | float:
    if not least <= number < _NUMBER_LIMIT:
        raise ValueError
    return number


def _whole_number(value: object) -> int:
    return int(_limited(_exactly(int)(value)))


def _count(value: object) -> int:
    return int(_limited(_exactly(int)(value), least=0))


def _finite_number(value: object) -> float:
    return float(_limited(value if isinstance(value, float) else _exactly(int)(value)))


def _bytes(value: object) -> bytes:
    return b64decode(_exactly(str)(value), validate=True)


_CONVERSIONS: Mapping[Any, Conversion] = {
    Any: Conversion(lambda value: value, "any value"),
    NoneType: Conversion(_exactly(NoneType), "null"),
    bool: Conversion(_exactly(bool), "true or false"),
    bytes: Conversion(_bytes, "text in Base64"),
    float: Conversion(_finite_number, "a finite number"),
    int: Conversion(_whole_number, "a whole number of 64 bits"),
    str: Conversion(_exactly(str), "text"),
}

_read_list = _converting(Conversion(_exactly(list), "a list"))
_read_object = _converting(Conversion(_exactly(dict), "an object"))

#: A whole number that is not negative.
Count = Annotated[int, Conversion(_count, "a whole number that is not negative")]
