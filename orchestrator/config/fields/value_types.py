"""Types of settings' values. Every number has bounds."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from orchestrator.core.model.caller import Scope
from orchestrator.core.model.job_settings import LARGEST_COUNT, MOST_SECONDS
from orchestrator.core.model.machines import LABEL_PATTERN, label_text
from orchestrator.system import process_table

MIB = 1024 * 1024
SIZE_PATTERN = r"^[1-9][0-9]{0,18}(\.[0-9]{1,18})?([KMGT](i?B)?|B)?$"
_POWERS = {"K": 10, "M": 20, "G": 30, "T": 40}


def without_nul(value: str) -> str:
    """Return the value unchanged. Raise ValueError if it contains the character NUL.

    No path and no program argument can contain NUL.
    """
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def upper_case(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def empty_for_null(value: object) -> object:
    """Return "" for None, and any other value unchanged.

    So ``api_key:`` without a value is the same as ``api_key: ""``: the key is not set yet.
    """
    return "" if value is None else value


def bytes_of(value: object) -> object:
    """Return the number of bytes for a text such as ``512M``, ``512MiB``, or ``512MB``.

    One M is 1024 * 1024 bytes. Return any other value unchanged.
    """
    if not isinstance(value, str) or not re.fullmatch(SIZE_PATTERN, value):
        return value
    digits = re.match(r"[0-9.]+", value)
    assert digits is not None
    unit = value[digits.end() :][:1]
    return int(float(digits[0]) * (1 << _POWERS.get(unit, 0)))


Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
#: Text that a setting may have instead of a number. The text means the number of processors.
AUTO = "auto"


class Processors(int):
    """The number of processors that this process may use. This number replaces the value ``auto``.

    Unlike an ``int``, this type shows that the user did not set the number.
    """

    @classmethod
    def available(cls) -> "Processors":
        return cls(process_table.usable_processors())


def _count_or_auto(value: object, validate: ValidatorFunctionWrapHandler) -> int:
    count: int = Processors.available() if value == AUTO else validate(value)
    return count


CountOrAuto = Annotated[
    int,
    Field(ge=1, le=LARGEST_COUNT),
    WrapValidator(_count_or_auto),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": LARGEST_COUNT,
            "pattern": f"^{AUTO}$",
            "title": f"a whole number from 1 to {LARGEST_COUNT}, or {AUTO}",
        }
    ),
]
Seconds = Annotated[float, Field(gt=0, le=MOST_SECONDS)]
SecondsOrZero = Annotated[float, Field(ge=0, le=MOST_SECONDS)]
#: Maximum size of a file.
MOST_BYTES = 2**63 - 1
Bytes = Annotated[int, Field(le=MOST_BYTES)]
Text = Annotated[str, AfterValidator(without_nul)]
Word = Annotated[str, StringConstraints(min_length=1), AfterValidator(without_nul)]
# Strict mode requires a Path or a tuple; YAML has only text and lists.
PathText = Annotated[
    Path, Field(strict=False), BeforeValidator(lambda value: Path(checked_path(value)))
]
Words = Annotated[tuple[Word, ...], Field(strict=False)]
Paths = Annotated[
    tuple[Annotated[str, BeforeValidator(lambda value: checked_path(value))], ...],
    Field(strict=False),
]
Size = Annotated[
    int,
    BeforeValidator(bytes_of),
    Field(ge=1, le=MOST_BYTES),
    WithJsonSchema(
        {"pattern": SIZE_PATTERN, "title": "a number of bytes, or a size such as 512M or 2G"}
    ),
]
#: An amount of money, in US dollars.
Dollars = Annotated[float, Field(gt=0, le=1e9)]
#: Price of a model, in US dollars per million tokens.
Price = Annotated[float, Field(ge=0, le=1e12)]
AGENT_NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,40}$"
AGENT_NAME_RULE = "a name of lower-case letters, digits, -, and _ that starts with a letter"
_MachineLabel = Annotated[
    str,
    BeforeValidator(label_text, json_schema_input_type=str | bool | int),
    StringConstraints(pattern=LABEL_PATTERN),
]
MachineLabels = Mapping[_MachineLabel, _MachineLabel]

AgentName = Annotated[str, StringConstraints(pattern=AGENT_NAME_PATTERN)]
KEY_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.@-]{0,63}$"
KeyName = Annotated[
    str,
    StringConstraints(pattern=KEY_NAME_PATTERN),
    Field(title="a name of letters, digits, '.', '@', '-', and '_' that starts with a letter"),
]
KeyHash = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(title="a SHA-256 hash, 64 hexadecimal digits, as bin/orchestrator keys new prints it"),
]
KeyScope = Annotated[Scope, Field(strict=False)]
Variable = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(=[^\x00]*|[A-Za-z0-9_*]*)$"),
    Field(title="the name of an environment variable, a pattern such as MY_*, or NAME=value"),
]
ClassPath = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"),
    Field(title="package.module:Class"),
]


def checked_path(value: object) -> str:
    """Return a path as text, with ``~`` expanded. Raise ValueError if ``value`` is not a path."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be a path")
    text = without_nul(str(value))
    text.encode()  # Raises UnicodeError, a ValueError, for a lone surrogate, which no path has.
    return os.path.expanduser(text)
