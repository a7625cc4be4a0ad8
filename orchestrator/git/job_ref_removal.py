"""Removes the worktrees and refs of a root job.

Work that was not landed is saved first, on separate refs, if no other ref contains it.
"""

import logging
import os
from collections.abc import Iterable, Sequence

from orchestrator.core.errors import RepositoryError
from orchestrator.core.repository.git_refs import BRANCHES, candidate_refs, hidden, kept_refs
from orchestrator.git.command.ref_files import listed_refs
from orchestrator.git.command.runner import Git
from orchestrator.git.commits import submodules
from orchestrator.git.repository_location import GitLocation
from orchestrator.git.unlanded_work import is_unlanded_result, result_branches, save_commits

logger = logging.getLogger(__name__)


def remove(
    location: GitLocation, root_id: str, directory: str, current_directory: str
) -> Sequence[str]:
    """Remove the worktrees and refs of a root job, except a result that was not landed.

    Implements ``Repository.remove_job_refs``, which has the details.
    """
    directory = os.path.realpath(directory)
    refs = save_commits(location.git, location.worktrees, root_id, directory, current_directory)
    for worktree in location.worktrees.below(directory):
        location.worktrees.close(worktree.directory)
    refs = [*refs, *_drop_refs(location, root_id)]
    try:
        submodules.remove_job_refs(location.git, location.top, root_id)
    except RepositoryError as error:
        logger.warning(
            "git failed: branches of a removed job may remain in submodules; remove them with "
            "git branch",
            extra={"job": root_id, "error": error.message},
        )
    return refs


def discard(location: GitLocation, root_id: str, directory: str) -> Sequence[str]:
    """Remove all worktrees and refs of a root job, including a result that was not landed.

    Implements ``core.repository.repository.Repository.discard_job``, which has the details.
    """
    git, directory = location.git, os.path.realpath(directory)
    for worktree in location.worktrees.below(directory):
        location.worktrees.close(worktree.directory)
    landed = [
        each for each in result_branches(git, root_id) if not is_unlanded_result(git, root_id, each)
    ]
    removed = listed_refs(git, f"refs/heads/{BRANCHES}/{root_id}/").keys() - {*landed}
    # Keep the refs with the former commits of the user's branches for ``undo``.
    notes = listed_refs(git, f"{hidden(root_id)}landed/") if landed else {}
    removed |= listed_refs(git, hidden(root_id)).keys() - notes.keys()
    removed |= listed_refs(git, kept_refs(root_id)).keys()
    _delete(git, sorted(removed))
    return sorted(each for each in removed if not each.startswith(hidden(root_id)))


def _delete(git: Git, names: Iterable[str]) -> None:
    git.update_refs(dict.fromkeys(names, ""))


def _drop_refs(location: GitLocation, root_id: str) -> Sequence[str]:
    """Remove the refs of a root job. Return the branches that remain.

    A result branch remains if it was not landed. If a result branch remains, the branches of
    candidates that were not chosen remain, too.
    """
    branches = f"refs/heads/{BRANCHES}/{root_id}/"
    git = location.git
    names = listed_refs(git, branches).keys()
    remaining = {name for name in names if is_unlanded_result(git, root_id, name)}
    if remaining:
        # Keep the work of candidates that were not chosen, too, because a user who has not landed
        # the result may want it.
        others = candidate_refs(root_id)
        remaining |= {name.replace(others, branches, 1) for name in listed_refs(git, others)}
    _delete(git, [*(names - remaining), *listed_refs(git, hidden(root_id))])
    return sorted(names & remaining)
