"""Messages of commits: a subject, and trailers with the names of job, worker, task, and agent."""

from collections.abc import Mapping

from orchestrator.core.model.job import Worker


def of_worker(subject: str, worker: Worker) -> str:
    """Return the message of a commit or merge of a worker's changes."""
    trailers = {
        "Orchestrator-Job": worker.job_id,
        "Orchestrator-Worker": worker.id,
        "Orchestrator-Task": worker.task_id,
        "Orchestrator-Agent": worker.agent,
    }
    return _signed(subject, trailers)


def of_job(subject: str, job_id: str) -> str:
    """Return the message of a merge of a job's result."""
    return _signed(subject, {"Orchestrator-Job": job_id})


def of_child_job(worker_id: str, job_id: str) -> str:
    """Return the message of a merge of a child job's changes into its parent worker's branch."""
    trailers = {"Orchestrator-Job": job_id, "Orchestrator-Worker": worker_id}
    return _signed(f"Merge a child job of {worker_id}", trailers)


def _signed(subject: str, trailers: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    return f"{subject}\n\n{lines}\n"
