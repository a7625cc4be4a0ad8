"""``tree.txt``: every job and worker of a tree, one line each."""

from collections.abc import Iterator

from orchestrator.core.model.job import Job, Worker
from orchestrator.reports.figures.job_tree import Family
from orchestrator.reports.text.plain_text import one_line
from orchestrator.reports.wording import duration, plural


def text_tree(family: Family, job: Job) -> Iterator[str]:
    """The lines for a job and everything below it."""
    yield _job_line(family, job)
    yield from _below(family, job, "")


def _below(family: Family, job: Job, margin: str) -> Iterator[str]:
    workers = family.workers(job.id)
    for worker in workers:
        last = worker is workers[-1]
        yield margin + ("└── " if last else "├── ") + _worker_line(family, worker)
        yield from _child_jobs(family, worker, margin + ("    " if last else "│   "))


def _child_jobs(family: Family, worker: Worker, margin: str) -> Iterator[str]:
    children = family.child_jobs(worker)
    for child in children:
        last = child is children[-1]
        yield margin + ("└── " if last else "├── ") + _job_line(family, child)
        yield from _below(family, child, margin + ("    " if last else "│   "))


def _job_line(family: Family, job: Job) -> str:
    status = family.status(job).value
    wall = duration(family.wall_seconds(job))
    workers = plural(len(family.workers(job.id)), "worker")
    return f"job {job.id}: {status}, {wall}, {workers}: {one_line(job.request, 60)}"


def _worker_line(family: Family, worker: Worker) -> str:
    name = one_line(family.label(worker), 60)
    runs = family.runs(worker)
    took = f", {duration(sum(end - start for start, end in runs))}" if runs else ""
    return f"{worker.id}: {worker.status.value}{took}: {name} ({one_line(worker.agent, 30)})"
