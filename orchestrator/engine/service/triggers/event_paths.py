"""Paths into the JSON of an event: ``$.issue.labels[*].name``.

Supports a part of JSONPath (RFC 9535): values by name, by position, or all items of a list.
"""

import re
from collections.abc import Mapping, Sequence

from orchestrator.core.lazy_dataclass import dataclass

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*) | \['(?P<quoted>[^']+)'\] | \[(?P<item>\d{1,6}|\*)\]""",
    re.VERBOSE,
)
LONGEST_PATH = 500
SYNTAX = "a path such as $.issue.title, $.labels[0].name, $.labels[*].name, or $['a name']"


@dataclass(frozen=True, slots=True)
class EventPath:
    """A path to values in an event. Create a path with ``EventPath.parse``."""

    text: str
    #: Names and positions; None: all items of a list.
    steps: tuple[str | int | None, ...]

    @classmethod
    def parse(cls, text: str) -> "EventPath":
        """Parse a path. Raise ValueError with the expected form."""
        steps: list[str | int | None] = []
        position = 1
        while position < len(text):
            match = _STEP.match(text, position)
            if match is None:
                break
            item = match["item"]
            name = match["name"] or match["quoted"]
            steps.append(name if item is None else None if item == "*" else int(item))
            position = match.end()
        if not text.startswith("$") or position != len(text) or len(text) > LONGEST_PATH:
            raise ValueError(f"{text[:100]!r} is not {SYNTAX}")
        return cls(text, tuple(steps))

    def values(self, document: object) -> list[object]:
        """Return the values at the path; empty if the document has no such value."""
        results = [document]
        for step in self.steps:
            results = [each for value in results for each in _values_at(value, step)]
        return results


def _values_at(value: object, step: str | int | None) -> Sequence[object]:
    if isinstance(step, str):
        return (value[step],) if isinstance(value, Mapping) and step in value else ()
    if not isinstance(value, list):
        return ()
    if step is None:
        return value
    return value[step : step + 1]
