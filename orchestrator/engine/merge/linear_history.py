"""Rewrites a merged result as one line of commits, including the commits of child jobs."""

from collections.abc import Iterable, Iterator

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.git_refs import (
    child_refs,
    child_results,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import Repository, merger_of
from orchestrator.engine.merge.culprit_search import MergeStep

LINEAR = "linear"


def linear_commit(repository: Repository, job: Job, base: str, steps: Iterable[MergeStep]) -> str:
    """Create a linear history with the content of the last step, and return the last commit.

    The history has the workers' own commits, one after another, on top of the commit ``base``.
    """
    tip = state = base
    for step in steps:
        if step.commit != state:
            commits = list(commits_of(repository, step.part.worker, step.commit))
            worker = step.part.worker
            message = worker_commit_message(f"Merge {worker.id}: {worker.task_id}", worker)
            tip = repository.replay(tip, commits, step.commit, message, merger_of(job))
            state = step.commit
    return tip


def commits_of(repository: Repository, worker: Worker, merged: str) -> Iterator[str]:
    """Yield the commits of a worker and of its child jobs, in the order of their creation.

    A child job's commits are included only if the commit ``merged`` contains the child job's
    result.
    """
    start = repository.commit_of(start_ref(worker))
    own = (
        list(repository.first_parent_commits(start, repository.commit_of(worker_branch(worker))))
        if start
        else []
    )
    after: dict[str, list[str]] = {}
    for child in child_results(repository.commits_below(child_refs(worker.root_id, worker.id))):
        began, result = child.base, child.result
        if repository.contains(merged, result):
            # The worker's commit at which the child job started; "" if there is none.
            shared = [commit for commit in own if repository.contains(began, commit)]
            place = shared[-1] if shared else ""
            state = [began] if start and began not in {place, start} else []
            after.setdefault(place, []).extend(
                [*state, *repository.first_parent_commits(began, result)]
            )
    yield from after.get("", ())
    for commit in own:
        yield commit
        yield from after.get(commit, ())
