"""How branches and refs of jobs are called in the host project's repository."""

from orchestrator.core.model.job import Worker

BRANCHES = "orchestrator"


def worker_branch(worker: Worker) -> str:
    return branch_of(worker.root_id, worker.id)


def branch_of(root_id: str, worker_id: str) -> str:
    return f"refs/heads/{BRANCHES}/{root_id}/{worker_id}"


def result_branch(root_id: str, job_id: str) -> str:
    """Of a root job, or of a child job."""
    name = "result" if job_id == root_id else f"result_{job_id}"
    return f"refs/heads/{BRANCHES}/{root_id}/{name}"


def start_ref(worker: Worker) -> str:
    """What a worker began with."""
    return f"{hidden(worker.root_id)}start/{worker.id}"


def dirty_ref(root_id: str) -> str:
    """What a job began with that took uncommitted work of the user's along."""
    return f"{hidden(root_id)}dirty"


def base_ref(root_id: str) -> str:
    """What a job began with that named its base: a branch of the user's may go meanwhile."""
    return f"{hidden(root_id)}from"


def sent_ref(worker: Worker) -> str:
    """The result so far, for a worker that was sent back; its next attempt begins with it."""
    return f"{hidden(worker.root_id)}sent/{worker.id}"


def taken_ref(worker: Worker) -> str:
    """The result that a worker which was sent back has on its branch since then."""
    return f"{hidden(worker.root_id)}taken/{worker.id}"


def resolving_ref(worker: Worker) -> str:
    """The worker's branch before its conflicts were given to an agent to resolve."""
    return f"{hidden(worker.root_id)}resolving/{worker.id}"


def merging_ref(root_id: str, job_id: str) -> str:
    """How far a merge that is under way has come, so that nobody's ``git gc`` takes it."""
    return f"{hidden(root_id)}merging/{job_id}"


def landed_refs(root_id: str, job_id: str) -> str:
    """Below this: where the user's branches were before and after ``land``, by their names."""
    return f"{hidden(root_id)}landed/{job_id}/"


def merged_refs(root_id: str, job_id: str) -> str:
    """Below this: the results of a job before the present one, by number."""
    return f"{hidden(root_id)}merged/{job_id}/"


def child_refs(root_id: str, worker_id: str) -> str:
    """Below this: for each child job of a worker what it began with, and its result."""
    return f"{hidden(root_id)}child/{worker_id}/"


def checkpoint_refs(root_id: str, worker_id: str) -> str:
    """Below this: a worker's checkpoints, by the names of ``core.model.attempt.failure``."""
    return f"{hidden(root_id)}checkpoint/{worker_id}/"


def undone_refs(root_id: str) -> str:
    """Below this: what attempts left that were rolled back, as ``<worker>/<attempt>``."""
    return f"{hidden(root_id)}undone/"


def ignored_refs(root_id: str, worker_id: str) -> str:
    """Below this: the ignored files of its checkpoints, by the same names."""
    return f"{hidden(root_id)}ignored/{worker_id}/"


def kept_refs(root_id: str) -> str:
    """Below this: work of a root job that was removed, which is nowhere else."""
    return f"refs/{BRANCHES}-kept/{root_id}/"


def aside_refs(root_id: str, worker_id: str) -> str:
    """Below this: what a worker's branch had when it left it for another one."""
    return f"{hidden(root_id)}aside/{worker_id}/"


def nested_refs(root_id: str, worker_id: str) -> str:
    """Below this: histories of repositories that a worker created in its worktree, by path."""
    return f"{kept_refs(root_id)}{worker_id}/nested/"


def candidate_refs(root_id: str) -> str:
    """Below this: by their names, workers that tried a task and were not chosen."""
    return f"{hidden(root_id)}candidate/"


def hidden(root_id: str) -> str:
    """Below this: refs of a root job that are no branches."""
    return f"refs/{BRANCHES}/{root_id}/"


def short(name: str) -> str:
    return name.removeprefix("refs/heads/")
