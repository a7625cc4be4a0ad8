"""Types of text and numbers in requests."""

from posixpath import normpath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from orchestrator.core.locks.lock_table import LONGEST_NAME as LONGEST_LOCK
from orchestrator.core.locks.lock_table import MOST_NAMES as MOST_LOCKS
from orchestrator.core.locks.lock_table import lock_name
from orchestrator.core.model import machines
from orchestrator.core.model.job_settings import LARGEST_COUNT, MOST_SECONDS
from orchestrator.core.text.field_descriptions import DescribedFields

REQUEST_LIMIT_CHARACTERS = 200_000

#: Prefix of variables that the orchestrator sets for a worker, such as its id.
RESERVED_VARIABLES = "ORCHESTRATOR_"

TASK_ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}$"
TASK_ID_WORDS = "1 to 128 letters, digits and _.:@+-, starting with a letter, a digit or _"
LABEL_PATTERN = r"^[^:]+:"
LINES_PATTERN = r"^[1-9]\d{0,8}-[1-9]\d{0,8}$"
COMMIT_PATTERN = r"^[0-9a-f]{7,64}$"
TEXT_PATTERN = r"\S"
GATE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$"
CHECKPOINT_PATTERN = r"^[a-z0-9-]{1,40}$"
#: Expected forms of values as text, for people who do not read patterns.
PATTERN_WORDS = {
    TASK_ID_PATTERN: TASK_ID_WORDS,
    LABEL_PATTERN: "a name and a value, such as team:web",
    machines.LABEL_PATTERN: "1 to 63 letters, digits, '.', '_', '/', and '-'",
    LINES_PATTERN: "the first and the last line, such as 120-180",
    COMMIT_PATTERN: "7 to 64 of the characters 0-9 and a-f",
    TEXT_PATTERN: "text that is not blank",
    GATE_NAME_PATTERN: "1 to 60 letters, digits, _ and -, starting with a letter or a digit",
    CHECKPOINT_PATTERN: "1 to 40 of the characters a-z, 0-9 and -",
}

#: Maximum number of items in a list or mapping.
MOST_ITEMS = 10_000
#: Maximum length of an agent's or variable's name.
LONGEST_NAME = 200
#: Maximum length of a label's value.
LONGEST_LABEL = 1000


def checked_text(value: object) -> object:
    """Return the value unchanged. Raise ValueError for text that files, arguments, or databases
    cannot contain.
    """
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "must not contain a lone surrogate (half of a character pair, "
            f"at position {error.start})"
        ) from None
    return value


def path_in_repository(path: str) -> str:
    """Return the path. Raise ValueError for a path that is not below the repository's root."""
    if path.startswith("/") or normpath(path).split("/", 1)[0] == "..":
        raise ValueError("must be a path relative to the root of the repository")
    return path


def not_blank(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be blank")
    return value


def checked_command(value: object) -> str | tuple[str, ...]:
    """Return a command: a string for ``bash -c``, or a list of arguments as a tuple.

    Raise ValueError for any other value.
    """
    if isinstance(value, str):
        not_blank(value)
        _checked_length(value)
        checked_text(value)
        return value
    words = _checked_texts(value, "must be a string for bash -c, or a list of strings")
    not_blank(words[0])
    return words


def _checked_texts(value: object, complaint: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(complaint)
    if not all(isinstance(item, str) for item in value):
        raise ValueError(complaint)
    if len(value) > MOST_ITEMS:
        raise ValueError(f"must not have more than {MOST_ITEMS} items")
    for item in value:
        _checked_length(item)
        checked_text(item)
    return tuple(value)


def _checked_length(text: str) -> None:
    if len(text) > REQUEST_LIMIT_CHARACTERS:
        raise ValueError(f"must not have more than {REQUEST_LIMIT_CHARACTERS} characters")


def checked_variable_name(value: object) -> object:
    if isinstance(value, str) and (not 0 < len(value) <= LONGEST_NAME or "=" in value):
        raise ValueError(f"a variable's name has 1 to {LONGEST_NAME} characters and no '='")
    if isinstance(value, str) and value.startswith(RESERVED_VARIABLES):
        raise ValueError(
            f"{value[:100]} is reserved: the orchestrator sets the variables that begin with "
            f"{RESERVED_VARIABLES}; use another name"
        )
    return checked_text(value)


Text = Annotated[
    str,
    BeforeValidator(checked_text),
    StringConstraints(max_length=REQUEST_LIMIT_CHARACTERS),
]
Word = Annotated[
    str,
    BeforeValidator(not_blank),
    BeforeValidator(checked_text),
    StringConstraints(max_length=200),
]
RequestText = Annotated[
    str,
    BeforeValidator(not_blank),
    BeforeValidator(checked_text),
    StringConstraints(min_length=1, max_length=REQUEST_LIMIT_CHARACTERS),
]
TaskId = Annotated[
    str,
    BeforeValidator(checked_text),
    StringConstraints(pattern=TASK_ID_PATTERN),
]
Command = Annotated[
    str | tuple[str, ...], PlainValidator(checked_command, json_schema_input_type=str | list[str])
]
#: Lock names are normalized: ``./src//api/`` and ``src/api/*.py`` become ``src/api``.
LockName = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_LOCK), AfterValidator(lock_name)
]
LockNames = Annotated[tuple[LockName, ...], Field(strict=False, max_length=MOST_LOCKS)]
VariableName = Annotated[str, BeforeValidator(checked_variable_name)]
LabelName = Annotated[
    str, BeforeValidator(checked_text), StringConstraints(min_length=1, max_length=100)
]
LabelValue = Annotated[
    str, BeforeValidator(checked_text), StringConstraints(max_length=LONGEST_LABEL)
]


_MachineLabel = Annotated[str, StringConstraints(pattern=machines.LABEL_PATTERN)]
_MachineLabelValue = Annotated[_MachineLabel, BeforeValidator(machines.label_text)]
#: Labels of a machine, by name.
MachineLabels = Annotated[
    dict[_MachineLabel, _MachineLabelValue],
    Field(max_length=64),
    # A short schema, because every AI that uses the MCP tools reads the schema.
    WithJsonSchema({"type": "object"}),
]

Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Seconds = Annotated[float, Field(gt=0, le=MOST_SECONDS)]
Money = Annotated[float, Field(gt=0, le=1e12)]
MoneyOrZero = Annotated[float, Field(ge=0, le=1e12)]


class StrictModel(DescribedFields, BaseModel):
    """Base of requests and of agents' answers. Rejects unknown fields, and converts no values."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        # A server uses few of the models, so each model is built at its first use.
        defer_build=True,
    )
