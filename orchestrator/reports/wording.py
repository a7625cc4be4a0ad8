"""Formats numbers, times, and states as text for people. Also formats the lines of ``tree.txt``."""

from collections.abc import Iterator
from datetime import UTC, datetime

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.reports.escaping import one_line
from orchestrator.reports.figures.analytics import Total
from orchestrator.reports.figures.job_tree import Family

UNKNOWN = "unknown"

JOB_WORDS = {
    JobStatus.COMPLETED: "Completed",
    JobStatus.PARTIAL: "Partial",
    JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Cancelled",
}


def duration(seconds: float | None) -> str:
    """Return text such as ``0.04 s``, ``1.2 s``, ``3 min 04 s``, ``2 h 03 min 04 s``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.005:
        return "0 s"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min {rest:02d} s"
    return f"{minutes} min {rest:02d} s"


def size(count: float | None) -> str:
    """Return a size in decimal units: ``512 B``, ``12.3 MB``."""
    if count is None:
        return UNKNOWN
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def number(count: float | None) -> str:
    return UNKNOWN if count is None else f"{count:,.0f}"


def dollars(amount: float | None) -> str:
    if amount is None:
        return UNKNOWN
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.0f} %"


def moment(at: float | None) -> str:
    """Return the time in ISO 8601, in UTC, to the second."""
    if at is None:
        return UNKNOWN
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plural(count: int, word: str) -> str:
    """Return text such as ``1 worker``, ``1,234 workers``, ``2 processes``."""
    ending = "es" if word.endswith("s") else "s"
    return f"{count:,} {word}{'' if count == 1 else ending}"


def of_those_that_know(total: Total, shown: str) -> str:
    """Format a sum, with a note if the values of some workers are unknown."""
    if total.value is None or not total.unknown:
        return shown
    started = total.known + total.unknown
    return f"at least {shown} (known for {total.known:,} of {plural(started, 'worker')})"


def job_word(status: JobStatus) -> str:
    return JOB_WORDS.get(status, status.value.capitalize())


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def text_tree(family: Family, job: Job) -> Iterator[str]:
    """Yield the lines of ``tree.txt`` for a job and its descendants."""
    yield _line_of_job(family, job)
    yield from _lines_below(family, job, "")


def _lines_below(family: Family, job: Job, margin: str) -> Iterator[str]:
    workers = family.workers(job.id)
    for worker in workers:
        last = worker is workers[-1]
        yield margin + ("└── " if last else "├── ") + _line_of_worker(family, worker)
        yield from _lines_of_child_jobs(family, worker, margin + ("    " if last else "│   "))


def _lines_of_child_jobs(family: Family, worker: Worker, margin: str) -> Iterator[str]:
    children = family.child_jobs(worker)
    for child in children:
        last = child is children[-1]
        yield margin + ("└── " if last else "├── ") + _line_of_job(family, child)
        yield from _lines_below(family, child, margin + ("    " if last else "│   "))


def _line_of_job(family: Family, job: Job) -> str:
    status = family.status(job).value
    wall = duration(family.wall_seconds(job))
    workers = plural(len(family.workers(job.id)), "worker")
    return f"job {job.id}: {status}, {wall}, {workers}: {one_line(job.request, 60)}"


def _line_of_worker(family: Family, worker: Worker) -> str:
    name = one_line(family.label(worker), 60)
    runs = family.runs(worker)
    took = f", {duration(sum(end - start for start, end in runs))}" if runs else ""
    return f"{worker.id}: {worker.status.value}{took}: {name} ({one_line(worker.agent, 30)})"
