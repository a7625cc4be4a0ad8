"""Validation errors of a request, each with a text and the location of the invalid value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import plural
from orchestrator.core.text.unknown_names import similar_name, unknown_name
from orchestrator.schemas.fields.bounded_types import PATTERN_WORDS

Location = tuple[int | str, ...]

_PYDANTIC_PREFIXES = ("Value error, ", "Assertion failed, ")

#: Messages by pydantic's type of error, in terms of JSON. Pydantic's messages use Python's terms.
_PLAIN_WORDS = {
    "missing": "is required",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number, without quotes or a unit",
    "float_type": "must be a number, without quotes or a unit",
    "string_type": "must be text, in quotes",
    "string_unicode": "a name contains a lone surrogate (half of a character pair)",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    **dict.fromkeys(
        (
            "datetime_type",
            "datetime_parsing",
            "datetime_from_date_parsing",
            "datetime_object_invalid",
            "timezone_aware",
        ),
        "must be a time with a time zone, such as 2026-01-31T12:00:00Z",
    ),
}

#: Messages with a limit, by pydantic's type of error. Pydantic's name of the limit is in braces.
_PLAIN_LIMITS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
}


#: Types of faults whose only problem is the size of a text or a list.
TOO_LONG = frozenset({"string_too_long", "too_long", "too_large"})

#: Parts of an error's location that pydantic adds, and that are not in the request. "[key]" follows
#: a key of a mapping. The other parts name the form of a value, such as a list.
_NO_LOCATIONS = frozenset({"[key]", "[command]", "[object]", "[word]", "[list]", "[name]"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    location: Location
    detail: str
    type: str

    @property
    def pointer(self) -> str:
        """The location of the value as a JSON pointer (RFC 6901); empty for the whole document."""
        return "".join(
            "/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.location
        )

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.location else self.detail


def faults(
    error: ValidationError, model: type[BaseModel], order: Callable[[Location], Any] | None = None
) -> list[Fault]:
    """Return the validation errors of a request for ``model``.

    The errors may quote names, ids, paths, and line numbers of the request, but no other text. If
    several errors are about unknown fields of the same object type, only the first error lists the
    known fields. ``order``: sort key of a location; None: pydantic's order.
    """
    errors: list[dict[str, Any]] = [
        dict(item) for item in error.errors(include_url=False, include_input=False)
    ]
    locations = [_location(item) for item in errors]
    pairs = list(zip(errors, locations, strict=True))
    if order is not None:
        pairs.sort(key=lambda pair: order(pair[1]))
    listed: set[tuple[str, ...]] = set()
    all_faults = [
        Fault(location=location, detail=_detail(item, location, model, listed), type=item["type"])
        for item, location in pairs
    ]
    # Pydantic does not count invalid entries, and so also reports that the list is too short. Omit
    # such an error.
    return [
        each
        for each in all_faults
        if each.type != "too_short" or not _has_invalid(each, all_faults)
    ]


def summary(errors: Sequence[Fault]) -> str:
    """Return the first error as text, with the number of further errors."""
    more = f" ({plural(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"


def _has_invalid(fault: Fault, all_faults: Sequence[Fault]) -> bool:
    # ``fault`` is an error about a list. The location of each entry begins with the list's
    # location.
    size = len(fault.location)
    return any(
        len(each.location) > size and each.location[:size] == fault.location for each in all_faults
    )


def _location(error: dict[str, Any]) -> Location:
    inner_location = error.get("ctx", {}).get("at", ())
    parts = (*error["loc"], *inner_location)
    return tuple(part for part in parts if str(part) not in _NO_LOCATIONS)


def _detail(
    error: dict[str, Any],
    location: Location,
    model: type[BaseModel],
    listed: set[tuple[str, ...]],
) -> str:
    """Return an error's text. ``listed``: lists of known fields that earlier errors have."""
    if error["type"] == "extra_forbidden":
        return _unknown_field(str(location[-1]), _known_fields(model, location[:-1]), listed)
    if error["type"] in _PLAIN_WORDS:
        return _PLAIN_WORDS[error["type"]]
    limits = {name: _plain_number(value) for name, value in error.get("ctx", {}).items()}
    if error["type"] in _PLAIN_LIMITS:
        return _PLAIN_LIMITS[error["type"]].format(**limits)
    if error["type"] in ("too_short", "too_long", "string_too_short"):
        return _wrong_length(limits)
    if limits.get("pattern") in PATTERN_WORDS:
        return f"must be {PATTERN_WORDS[limits['pattern']]}"
    message = str(error["msg"])
    for prefix in _PYDANTIC_PREFIXES:
        message = message.removeprefix(prefix)
    return message


def _unknown_field(name: str, known: Sequence[str], listed: set[tuple[str, ...]]) -> str:
    if tuple(known) not in listed:
        listed.add(tuple(known))
        return unknown_name("field", name, known)
    similar = similar_name(name, known)
    return f"unknown field; did you mean {similar!r}?" if similar else "unknown field"


_ONE = {"characters": "character", "entries": "entry"}


def _wrong_length(limits: Mapping[str, Any]) -> str:
    # Pydantic calls a text "Value" if a validator ran before the check of its length.
    kind = "characters" if limits.get("field_type", "Value") == "Value" else "entries"
    if "max_length" in limits:
        return f"must have at most {limits['max_length']} {kind}"
    least = limits["min_length"]
    return f"must have at least {least} {kind if least != 1 else _ONE[kind]}"


def _plain_number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _known_fields(model: type[BaseModel], location: Location) -> list[str]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in models if model), None)
