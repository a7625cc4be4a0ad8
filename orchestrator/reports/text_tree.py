"""``tree.txt``: a line for each job and worker of a tree."""

from collections.abc import Iterator

from orchestrator.core.model.job import Job, Worker
from orchestrator.reports.escaping import one_line
from orchestrator.reports.figures.job_tree import Family
from orchestrator.reports.wording import duration, plural


def text_tree(family: Family, job: Job) -> Iterator[str]:
    """Yield the lines of the tree."""
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
