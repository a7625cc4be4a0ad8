"""Commits of a root job that are on no branch of the user, and refs that save such commits."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.repository.git_refs import BRANCHES, hidden, kept_refs, undone_refs
from orchestrator.core.repository.repository import Signature
from orchestrator.git.command import frozen_config
from orchestrator.git.command.ref_files import is_in_users_refs, listed_refs, part_of_ref
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.commits import submodules
from orchestrator.git.environments.copied_files import copied_paths
from orchestrator.git.landing import squash
from orchestrator.git.repository_location import GitLocation
from orchestrator.git.worktrees.worktrees import GitWorktrees, RegisteredWorktree, is_complete

logger = logging.getLogger(__name__)

_NOBODY = Signature(name="orchestrator", email="clean@orchestrator.invalid")
_RESULT = "result"
#: Suffix of the name of a worker's ref, if a directory of refs already has the worker's name.
_WORK = "+work"
#: Separator between a worker's name and the number of an attempt that was rolled back.
_ATTEMPT = "+attempt-"


def save_commits(
    git: Git, worktrees: GitWorktrees, root_id: str, directory: str, current_directory: str
) -> Sequence[str]:
    """Create a ref for each commit with changes that would be lost with the job.

    Return the created refs, and the existing refs that save side work of the job's workers.

    ``directory``: path of the job's directory when its worktrees were created.
    ``current_directory``: the directory's current path, which differs if the caller has renamed the
    directory.
    """
    starts = _refs_below(git, f"{hidden(root_id)}start/")
    results, tips = _results_and_tips(git, root_id)
    tips |= dict(_uncommitted(git, worktrees, tips, root_id, directory, current_directory))
    tips |= _rolled_back(git, root_id)
    nested = _refs_below(git, kept_refs(root_id))
    refs = []
    for name, commit in tips.items():
        start = starts.get(name.partition("+")[0], "")
        if not _is_safe(git, commit, start, results):
            is_taken = any(each.startswith(f"{name}/") for each in nested)
            refs.append(f"{kept_refs(root_id)}{name}{_WORK if is_taken else ''}")
            git.run("update-ref", *ITSELF, "-m", "orchestrator: kept", refs[-1], commit)
    return [*refs, *(f"{kept_refs(root_id)}{name}" for name in nested if "/" in name)]


def lost_commits(git: Git, root_id: str, holders: Sequence[str]) -> dict[str, str]:
    """Return the workers' commits whose changes would be lost with the job's branches.

    Changes are lost if they are neither in a commit of ``holders`` nor on a branch of the user. A
    key is the worker's name, with a suffix for an attempt that was rolled back.
    """
    starts = _refs_below(git, f"{hidden(root_id)}start/")
    tips = {**_results_and_tips(git, root_id)[1], **_rolled_back(git, root_id)}
    return {
        name: commit
        for name, commit in tips.items()
        if not _is_safe(git, commit, starts.get(name.partition("+")[0], ""), holders)
    }


def _results_and_tips(git: Git, root_id: str) -> tuple[list[str], dict[str, str]]:
    branches = _refs_below(git, f"refs/heads/{BRANCHES}/{root_id}/")
    results = [commit for name, commit in branches.items() if name.startswith(_RESULT)]
    return results, {
        name: commit for name, commit in branches.items() if not name.startswith(_RESULT)
    }


def _rolled_back(git: Git, root_id: str) -> dict[str, str]:
    refs = _refs_below(git, undone_refs(root_id))
    return {name.replace("/", _ATTEMPT): commit for name, commit in refs.items()}


def _refs_below(git: Git, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): commit for name, commit in listed_refs(git, prefix).items()}


def _uncommitted(
    users: Git,
    worktrees: GitWorktrees,
    tips: dict[str, str],
    root_id: str,
    directory: str,
    current_directory: str,
) -> Iterator[tuple[str, str]]:
    """Yield a name and a commit for each worktree in which a crash left uncommitted files.

    ``tips``: the head of each worker's branch. If the commit contains this head, the name is the
    worker's name. Otherwise, ``+worktree`` is added to the name, so that the caller saves the head
    and the commit under different names. ``directory`` and ``current_directory``: as in
    ``save_commits``.
    """
    for worktree in worktrees.below(directory):
        moved = f"{current_directory}{worktree.directory.removeprefix(directory)}"
        if not is_complete(moved):
            continue
        worker = part_of_ref(os.path.basename(os.path.dirname(worktree.directory)))
        git = worktrees.git_of(RegisteredWorktree(moved, worktree.admin))
        try:
            worktrees.unlock(worktree, f"refs/heads/{BRANCHES}/none")
            message, name = f"Uncommitted files of {worker}", f"{kept_refs(root_id)}{worker}"
            worktree_and_top = (git, worktree.admin, users.directory)
            inner = submodules.snapshot(*worktree_and_top, name, message, _NOBODY)
            rules = commits.CommitRules(
                patterns=frozen_config.FrozenIgnoreRules(
                    worktree.admin.parents[1], Path(current_directory, frozen_config.IGNORE_RULES)
                ),
                start=f"{hidden(root_id)}start/{worker}",
                without=copied_paths(worktree.admin),
            )
            commit, _ = commits.snapshot(git, worktree.admin, message, _NOBODY, inner, rules)
        except RepositoryError as error:
            about = {"worktree": worktree.directory, "error": error.message}
            logger.warning("cannot save the files of a worktree", extra=about)
            continue
        tip = tips.get(worker, commit)
        on_top = commits.contains(git, commit, tip)
        yield worker if on_top else f"{worker}+worktree", commit


def _is_safe(git: Git, commit: str, start: str, results: Sequence[str]) -> bool:
    """True if no change is lost when the refs of ``commit`` are removed.

    One of these conditions is enough:

    - The commit has no changes since ``start``.
    - The changes are in one of ``results``.
    - A branch, tag, or remote-tracking branch of the user contains the commit.
    """
    if start and not commits.has_changes(git, start, commit):
        return True
    if any(_has_changes_of(git, result, commit) for result in results):
        return True
    return is_in_users_refs(git, commit, "refs/heads", "refs/tags", "refs/remotes")


def _has_changes_of(git: Git, result: str, commit: str) -> bool:
    # Merge the commit into the result: the result does not change if it contains the commit's
    # changes. These changes are then safe, because the removal keeps a result that is on no branch
    # of the user.
    trial = git.run("merge-tree", "--write-tree", "-z", result, commit, accept=(0, 1, 128))
    if trial.code != 0:
        return False
    return os.fsdecode(trial.out).partition("\0")[0] == commits.tree_of(git, result)


#: Value in place of a commit, for a worktree with uncommitted files.
UNCOMMITTED = "uncommitted"


def unlanded(location: GitLocation, root_id: str, directory: str) -> dict[str, str]:
    """Return the commits of a root job that are on no branch of the user, by full ref name.

    The result also has an item for each worktree that remains after a full disk or a crash. The
    item's key is the worktree's path, and its value is ``UNCOMMITTED``.
    """
    git = location.git
    branches = f"refs/heads/{BRANCHES}/{root_id}/"
    results = result_branches(git, root_id)
    unlanded_results = {
        name: commit for name, commit in results.items() if is_unlanded_result(git, root_id, name)
    }
    others = lost_commits(git, root_id, list(results.values()))
    refs = {**unlanded_results, **{f"{branches}{name}": commit for name, commit in others.items()}}
    remaining = {each.directory: UNCOMMITTED for each in location.worktrees.below(directory)}
    return {**refs, **listed_refs(git, kept_refs(root_id)), **remaining}


def result_branches(git: Git, root_id: str) -> dict[str, str]:
    return listed_refs(git, f"refs/heads/{BRANCHES}/{root_id}/result*")


def is_unlanded_result(git: Git, root_id: str, name: str) -> bool:
    """True if the ref ``name`` is a result branch whose changes are on no branch of the user.

    Changes that were landed as rewritten commits count as changes on a branch of the user.
    """
    last = name.rpartition("/")[2]
    if not last.startswith("result"):
        return False
    job_id = last.removeprefix("result").removeprefix("_") or root_id
    if squash.is_landed(git, root_id, job_id, git.ask("rev-parse", name)):
        return False
    return not is_in_users_refs(git, name, "refs/heads")
