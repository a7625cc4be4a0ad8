"""Rewrites a worker's commits without secrets, excluded files, and attempts that gates rejected."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.model.attempt.delivery import HeldBack
from orchestrator.core.model.attempt.failure import after, before
from orchestrator.core.model.gate import SECRETS
from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import checkpoint_refs
from orchestrator.core.repository.repository import Repository, signature_of


def without_secrets(
    repository: Repository, worker: Worker, branch: str, start: str, tip: str, message: str
) -> str:
    """Fold the commits into one if the scan for secrets has found something in them.

    Otherwise a secret that a later commit removed would be in the merged history. Return the new
    branch head. The checkpoints have the former head. Idempotent.
    """
    failures = worker.result.failures if worker.result else ()
    is_refused = any(SECRETS in failure.gates for failure in failures)
    if not is_refused or not start or list(repository.line(start, tip)) == [tip]:
        return tip
    commit = repository.replay(start, (), tip, message, signature_of(worker))
    repository.point(branch, commit)
    return commit


def without_held_back(
    repository: Repository,
    branch: str,
    onto: str,
    tip: str,
    message: str,
    held: Sequence[HeldBack],
) -> tuple[str, tuple[HeldBack, ...]]:
    """Fold the commits of an attempt into one if they have files that are never committed.

    ``tip`` has no such files, but the merged history would have them. Commits are unchanged if one
    of them is a merge. Return the new branch head. Idempotent.
    """
    before = repository.tip(f"{tip}^")
    inside = repository.in_history(onto, tip, [each.path for each in held]) if held else ()
    if not inside:
        return tip, tuple(held)
    commit = repository.folded(onto, before, tip, message)
    is_folded = commit != tip
    if is_folded:
        repository.point(branch, commit)
    told = (
        replace(each, folded=is_folded, in_history=not is_folded) if each.path in inside else each
        for each in held
    )
    return commit, tuple(told)


def without_refused(
    repository: Repository, worker: Worker, branch: str, tip: str, message: str
) -> str:
    """Fold the commits of the directly preceding attempts, which gates rejected, into this
    attempt's commit.

    Return the new branch head. Idempotent.
    """
    first = _first_refused(worker)
    names = checkpoint_refs(worker.root_id, worker.id)
    began = before(first) if first == 1 else after(first - 1)
    onto = repository.tip(f"{names}{began}")
    refused = repository.tip(f"{names}{after(worker.attempt - 1)}")
    if first == worker.attempt or not (onto and refused) or refused in (onto, tip):
        return tip
    if not (repository.contains(tip, refused) and repository.contains(refused, onto)):
        return tip
    commit = repository.folded(onto, refused, tip, message)
    if commit != tip:
        repository.point(branch, commit)
    return commit


def _first_refused(worker: Worker) -> int:
    """Return the number of the first of the consecutive rejected attempts before this attempt.

    If there is none, return the number of this attempt.
    """
    failures = worker.result.failures if worker.result else ()
    refused = {failure.attempt for failure in failures if failure.gates}
    first = worker.attempt
    while first - 1 in refused:
        first -= 1
    return first
