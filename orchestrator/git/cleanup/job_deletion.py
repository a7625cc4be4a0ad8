"""Removes the worktrees and refs of a root job. Work that was not landed is kept."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.repository.git_refs import BRANCHES, candidate_refs, hidden, kept_refs
from orchestrator.git.cleanup import unmerged_work
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.landing import squash
from orchestrator.git.repository_location import GitLocation
from orchestrator.git.submodules import user_submodules

#: Used in place of a commit, for uncommitted files.
UNCOMMITTED = "uncommitted"

logger = logging.getLogger(__name__)


def forget(place: GitLocation, root_id: str, directory: str, present: str) -> Sequence[str]:
    """Implements ``core.repository.repository.Repository.forget``."""
    directory = os.path.realpath(directory)
    kept = unmerged_work.keep(place.git, place.worktrees, root_id, directory, present)
    for found in list(place.worktrees.all()):
        if found.directory.startswith(f"{directory}/"):
            place.worktrees.close(found.directory)
    _drop_refs(place, root_id)
    try:
        user_submodules.forget(place.git, place.top, root_id)
    except RepositoryError as error:
        logger.warning(
            "cannot remove the branches of a job from submodules", extra={"error": error.message}
        )
    return kept


def unlanded(place: GitLocation, root_id: str, directory: str) -> dict[str, str]:
    """Return the commits of a root job that are on none of the user's branches, by full ref.

    A worktree that remained after a full disk or a crash is included by its path, with the value
    ``UNCOMMITTED``.
    """
    git = place.git
    branches = f"refs/heads/{BRANCHES}/{root_id}/"
    results = _results(git, root_id)
    wanted = {name: commit for name, commit in results.items() if _is_wanted(git, root_id, name)}
    others = unmerged_work.not_in(git, root_id, list(results.values()))
    found = {**wanted, **{f"{branches}{name}": commit for name, commit in others.items()}}
    kept = {name: git.run("rev-parse", name).text for name in _below(git, kept_refs(root_id))}
    present = (each.directory for each in place.worktrees.all())
    left = {each: UNCOMMITTED for each in present if each.startswith(f"{directory}/")}
    return {**found, **kept, **left}


def discard(place: GitLocation, root_id: str, directory: str) -> Sequence[str]:
    """Implements ``core.repository.repository.Repository.discard``."""
    git, directory = place.git, os.path.realpath(directory)
    for found in list(place.worktrees.all()):
        if found.directory.startswith(f"{directory}/"):
            place.worktrees.close(found.directory)
    landed = [each for each in _results(git, root_id) if not _is_wanted(git, root_id, each)]
    gone = _below(git, f"refs/heads/{BRANCHES}/{root_id}/") - {*landed}
    # ``undo`` needs the former commits of the user's branches.
    notes = _below(git, f"{hidden(root_id)}landed/") if landed else set()
    gone |= _below(git, hidden(root_id)) - notes
    gone |= _below(git, kept_refs(root_id))
    _delete(git, sorted(gone))
    return sorted(each for each in gone if not each.startswith(hidden(root_id)))


def _results(git: Git, root_id: str) -> dict[str, str]:
    prefix = f"refs/heads/{BRANCHES}/{root_id}/result"
    shown = git.run("for-each-ref", "--format=%(refname) %(objectname)", f"{prefix}*").text
    return dict(line.split(" ") for line in shown.splitlines())


def _delete(git: Git, names: Iterable[str]) -> None:
    given = "".join(f"delete {name}\n" for name in names)
    git.run("update-ref", *ITSELF, "--stdin", given=given.encode())


def _drop_refs(place: GitLocation, root_id: str) -> None:
    branches = f"refs/heads/{BRANCHES}/{root_id}/"
    git = place.git
    own = _below(git, branches)
    kept = {name for name in own if _is_wanted(git, root_id, name)}
    if kept:
        # Keep the other candidates' work, too: a user who has not merged the result may still want
        # it.
        others = candidate_refs(root_id)
        kept |= {name.replace(others, branches, 1) for name in _below(git, others)}
    _delete(git, [*(own - kept), *_below(git, hidden(root_id))])


def _below(git: Git, prefix: str) -> set[str]:
    return set(git.run("for-each-ref", "--format=%(refname)", prefix).text.splitlines())


def _is_wanted(git: Git, root_id: str, name: str) -> bool:
    """True for a result branch whose changes are on no branch of the user.

    Changes in rewritten commits count as well.
    """
    last = name.rpartition("/")[2]
    if not last.startswith("result"):
        return False
    job_id = last.removeprefix("result").removeprefix("_") or root_id
    if squash.is_landed(git, root_id, job_id, git.ask("rev-parse", name)):
        return False
    shown = git.run("for-each-ref", "--format=%(refname)", f"--contains={name}", "refs/heads")
    own = f"refs/heads/{BRANCHES}/"
    return all(each.startswith(own) for each in shown.text.splitlines())


def has_traces(common: Path, root_id: str) -> bool:
    """Return False if a job certainly has no refs in the repository, otherwise True.

    Only reads the files in which git stores refs, because it is called for every removed job.
    Returns True if refs are stored otherwise, for example in a reftable.
    """
    kinds = (common / "refs" / "heads" / BRANCHES, common / "refs" / BRANCHES)
    if any((each / root_id).exists() for each in kinds) or (common / "reftable").exists():
        return True
    packed = common / "packed-refs"
    return packed.exists() and f"{BRANCHES}/{root_id}/".encode() in packed.read_bytes()
