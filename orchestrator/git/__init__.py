"""The project's repository, accessed by the program git.

- ``checkout``: Reading the user's checkout: state, ref logs, and the files that git excludes
- ``command``: Running git, with its settings, locks, and refs
- ``commits``: Reading and creating commits of worktrees
- ``environments``: Ignored files, environments, and packages that worktrees get from the checkout
- ``landing``: Landing a job's result: in the user's checkout, on a branch, or as a pull request
- ``merge``: Merging commits and files without a checkout
- ``repair``: Repairing repositories, worktrees, and refs that workers broke; rolling worktrees back
- ``worktrees``: Creating, finding, reusing, and removing worktrees

Some parameters have the same meaning in all modules of this package. ``top``: the top directory of
the user's checkout. ``common``: the git directory that all worktrees share. ``admin``: the git
directory of one worktree, ``.git/worktrees/NAME``. ``ours``: the product's own folders in the
checkout, relative to ``top``.

The names in this package are imported on first use, so that a command loads only the modules that
it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.git.commits.commit_diffs import between, of_worker, spans_of_worker
    from orchestrator.git.commits.held_back_files import NeverCommit
    from orchestrator.git.environments.copied_files import CopyRules
    from orchestrator.git.landing.authorship import signature_of_user
    from orchestrator.git.landing.land_and_undo import Landing
    from orchestrator.git.landing.pull_request import PullRequest
    from orchestrator.git.repair.user_repository_restore import (
        RepositoryRestore,
        Restorable,
        RestoreState,
    )
    from orchestrator.git.repository import GitRepository

#: Module of each public name. Modules are imported when the name is first used.
_HOMES = {
    "RepositoryRestore": "repair.user_repository_restore",
    "CopyRules": "environments.copied_files",
    "GitRepository": "repository",
    "Landing": "landing.land_and_undo",
    "NeverCommit": "commits.held_back_files",
    "PullRequest": "landing.pull_request",
    "Restorable": "repair.user_repository_restore",
    "RestoreState": "repair.user_repository_restore",
    "between": "commits.commit_diffs",
    "of_worker": "commits.commit_diffs",
    "signature_of_user": "landing.authorship",
    "spans_of_worker": "commits.commit_diffs",
}

__all__ = [
    "CopyRules",
    "GitRepository",
    "Landing",
    "NeverCommit",
    "PullRequest",
    "RepositoryRestore",
    "Restorable",
    "RestoreState",
    "between",
    "of_worker",
    "signature_of_user",
    "spans_of_worker",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
