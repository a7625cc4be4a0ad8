"""The progress line: a bar, counts, cost, elapsed time, and the estimated remaining time."""

from collections.abc import Iterator

from orchestrator.cli.follow.tree_progress import TreeProgress
from orchestrator.cli.output.style import Style
from orchestrator.cli.output.terminal_text import duration
from orchestrator.cli.output.text_width import columns
from orchestrator.core.text.formatting import AT_LEAST, rounded_dollars

BAR_COLUMNS = 20
LEAST_SECONDS_LEFT = 1.0
#: Parts of the line that are omitted on a narrow terminal, in this order. The line always has the
#: other parts.
_DROPPED = ("bar", "left", "cost", "queued", "waiting", "elapsed")


def progress_line(
    progress: TreeProgress,
    now: float,
    began: float | None,
    width: int,
    style: Style,
    is_unicode: bool,
) -> str:
    """Return a bar with text such as ``3/6 done, 2 running, $0.04, 14 s, about 12 s left``.

    Parts are omitted until the line fits into ``width`` columns. ``began``: time of the job's first
    event; None: unknown.
    """
    parts = dict(_parts(progress, now, began, style))
    bar = _bar(progress, style, is_unicode)
    for name in ("", *_DROPPED):
        bar = "" if name == "bar" else bar
        parts.pop(name, None)
        line = bar + ", ".join(parts.values())
        if columns(line) <= width:
            return line
    return line


def _parts(
    progress: TreeProgress, now: float, began: float | None, style: Style
) -> Iterator[tuple[str, str]]:
    counts = progress.counts()
    done = f"{progress.done}/{progress.total} done"
    yield "done", style.good(done) if progress.done else done
    if counts["running"] or not progress.done:
        yield "running", style.busy(f"{counts['running']} running")
    for number, status in progress.unsuccessful():
        paint = style.waiting if status == "skipped" else style.bad
        yield status, paint(f"{number} {status}")
    if counts["waiting"]:
        yield "waiting", style.waiting(f"{counts['waiting']} waiting")
    if progress.queued:
        yield "queued", f"{progress.queued} queued"
    if cost := _cost(progress):
        yield "cost", cost
    yield "elapsed", style.dim(duration(0 if began is None else max(0.0, now - began)))
    remaining = progress.remaining_seconds(now)
    if remaining is not None and remaining >= LEAST_SECONDS_LEFT:
        yield "left", style.dim(f"about {duration(round(remaining))} left")


def _cost(progress: TreeProgress) -> str:
    cost = progress.cost_usd
    if cost is None:
        return ""
    return rounded_dollars(cost, AT_LEAST if progress.cost_is_partial else "")


def _bar(progress: TreeProgress, style: Style, is_unicode: bool) -> str:
    if not (total := progress.total):
        return ""
    full, empty = "━─" if is_unicode else "#-"
    unsuccessful = sum(number for number, _ in progress.unsuccessful())
    good = BAR_COLUMNS * progress.done // total
    bad = min(BAR_COLUMNS - good, -(-BAR_COLUMNS * unsuccessful // total) if unsuccessful else 0)
    remaining = BAR_COLUMNS - good - bad
    return f"{style.good(full * good)}{style.bad(full * bad)}{style.dim(empty * remaining)} "
