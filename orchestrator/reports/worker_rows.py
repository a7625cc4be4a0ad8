"""Formats the rows of the table of workers, the longest table of a report."""

from orchestrator.reports.escaping import cell, href
from orchestrator.reports.template_values import ChildJobLine, WorkerView
from orchestrator.reports.wording import duration, size

#: Content of a cell without a value.
NONE = "–"


def worker_row(worker: WorkerView, up: str, here: bool = False) -> str:
    """Return a worker's row of the table in the macro ``workers_table``.

    ``up``: path from the report's directory to the root job's directory. ``here``: True if the
    report is next to the workers' directories.
    """
    name, took, cpu, memory = cell(worker.id), NONE, NONE, NONE
    if worker.started:
        name = f"[{name}]({href(f'{worker.id if here else up + worker.directory}/')})"
        took, cpu = duration(worker.seconds), duration(worker.cpu_seconds)
        memory = size(worker.peak_memory_bytes)
    log = f"[log]({href(up + worker.log)})" if worker.has_log else NONE
    child_jobs = ", ".join(_child_job(job, up) for job in worker.child_jobs) or NONE
    return (
        f"| {name} | {cell(worker.title or worker.task_id, 80)} | {cell(worker.agent, 40)} "
        f"| {worker.status} | {worker.attempts} | {took} | {cpu} | {memory} "
        f"| {worker.gate_counts or NONE} | {log} | {child_jobs} |"
    )


def _child_job(job: ChildJobLine, up: str) -> str:
    return f"[{cell(job.id)}]({href(up + job.report)}) ({job.status})"
