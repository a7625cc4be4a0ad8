"""What is left of a root job that is removed: its worktrees and refs go, what nobody took stays."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.refs import BRANCHES, candidate_refs, hidden
from orchestrator.git import leftovers, users_submodules
from orchestrator.git.place import Place
from orchestrator.git.running import ITSELF

logger = logging.getLogger(__name__)


def forget(place: Place, root_id: str, directory: str, present: str) -> Sequence[str]:
    """See ``core.repository``."""
    directory = os.path.realpath(directory)
    kept = leftovers.keep(place.git, place.worktrees, root_id, directory, present)
    for found in list(place.worktrees.all()):
        if found.directory.startswith(f"{directory}/"):
            place.worktrees.close(found.directory)
    _drop_refs(place, root_id)
    try:
        users_submodules.forget(place.git, place.top, root_id)
    except RepositoryError as error:
        logger.warning("branches in submodules are left", extra={"error": error.message})
    return kept


def _drop_refs(place: Place, root_id: str) -> None:
    branches = f"refs/heads/{BRANCHES}/{root_id}/"
    own = _below(place, branches)
    kept = {name for name in own if _is_wanted(place, name)}
    if kept:
        # Whoever has not taken the result may still want another candidate's work.
        others = candidate_refs(root_id)
        kept |= {name.replace(others, branches, 1) for name in _below(place, others)}
    gone = [*(own - kept), *_below(place, hidden(root_id))]
    given = "".join(f"delete {name}\n" for name in gone)
    place.git.run("update-ref", *ITSELF, "--stdin", given=given.encode())


def _below(place: Place, prefix: str) -> set[str]:
    return set(place.git.run("for-each-ref", "--format=%(refname)", prefix).text.splitlines())


def _is_wanted(place: Place, name: str) -> bool:
    """A result that is on no branch of the user's."""
    if not name.rpartition("/")[2].startswith("result"):
        return False
    shown = place.git.run("for-each-ref", "--format=%(refname)", f"--contains={name}", "refs/heads")
    own = f"refs/heads/{BRANCHES}/"
    return all(each.startswith(own) for each in shown.text.splitlines())


def has_traces(common: Path, root_id: str) -> bool:
    """Whether a job may have left anything: asked for every job that is removed.

    By the files in which git keeps refs; of refs kept in another way nothing is known, so they
    may be there.
    """
    kinds = (common / "refs" / "heads" / BRANCHES, common / "refs" / BRANCHES)
    if any((each / root_id).exists() for each in kinds) or (common / "reftable").exists():
        return True
    packed = common / "packed-refs"
    return packed.exists() and f"{BRANCHES}/{root_id}/".encode() in packed.read_bytes()
