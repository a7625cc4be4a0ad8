"""The host project's repository, by the program git.

- ``base``: What a job starts from: the base commit, and uncommitted work
- ``cleanup``: What goes, and what is kept, when a job is removed
- ``command``: Running git: its settings, its locks, names of refs
- ``commits``: Reading and making commits of worktrees
- ``environments``: Ignored files, environments and packages of a project, in its worktrees
- ``landing``: Taking a job's result into the user's checkout, onto a branch, or to a pull request
- ``merge``: Merging commits and files without a checkout
- ``repair``: Repairing what workers broke: repositories, worktrees, refs
- ``submodules``: Submodules: in worktrees, and the user's own
- ``user_repository``: The user's own checkout and refs: read, not written
- ``worktrees``: Worktrees: where they are, making, reusing and mending them
"""

from orchestrator.git.commits.diff import between, of_worker
from orchestrator.git.commits.never_commit import NeverCommit
from orchestrator.git.environments.copied_files import CopyRules
from orchestrator.git.landing.authorship import signature_of_user
from orchestrator.git.landing.land import Landing, LandOptions
from orchestrator.git.landing.pull_request import PullRequest
from orchestrator.git.repair.user_repository import BranchRestore, Restorable, RestoreState
from orchestrator.git.repository import GitRepository

__all__ = [
    "BranchRestore",
    "CopyRules",
    "GitRepository",
    "LandOptions",
    "Landing",
    "NeverCommit",
    "PullRequest",
    "Restorable",
    "RestoreState",
    "between",
    "of_worker",
    "signature_of_user",
]
