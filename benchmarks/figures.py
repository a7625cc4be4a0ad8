"""Measured values with their targets, and how they are printed and kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured value. A target is a bound from below or from above, or none."""

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
    """What one benchmark found."""

    figures: Sequence[Figure] = ()
    #: Facts that the reader must know, such as an omitted peer.
    notes: Sequence[str] = ()
    #: Output of an external benchmark, unchanged.
    text: str = field(default="")

    def to_markdown(self) -> str:
        parts = [table(self.figures)] if self.figures else []
        parts += [f"```\n{self.text.strip()}\n```"] if self.text else []
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, object]:
        return {
            "figures": [figure.to_json() for figure in self.figures],
            "notes": list(self.notes),
            "text": self.text,
        }


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table in Markdown."""
    rows = [
        f"| {figure.what} | {_number(figure.value)} {figure.unit}".rstrip()
        + f" | {figure.target} | {figure.verdict} |"
        for figure in figures
    ]
    return "\n".join(["| what | measured | target | |", "| --- | --- | --- | --- |", *rows])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of the values do not exceed. Raise ValueError for none."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
