"""The host project's repository, by the program git."""

from orchestrator.git.authors import signature_of_user
from orchestrator.git.carrying import Rules
from orchestrator.git.differences import between, of_worker
from orchestrator.git.landing import How, Landing
from orchestrator.git.never_commit import NeverCommit
from orchestrator.git.pull_requests import PullRequest
from orchestrator.git.repository import GitRepository
from orchestrator.git.restoring import Restorable, Restoring, Standing

__all__ = [
    "GitRepository",
    "How",
    "Landing",
    "NeverCommit",
    "PullRequest",
    "Restorable",
    "Restoring",
    "Rules",
    "Standing",
    "between",
    "of_worker",
    "signature_of_user",
]
