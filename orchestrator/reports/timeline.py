"""Bars of the Mermaid gantt chart: one per attempt; for a large job, only the most important."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.reports.escaping import one_line
from orchestrator.reports.figures.analytics import Analytics
from orchestrator.reports.figures.job_tree import Family, attempt_ended

#: Maximum number of bars: GitHub draws no diagram with more than 50,000 characters.
BAR_LIMIT = 120

#: Characters that end a name or a line in Mermaid, or count as markup; they are removed.
_NOT_PLAIN = re.compile(r"[^\w .()/+-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """``start`` and ``end`` have the format of the diagram's ``dateFormat``."""

    name: str
    kind: str
    start: str
    end: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    sections: Sequence[Section]
    bars: int
    left_out: int
    #: d3's format of times at the axis.
    axis_format: str


def timeline(family: Family, job: Job, figures: Analytics) -> Timeline:
    """Return the timeline, with a section for each job, parents first.

    If there are too many bars, the critical path and then the longest bars are kept.
    """
    critical = {step.worker_id for step in figures.critical_path.steps}
    attempts = [
        attempt
        for each in family.descendants(job)
        for worker in family.workers(each.id)
        for attempt in family.attempts(worker)
    ]
    ranked = sorted(attempts, key=lambda a: (a.worker_id not in critical, -_seconds(a)))
    kept = {(a.worker_id, a.number) for a in ranked[:BAR_LIMIT]}
    sections = [_section(family, each, kept) for each in family.descendants(job)]
    return Timeline(
        sections=[section for section in sections if section.bars],
        bars=len(kept),
        left_out=len(attempts) - len(kept),
        axis_format="%M:%S.%L" if figures.wall_seconds < 10 else "%H:%M:%S",
    )


def _section(family: Family, job: Job, kept: set[tuple[str, int]]) -> Section:
    place = "root" if job.is_root else f"started by {job.parent_worker_id}"
    bars = [
        _bar(family, worker, attempt)
        for worker in family.workers(job.id)
        for attempt in family.attempts(worker)
        if (attempt.worker_id, attempt.number) in kept
    ]
    return Section(name=f"job {bar_name(job.id)} ({bar_name(place)})", bars=bars)


def _bar(family: Family, worker: Worker, attempt: Attempt) -> Bar:
    again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
    title = family.label(worker)
    was_last = attempt.number == worker.attempt
    good = was_last and worker.status.succeeded
    return Bar(
        name=f"{bar_name(worker.id)} {bar_name(title)}".rstrip() + again,
        kind="done" if good else "crit",
        start=_moment(attempt.started_at),
        # A bar of length 0 would not be drawn.
        end=_moment(max(attempt_ended(attempt), attempt.started_at + 0.001)),
    )


def _seconds(attempt: Attempt) -> float:
    return attempt_ended(attempt) - attempt.started_at


def bar_name(text: str) -> str:
    """Return text that Mermaid reads only as a name."""
    return one_line(_NOT_PLAIN.sub(" ", one_line(text, 200)), 40)


def _moment(at: float) -> str:
    """Return a time for Mermaid in UTC; Mermaid reads and shows it as local time."""
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
