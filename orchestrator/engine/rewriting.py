"""A worker's commits told as one, once the scan for secrets has found something in them.

A secret that was taken out of the files would stay in the history of what is merged.
"""

from orchestrator.core.gates import SECRETS
from orchestrator.core.model import Worker
from orchestrator.core.repository import Repository, signature_of


def without_secrets(
    repository: Repository, worker: Worker, branch: str, start: str, tip: str, message: str
) -> str:
    """What a branch is at then. What it was at is in the checkpoints. Idempotent."""
    failures = worker.result.failures if worker.result else ()
    is_refused = any(SECRETS in failure.gates for failure in failures)
    if not is_refused or not start or list(repository.line(start, tip)) == [tip]:
        return tip
    commit = repository.replay(start, (), tip, message, signature_of(worker))
    repository.point(branch, commit)
    return commit
