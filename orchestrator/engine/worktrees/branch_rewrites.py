"""Rewrites branches of workers: removes secrets, held-back files, and rejected attempts."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.gates.gate import SECRETS
from orchestrator.core.model.attempt.delivered_work import HeldBack
from orchestrator.core.model.attempt.failure import after, before
from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import checkpoint_refs
from orchestrator.core.repository.repository import Repository, signature_of


def without_secrets(
    repository: Repository, worker: Worker, branch: str, start: str, tip: str, message: str
) -> str:
    """Squash a worker's commits if the scan for secrets found a secret in an attempt.

    Without the squash, a secret that a later commit removed would remain in the merged history.
    Return the new branch head. Checkpoints still have the former head. Idempotent.

    ``start``, ``tip``: the worker's start commit and branch head.
    """
    has_secret = any(SECRETS in failure.gates for failure in worker.failures)
    if not has_secret or not start or list(repository.first_parent_commits(start, tip)) == [tip]:
        return tip
    commit = repository.replay(start, (), tip, message, signature_of(worker))
    repository.set_ref(branch, commit)
    return commit


def without_held_back(
    repository: Repository,
    branch: str,
    onto: str,
    tip: str,
    message: str,
    held: Sequence[HeldBack],
) -> tuple[str, tuple[HeldBack, ...]]:
    """Squash the commits of an attempt if they contain files that must not be committed.

    Without the squash, these files would remain in the merged history. If one of the commits is a
    merge, change nothing. Return the branch head, and ``held`` with the outcome for each file.
    Idempotent.

    ``onto``: the commit before the attempt. ``held``: the files that must not be committed.
    """
    affected_paths = (
        repository.paths_in_history(onto, tip, [each.path for each in held]) if held else ()
    )
    if not affected_paths:
        return tip, tuple(held)
    commit = repository.squash(onto, repository.commit_of(f"{tip}^"), tip, message)
    is_folded = commit != tip
    if is_folded:
        repository.set_ref(branch, commit)
    notes = (
        replace(each, folded=is_folded, in_history=not is_folded)
        if each.path in affected_paths
        else each
        for each in held
    )
    return commit, tuple(notes)


def without_rejected(
    repository: Repository, worker: Worker, branch: str, tip: str, message: str
) -> str:
    """Squash the commits of attempts that gates rejected into the commit of the current attempt.

    Squash only the rejected attempts directly before the current attempt. Return the new branch
    head. Idempotent.
    """
    first_attempt = _first_rejected(worker)
    ref_prefix = checkpoint_refs(worker.root_id, worker.id)
    checkpoint = before(first_attempt) if first_attempt == 1 else after(first_attempt - 1)
    onto = repository.commit_of(f"{ref_prefix}{checkpoint}")
    rejected_commit = repository.commit_of(f"{ref_prefix}{after(worker.attempt - 1)}")
    if (
        first_attempt == worker.attempt
        or not (onto and rejected_commit)
        or rejected_commit in (onto, tip)
    ):
        return tip
    if not (
        repository.contains(tip, rejected_commit) and repository.contains(rejected_commit, onto)
    ):
        return tip
    commit = repository.squash(onto, rejected_commit, tip, message)
    if commit != tip:
        repository.set_ref(branch, commit)
    return commit


def _first_rejected(worker: Worker) -> int:
    rejected_attempts = {failure.attempt for failure in worker.failures if failure.gates}
    first_attempt = worker.attempt
    while first_attempt - 1 in rejected_attempts:
        first_attempt -= 1
    return first_attempt
