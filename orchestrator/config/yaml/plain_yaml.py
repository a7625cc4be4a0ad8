"""Reads YAML text in the simplest form of ``config.yaml``, without PyYAML.

PyYAML takes a fortieth of a server's start. All other texts are read by ``yaml_text``.
"""

import re
from dataclasses import field

from orchestrator.config.layer import KeyPath
from orchestrator.core.dataclass import dataclass

_ASCII = re.compile(r"[ -~\n]*")
_COMMENT = r" *(?:#.*)?"
_VALUE = r'0|[1-9][0-9]{0,17}|"[^"\\]*"|[A-Za-z/][A-Za-z0-9_./-]*'
_SECTION = re.compile(r"([a-z_]+):(?: +#.*)? *")
_SETTING = re.compile(rf"  ([a-z_]+): +({_VALUE})(?: +#.*)? *")
_BOOLS: dict[str, object] = {"true": True, "false": False}
#: Words that YAML may read as another type than text.
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


@dataclass(frozen=True)
class Position:
    """A place in a text. Line and column start at 1."""

    line: int
    column: int


@dataclass
class YamlText:
    """The value of a YAML text.

    ``faults`` lists the places that could not be read, with the reason.
    """

    value: object = None
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    faults: list[tuple[Position, str]] = field(default_factory=list)


class _NotPlain(Exception):
    """A text that needs PyYAML."""


def plain_yaml(text: str) -> YamlText | None:
    """Return the same value as ``read_yaml``, or None if the text is not plain.

    A plain text is one value, or sections with one value per line. It may contain comments.
    """
    try:
        if re.fullmatch(_VALUE, text):
            return YamlText(value=_value(text))
        return _sections(text) if _ASCII.fullmatch(text) else None
    except _NotPlain:
        return None


def _sections(text: str) -> YamlText:
    sections: dict[str, dict[str, object] | None] = {}
    result, name = YamlText(), ""
    for number, line in enumerate(text.split("\n"), 1):
        if re.fullmatch(_COMMENT, line):
            continue
        if found := _SECTION.fullmatch(line):
            name, column = found[1], 1
            path: KeyPath = (name,)
            sections[name] = None
        elif (found := _SETTING.fullmatch(line)) and name:
            path, column = (name, found[1]), 3
            sections[name] = {**(sections[name] or {}), found[1]: _value(found[2])}
        else:
            raise _NotPlain
        if path in result.positions or path[-1] in _WORDS:
            raise _NotPlain
        result.positions[path] = Position(number, column)
    result.value = sections or None
    return result


def _value(text: str) -> object:
    if text.isdecimal():
        return int(text)
    if text in _BOOLS:
        return _BOOLS[text]
    if text.lower() in _WORDS:
        raise _NotPlain
    return text.strip('"')
