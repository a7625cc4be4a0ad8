"""Names of the branches and refs of jobs in the host project's repository."""

from orchestrator.core.model.job import Worker

BRANCHES = "orchestrator"


def worker_branch(worker: Worker) -> str:
    return branch_of(worker.root_id, worker.id)


def branch_of(root_id: str, worker_id: str) -> str:
    return f"refs/heads/{BRANCHES}/{root_id}/{worker_id}"


def result_branch(root_id: str, job_id: str) -> str:
    """Result branch of a root job or a child job."""
    name = "result" if job_id == root_id else f"result_{job_id}"
    return f"refs/heads/{BRANCHES}/{root_id}/{name}"


def start_ref(worker: Worker) -> str:
    """Start commit of a worker."""
    return f"{hidden(worker.root_id)}start/{worker.id}"


def dirty_ref(root_id: str) -> str:
    """Base of a job that includes the user's uncommitted work."""
    return f"{hidden(root_id)}dirty"


def base_ref(root_id: str) -> str:
    """Base that a job named: a branch of the user's may be deleted while the job runs."""
    return f"{hidden(root_id)}from"


def sent_ref(worker: Worker) -> str:
    """Result so far, for a worker whose merge was rejected; its next attempt begins with it."""
    return f"{hidden(worker.root_id)}sent/{worker.id}"


def taken_ref(worker: Worker) -> str:
    """Result that a worker whose merge was rejected has had on its branch since then."""
    return f"{hidden(worker.root_id)}taken/{worker.id}"


def resolving_ref(worker: Worker) -> str:
    """The worker's branch before an agent's attempt to resolve its conflicts."""
    return f"{hidden(worker.root_id)}resolving/{worker.id}"


def merging_ref(root_id: str, job_id: str) -> str:
    """Progress of an active merge, so that no ``git gc`` removes its commits."""
    return f"{hidden(root_id)}merging/{job_id}"


def landed_refs(root_id: str, job_id: str) -> str:
    """Prefix: the user's branches before and after ``land``, by their names."""
    return f"{hidden(root_id)}landed/{job_id}/"


def merged_refs(root_id: str, job_id: str) -> str:
    """Prefix: earlier results of a job, by number."""
    return f"{hidden(root_id)}merged/{job_id}/"


def child_refs(root_id: str, worker_id: str) -> str:
    """Prefix: for each child job of a worker its base, and its result."""
    return f"{hidden(root_id)}child/{worker_id}/"


def checkpoint_refs(root_id: str, worker_id: str) -> str:
    """Prefix: a worker's checkpoints, by the names of ``core.model.attempt.failure``."""
    return f"{hidden(root_id)}checkpoint/{worker_id}/"


def undone_refs(root_id: str) -> str:
    """Prefix: results of attempts that were rolled back, as ``<worker>/<attempt>``."""
    return f"{hidden(root_id)}undone/"


def ignored_refs(root_id: str, worker_id: str) -> str:
    """Prefix: the ignored files of its checkpoints, by the same names."""
    return f"{hidden(root_id)}ignored/{worker_id}/"


def kept_refs(root_id: str) -> str:
    """Prefix: work of a removed root job that exists nowhere else."""
    return f"refs/{BRANCHES}-kept/{root_id}/"


def aside_refs(root_id: str, worker_id: str) -> str:
    """Prefix: a worker's branch before it was switched to another one."""
    return f"{hidden(root_id)}aside/{worker_id}/"


def nested_refs(root_id: str, worker_id: str) -> str:
    """Prefix: histories of repositories that a worker created in its worktree, by path."""
    return f"{kept_refs(root_id)}{worker_id}/nested/"


def candidate_refs(root_id: str) -> str:
    """Prefix: workers that tried a task and were not chosen, by their names."""
    return f"{hidden(root_id)}candidate/"


def hidden(root_id: str) -> str:
    """Prefix: refs of a root job that are not branches."""
    return f"refs/{BRANCHES}/{root_id}/"


def short(name: str) -> str:
    return name.removeprefix("refs/heads/")
