"""Repairs a checkout in which a killed git process replaced only some of the files."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.git.command import leftover_files
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_diffs import differing
from orchestrator.git.landing import update_checkout
from orchestrator.system import process_table


def is_locked(git: Git) -> bool:
    """True if the index is locked by a running or a killed git command."""
    return os.path.lexists(_lock(git))


def has_only_added(git: Git, before: str, after: str) -> bool:
    """True if a killed git process wrote new files of ``after``, but did not add them to the index.

    New files are in the commit ``after``, but not in the commit ``before``. Git lists such files as
    untracked.
    """
    return is_locked(git) and any(_existing(git, before, after, "A"))


def restore(git: Git, before: str, after: str) -> bool:
    """Restore the files of ``before``, the commit of HEAD, after an interrupted move to ``after``.

    Return False without a change if a file matches neither commit, or if another git may be
    running.
    """
    indexed = any(update_checkout.is_index_of(git, each) for each in (before, after))
    if not indexed or _has_later_changes(git, before, after) or not _unlock(git):
        return False
    update_checkout.restore(git, before, after)
    return True


def _existing(git: Git, before: str, after: str, kinds: str) -> list[str]:
    top = _top(git)
    paths = differing(git, kinds, before, after)
    return [each for each in paths if os.path.lexists(os.path.join(top, each))]


def _has_later_changes(git: Git, before: str, after: str) -> bool:
    """True if a file was changed after the interruption.

    Such a file differs from its versions in both commits. A partly written file does not count: its
    content is the beginning of its version in ``after``.
    """
    others = {*_existing(git, before, after, "ADMT")}
    for commit, absent in ((before, "A"), (after, "D")):
        others &= _paths_unlike(git, commit) | {*differing(git, absent, before, after)}
    return not all(_is_beginning(git, after, each) for each in others)


def _paths_unlike(git: Git, commit: str) -> set[str]:
    with private_index() as env:
        git.run("read-tree", commit, env=env)
        git.run("update-index", "-q", "--refresh", env=env, accept=(0, 1))
        return {*git.run("diff-files", "--name-only", "-z", env=env).fields}


def _is_beginning(git: Git, commit: str, path: str) -> bool:
    # A git that is killed while it writes a file leaves an incomplete file.
    place = Path(_top(git), path)
    with suppress(RepositoryError, OSError):
        if stat.S_ISREG(place.lstat().st_mode):
            expected = git.run("cat-file", "--filters", f"{commit}:{path}").out
            return expected.startswith(place.read_bytes())
    return False


def _unlock(git: Git) -> bool:
    """Remove the index lock of a killed git process. Return True if the index is unlocked now."""
    lock = _lock(git)
    if os.path.lexists(lock) and not process_table.may_run_in(os.path.realpath(_top(git)), b"git"):
        leftover_files.clear([lock])
    return not os.path.lexists(lock)


def _lock(git: Git) -> str:
    return f"{git.run('rev-parse', '--absolute-git-dir').line}/index.lock"


def _top(git: Git) -> str:
    return git.run("rev-parse", "--show-toplevel").line
