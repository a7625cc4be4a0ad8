"""Names of the branches and refs of jobs in the project's repository, and messages of commits.

Functions whose name ends with ``_branch`` or ``_ref`` return the full name of a ref. Functions
whose name ends with ``_refs`` return a prefix of full names.
"""

from collections.abc import Mapping

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Worker

BRANCHES = "orchestrator"


def worker_branch(worker: Worker) -> str:
    return branch_of(worker.root_id, worker.id)


def branch_of(root_id: str, worker_id: str) -> str:
    return f"refs/heads/{BRANCHES}/{root_id}/{worker_id}"


def result_branch(root_id: str, job_id: str) -> str:
    name = "result" if job_id == root_id else f"result_{job_id}"
    return f"refs/heads/{BRANCHES}/{root_id}/{name}"


def start_ref(worker: Worker) -> str:
    """Return the ref of a worker's start commit."""
    return f"{hidden(worker.root_id)}start/{worker.id}"


def dirty_ref(root_id: str) -> str:
    """Return the ref of a base commit that contains the user's uncommitted changes."""
    return f"{hidden(root_id)}dirty"


def base_ref(root_id: str) -> str:
    """Return the ref of the requested base.

    Because of this ref, git keeps the commit even if the user deletes the base branch.
    """
    return f"{hidden(root_id)}from"


def sent_ref(worker: Worker) -> str:
    """Return the ref of the job's result so far, for a rejected worker's next attempt.

    Before this attempt, the result is merged into the worker's branch.
    """
    return f"{hidden(worker.root_id)}sent/{worker.id}"


def adopted_result_ref(worker: Worker) -> str:
    """Return the ref of the job's result that was last merged into a rejected worker's branch."""
    return f"{hidden(worker.root_id)}taken/{worker.id}"


def resolving_ref(worker: Worker) -> str:
    """Return the ref that saves a worker's branch head before an attempt resolves conflicts."""
    return f"{hidden(worker.root_id)}resolving/{worker.id}"


def merging_ref(root_id: str, job_id: str) -> str:
    """Return the ref of a running merge's latest commit.

    Because of this ref, ``git gc`` does not remove the merge's commits.
    """
    return f"{hidden(root_id)}merging/{job_id}"


def landed_refs(root_id: str, job_id: str) -> str:
    """Return the prefix of refs about the landings of a job.

    For each branch of the user, the refs store the branch's commits before and after ``land``.
    """
    return f"{hidden(root_id)}landed/{job_id}/"


def merged_refs(root_id: str, job_id: str) -> str:
    """Return the prefix of refs with earlier results of a job. The refs are numbered."""
    return f"{hidden(root_id)}merged/{job_id}/"


def child_refs(root_id: str, worker_id: str) -> str:
    """Return the prefix of refs with the base and the result of each child job of a worker."""
    return f"{hidden(root_id)}child/{worker_id}/"


@dataclass(frozen=True, slots=True)
class ChildResult:
    """Commits of a worker's child job."""

    job_id: str
    base: str
    result: str
    #: True if the result was added to the worker's files.
    is_brought: bool


def child_results(refs: Mapping[str, str]) -> list[ChildResult]:
    """Return the results of a worker's child jobs.

    ``refs``: the refs below the worker's ``child_refs``. Keys are full names; values are commits.
    """
    return [
        ChildResult(
            job_id=name.split("/")[-2],
            base=refs.get(f"{name.removesuffix('result')}base", ""),
            result=result,
            is_brought=refs.get(f"{name.removesuffix('result')}brought") == result,
        )
        for name, result in refs.items()
        if name.endswith("/result")
    ]


def checkpoint_refs(root_id: str, worker_id: str) -> str:
    """Return the prefix of refs with a worker's checkpoints.

    Each ref ends with the checkpoint's name (see ``core.model.attempt.failure``).
    """
    return f"{hidden(root_id)}checkpoint/{worker_id}/"


def undone_refs(root_id: str) -> str:
    """Return the prefix of refs with results of rolled-back attempts.

    Each ref ends with ``<worker>/<attempt>``.
    """
    return f"{hidden(root_id)}undone/"


def ignored_refs(root_id: str, worker_id: str) -> str:
    """Return the prefix of refs with the ignored files of a worker's checkpoints.

    Each ref ends with the checkpoint's name.
    """
    return f"{hidden(root_id)}ignored/{worker_id}/"


def kept_refs(root_id: str) -> str:
    """Return the prefix of refs that save work of a removed root job.

    Only work that no other ref contains is saved.
    """
    return f"refs/{BRANCHES}-kept/{root_id}/"


def abandoned_refs(root_id: str, worker_id: str) -> str:
    """Return the prefix of refs with former heads of a worker's branch.

    A former head is saved here if the worker switched its worktree to another branch.
    """
    return f"{hidden(root_id)}aside/{worker_id}/"


def deleted_refs(abandoned: str) -> str:
    """Return the prefix of refs with former heads of a worker's branch.

    A former head is saved here if the worker deleted or renamed the branch. ``abandoned``: the
    result of ``abandoned_refs``.
    """
    return f"{abandoned}deleted/"


def nested_refs(root_id: str, worker_id: str) -> str:
    """Return the prefix of refs with the histories of repositories in a worker's worktree.

    Each ref ends with the repository's path.
    """
    return f"{kept_refs(root_id)}{worker_id}/nested/"


def candidate_refs(root_id: str) -> str:
    """Return the prefix of refs with branch heads of candidates that were not chosen.

    Each ref ends with the worker's name.
    """
    return f"{hidden(root_id)}candidate/"


def hidden(root_id: str) -> str:
    """Return the prefix of a root job's refs that are not branches."""
    return f"refs/{BRANCHES}/{root_id}/"


def short(name: str) -> str:
    return name.removeprefix("refs/heads/")


def worker_commit_message(subject: str, worker: Worker) -> str:
    """Return the message of a commit or merge of a worker's changes."""
    trailers = {
        "Orchestrator-Job": worker.job_id,
        "Orchestrator-Worker": worker.id,
        "Orchestrator-Task": worker.task_id,
        "Orchestrator-Agent": worker.agent,
    }
    return _with_trailers(subject, trailers)


def job_commit_message(subject: str, job_id: str) -> str:
    """Return the message of a commit that belongs to a whole job, not to one worker."""
    return _with_trailers(subject, {"Orchestrator-Job": job_id})


def child_merge_message(worker_id: str, job_id: str) -> str:
    """Return the commit message for the merge of a child job.

    ``worker_id``: the worker that started the child job. ``job_id``: the child job.
    """
    trailers = {"Orchestrator-Job": job_id, "Orchestrator-Worker": worker_id}
    return _with_trailers(f"Merge a child job of {worker_id}", trailers)


def _with_trailers(subject: str, trailers: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    return f"{subject}\n\n{lines}\n"
