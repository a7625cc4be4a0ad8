"""A tool, and the result of its use."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text import json_values
from orchestrator.core.text.formatting import cut_middle

#: Maximum characters of a result. Each later call of the model sends the result again, which costs
#: money.
MAX_RESULT = 30_000


class ToolRefused(Exception):
    """The policy does not allow the call. The message is for the model."""


class Unusable(Exception):
    """The tool cannot execute the call. The message is for the model."""


@dataclass(frozen=True, slots=True)
class Result:
    text: str
    failed: bool = False
    denied: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    name: str
    description: str
    #: JSON schemas of the arguments, by name.
    properties: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...]
    #: Runs the tool. Raises ToolRefused, Unusable, OSError or ValueError.
    use: Callable[[Mapping[str, Any]], str]
    #: Name of the argument that the log shows.
    main: str = "path"
    #: True if the tool may take minutes. The log then shows a call before the call runs. Only for
    #: tools that are never denied, because such a log line cannot show a denial.
    slow: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        properties = {name: dict(schema) for name, schema in self.properties.items()}
        return {"type": "object", "properties": properties, "required": list(self.required)}


def text_argument(arguments: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return the text argument ``name``, or ``default`` if the argument is missing.

    Raise Unusable if there is no default, or if the argument is not text.
    """
    value = arguments.get(name, default)
    if not isinstance(value, str):
        raise Unusable(f"the argument {name!r} is required, and must be text")
    return json_values.text(value)


def number_argument(arguments: Mapping[str, Any], name: str, default: float) -> float:
    """Return the number argument ``name``; ``default`` if it is missing or not a number."""
    number = json_values.number(arguments.get(name))
    return default if number is None else number


def shortened(text: str) -> str:
    """Return ``text``, shortened in the middle to about MAX_RESULT characters.

    A remark states the number of omitted characters. Invalid characters are replaced, so that the
    text can be sent.
    """
    text = json_values.text(text)
    half = MAX_RESULT // 2
    return cut_middle(text, half, f"\n... {len(text) - 2 * half} characters omitted ...\n")
