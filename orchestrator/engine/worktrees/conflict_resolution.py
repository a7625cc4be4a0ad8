"""Conflict resolution: further attempts of workers, in which an agent resolves conflict markers.

The job's setting ``resolve`` selects the agent: the worker's own agent, or another agent. The
attempt runs in the worker's worktree, and counts as a retry of the worker. A file that still has
markers is unresolved. If conflicts remain unresolved, the merge uses the branch head that existed
before the attempt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.ports import Assignment
from orchestrator.core.repository.git_refs import (
    BRANCHES,
    adopted_result_ref,
    resolving_ref,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import ConflictText, Repository, merger_of
from orchestrator.core.text.formatting import cut, plural


def begin(repository: Repository, job: Job, worker: Worker, result: str) -> str:
    """Merge ``result`` into the worker's branch, with conflict markers.

    ``result``: the commit of the job's result so far. Return the worker's new start commit, which
    is ``result``.
    """
    tip = own_tip(repository, worker)
    message = worker_commit_message(
        f"Merge the job's result so far into {worker.id}, with conflicts", worker
    )
    marked_commit = repository.merge_with_markers(tip, result, message, merger_of(job))
    refs = {
        resolving_ref(worker): tip,
        adopted_result_ref(worker): result,
        start_ref(worker): result,
    }
    repository.set_refs(refs)
    failpoints.reached("resolving: worker's start stored")
    repository.set_ref(worker_branch(worker), marked_commit)
    return result


def own_tip(repository: Repository, worker: Worker) -> str:
    """Return the worker's branch head, without an unsuccessful attempt to resolve conflicts.

    If an attempt did not resolve all conflicts, return the branch head before this attempt.
    """
    tip = repository.commit_of(worker_branch(worker))
    return repository.commit_of(resolving_ref(worker)) if unresolved(repository, worker) else tip


def unresolved(repository: Repository, worker: Worker) -> Sequence[str]:
    """Return the files whose conflicts the worker's attempt did not resolve.

    Such files still have markers. If the attempt failed or changed nothing, return all conflicting
    files. Return no files if there was no attempt to resolve conflicts.
    """
    tip_before, result = (
        repository.commit_of(resolving_ref(worker)),
        repository.commit_of(adopted_result_ref(worker)),
    )
    tip = repository.commit_of(worker_branch(worker))
    # If no attempt was made to resolve conflicts, the refs do not exist. After a crash, one of the
    # refs may be missing.
    if not (tip_before and result and tip and repository.contains(tip, result)):
        return ()
    if worker.result and worker.result.unresolved:
        return worker.result.conflicts
    return repository.unresolved_files(tip_before, result, tip)


#: Maximum characters in a prompt: for all conflicts together, and for one side of one conflict.
MOST_CHARACTERS, MOST_OF_ONE = 24_000, 1_500


def with_conflicts(repository: Repository, assignment: Assignment) -> Assignment:
    """Return the assignment. If the worker resolves conflicts, add the text of each conflict.

    This function runs git, so the supervisor's thread must not call it. Raise RepositoryError if
    git fails.
    """
    worker = assignment.worker
    if worker.attempt < 2 or not (worker.result and worker.result.conflicts):
        return assignment
    tip_before, result = (
        repository.commit_of(resolving_ref(worker)),
        repository.commit_of(adopted_result_ref(worker)),
    )
    if not tip_before or not result:
        return assignment
    conflicts = repository.conflict_texts(tip_before, result)
    failure_text = "\n\n".join(
        [assignment.previous_failure, *_prompt_texts(repository, worker, result, conflicts)]
    )
    return replace(assignment, previous_failure=failure_text)


def _prompt_texts(
    repository: Repository, worker: Worker, result: str, conflicts: Sequence[ConflictText]
) -> Iterator[str]:
    paths_by_worker, remaining = _paths_by_worker(repository, worker, result), MOST_CHARACTERS
    for number, conflict in enumerate(conflicts):
        worker_ids = [
            worker_id for worker_id, paths in paths_by_worker.items() if conflict.path in paths
        ]
        text = _prompt_text(conflict, worker_ids)
        if len(text) > remaining:
            omitted = plural(len(conflicts) - number, "more conflict")
            yield f"{omitted}: git diff shows the markers."
            return
        remaining -= len(text)
        yield text


def _paths_by_worker(repository: Repository, worker: Worker, result: str) -> dict[str, set[str]]:
    branches = f"refs/heads/{BRANCHES}/{worker.root_id}/"
    paths_by_worker = {}
    for branch, tip in repository.commits_below(branches).items():
        worker_id = branch.removeprefix(branches)
        start = repository.commit_of(start_ref(replace(worker, id=worker_id)))
        if worker_id != worker.id and start and repository.contains(result, tip):
            paths_by_worker[worker_id] = {*repository.differing_paths(start, tip)}
    return paths_by_worker


def _prompt_text(conflict: ConflictText, others: Sequence[str]) -> str:
    also_changed = f", also changed by {', '.join(others)}" if others else ""
    if not conflict.line:
        command = f"git log -p --all -- {conflict.path}"
        return f"{conflict.path}{also_changed}: the whole file. To see both sides: {command}"
    texts = (
        ("Before both changes:", conflict.base),
        (f"By {' and '.join(others) or 'other workers'}, in the result so far:", conflict.theirs),
        ("By you:", conflict.ours),
    )
    parts = [f"{title}\n{_shortened(text)}" for title, text in texts]
    heading = f"{conflict.path}, at line {conflict.line} of your version{also_changed}:"
    return "\n".join([heading, *parts])


def _shortened(text: str) -> str:
    if not text:
        return "(nothing)"
    return cut(text, MOST_OF_ONE, "\n... (cut)").rstrip("\n")
