"""The timeline of a job tree: a Mermaid diagram with a bar for each attempt."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.reports.figures.analytics import Analytics
from orchestrator.reports.figures.job_tree_index import JobTreeIndex, attempt_ended
from orchestrator.reports.template_filters import one_line

#: Maximum number of bars: GitHub draws no diagram with more than 50,000 characters.
BAR_LIMIT = 120
#: Characters to remove from names, because in Mermaid they end a name or a line, or are markup.
_NOT_PLAIN = re.compile(r"[^\w .()/+-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A bar of the timeline, for one attempt.

    ``start`` and ``end`` are times in the format of the diagram's ``dateFormat``.
    """

    name: str
    kind: str
    start: str
    end: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineSection:
    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    sections: Sequence[TimelineSection]
    bars: int
    left_out: int
    #: Format of the times on the axis, as the library d3 defines it.
    axis_format: str


def timeline(index: JobTreeIndex, job: Job, figures: Analytics) -> Timeline:
    """Return the timeline, with a section for each job, parents first.

    If there are more than ``BAR_LIMIT`` bars, keep only the bars of the critical path and the
    longest other bars.
    """
    critical = {step.worker_id for step in figures.critical_path.steps}
    attempts = [
        attempt
        for each in index.descendants(job)
        for worker in (*index.workers(each.id), *index.reviewers(each.id))
        for attempt in index.attempts(worker)
    ]
    ranked = sorted(
        attempts, key=lambda a: (a.worker_id not in critical, -(attempt_ended(a) - a.started_at))
    )
    shown = {(a.worker_id, a.number) for a in ranked[:BAR_LIMIT]}
    sections = [_section(index, each, shown) for each in index.descendants(job)]
    return Timeline(
        sections=[section for section in sections if section.bars],
        bars=len(shown),
        left_out=len(attempts) - len(shown),
        axis_format="%M:%S.%L" if figures.wall_seconds < 10 else "%H:%M:%S",
    )


def _section(index: JobTreeIndex, job: Job, shown: set[tuple[str, int]]) -> TimelineSection:
    place = "root" if job.is_root else f"started by {job.parent_worker_id}"
    bars = [
        _bar(index, worker, attempt)
        for worker in (*index.workers(job.id), *index.reviewers(job.id))
        for attempt in index.attempts(worker)
        if (attempt.worker_id, attempt.number) in shown
    ]
    return TimelineSection(name=f"job {bar_name(job.id)} ({bar_name(place)})", bars=bars)


def _bar(index: JobTreeIndex, worker: Worker, attempt: Attempt) -> Bar:
    suffix = f" (attempt {attempt.number})" if attempt.number > 1 else ""
    title = index.label(worker)
    is_last = attempt.number == worker.attempt
    has_succeeded = is_last and worker.status.succeeded
    return Bar(
        name=f"{bar_name(worker.id)} {bar_name(title)}".rstrip() + suffix,
        kind="done" if has_succeeded else "crit",
        start=_moment(attempt.started_at),
        # A bar of length 0 would not be drawn.
        end=_moment(max(attempt_ended(attempt), attempt.started_at + 0.001)),
    )


def bar_name(text: str) -> str:
    """Return a text without the characters that have a special meaning in Mermaid."""
    return one_line(_NOT_PLAIN.sub(" ", one_line(text, 200)), 40)


def _moment(at: float) -> str:
    """Format a time in UTC, because Mermaid shows times without conversion."""
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
