"""Measured values with their targets, and their tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: A row of a table, by column; the columns of all rows of a table are the same.
Row = Mapping[str, str | float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A measured value. Its target is a minimum, a maximum, or absent."""

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def verdict(self) -> str:
        """OK or MISSED; empty without a target."""
        if self.at_least is None and self.at_most is None:
            return ""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return "OK" if low <= self.value <= high else "MISSED"

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    def to_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The results of one benchmark."""

    #: Rows of the table of measured values. ``figures`` are the values that have a target.
    rows: Sequence[Row] = ()
    figures: Sequence[Figure] = ()
    #: Facts that the reader must know, such as an omitted peer.
    notes: Sequence[str] = ()
    #: Output of an external benchmark, unchanged.
    text: str = field(default="")

    def to_markdown(self) -> str:
        parts = [table_of_rows(self.rows)] if self.rows else []
        parts += [table(self.figures)] if self.figures else []
        parts += [f"```\n{self.text.strip()}\n```"] if self.text else []
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, object]:
        return {
            "rows": [dict(row) for row in self.rows],
            "figures": [figure.to_json() for figure in self.figures],
            "notes": list(self.notes),
            "text": self.text,
        }


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [
        f"| {figure.what} | {number(figure.value)} {figure.unit}".rstrip()
        + f" | {figure.target} | {figure.verdict} |"
        for figure in figures
    ]
    return "\n".join(["| what | measured | target | |", "| --- | --- | --- | --- |", *rows])


def table_of_rows(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table. Columns of numbers are aligned to the right."""
    columns = list(rows[0])
    lines = ["---" if isinstance(rows[0][name], str) else "---:" for name in columns]
    cells = [
        [each if isinstance(each := row[name], str) else number(each) for name in columns]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, lines, *cells))


def number(value: float) -> str:
    """Format a number with three digits; a number of at least 100 as a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not below a ``share`` of the values.

    Raise ValueError without values.
    """
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
