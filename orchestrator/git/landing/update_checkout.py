"""Moves the user's checkout from one commit to another: branch, index, and files.

If the move is impossible, nothing changes.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, RepositoryError
from orchestrator.git.command import leftover_files
from orchestrator.git.command.runner import Git, with_nul
from orchestrator.git.commits.commit_diffs import differing
from orchestrator.git.landing.checkout_checks import check_clean, check_finished, check_untracked


def move(
    git: Git, before: str, after: str, why: str, drop: Sequence[str] = (), mark: str = ""
) -> None:
    """Move the checkout from ``before``, the commit of HEAD, to ``after``.

    Then remove the refs in ``drop``. Raise Conflict and change nothing if the move is impossible.
    ``why``: text for the log of HEAD. ``mark``: a ref that exists while the files are a mix of both
    commits.
    """
    check_clean(git)
    check_finished(git)
    check_untracked(git, before, after)
    _check_locks(git, before, after, drop, mark)
    # First let git compare the contents of files. A file with a new time may have its old content,
    # and a changed file may look unchanged in the index.
    _run_or_conflict(git, "update-index", "--refresh", accept=(0, 1))
    _run_or_conflict(git, "read-tree", "-n", "-m", "-u", before, after)
    if mark:
        _run_or_conflict(git, "update-ref", mark, before)
    failpoints.reached("landing: about to move")
    earlier_locks = _lock_files(git)
    try:
        _run_or_conflict(git, "reset", "--keep", after, env={"GIT_REFLOG_ACTION": why})
    except Conflict:
        # Remove locks that a killed git process has left, because they would block the next
        # command.
        leftover_files.clear(_lock_files(git) - earlier_locks)
        # Git moves the branch last. If HEAD is at ``after``, the files and the index are complete.
        if git.ask("rev-parse", "--verify", "HEAD") != after:
            restore(git, before, after)
            if mark:
                git.run("update-ref", "-d", mark)
            raise
    failpoints.reached("landing: moved")
    for ref in (*drop, *filter(None, [mark])):
        _drop(git, ref)


def _check_locks(git: Git, before: str, after: str, drop: Sequence[str], mark: str) -> None:
    # Git itself would notice a locked ref only after it has written all files.
    lines = [f"update HEAD {after} {before}", *(f"delete {ref}" for ref in drop)]
    lines += [f"update {mark} {before}"] if mark else []
    request = os.fsencode("\n".join(["start", *lines, "prepare", "abort", ""]))
    _run_or_conflict(git, "update-ref", "--stdin", stdin=request)


def _run_or_conflict(git: Git, *arguments: str, **more: Any) -> None:
    try:
        git.run(*arguments, **more)
    except (RepositoryError, OSError) as error:
        raise Conflict(f"{error}; nothing was changed") from error


def _drop(git: Git, ref: str) -> None:
    earlier_locks = _lock_files(git)
    try:
        git.run("update-ref", "-d", ref)
    except RepositoryError:
        # The checkout has already moved, so retry after removing the lock that a killed git process
        # has left on packed refs.
        leftover_files.clear(_lock_files(git) - earlier_locks)
        git.run("update-ref", "-d", ref)


def _lock_files(git: Git) -> set[str]:
    own, common = (
        git.run("rev-parse", "--path-format=absolute", what).line
        for what in ("--git-dir", "--git-common-dir")
    )
    branch = git.ask("symbolic-ref", "--quiet", "HEAD")
    places = [f"{own}/{name}" for name in ("index", "HEAD", "ORIG_HEAD")]
    places += [f"{common}/{name}" for name in ("packed-refs", branch)]
    return {f"{place}.lock" for place in places if os.path.lexists(f"{place}.lock")}


def is_index_of(git: Git, commit: str) -> bool:
    """True if the index has the same content as ``commit``."""
    command = ("diff-index", "--cached", "--quiet", commit, "--")
    return git.run(*command, accept=range(256)).code == 0


def restore(git: Git, before: str, after: str) -> None:
    """Restore the files of the commit ``before`` after an interrupted move to ``after``.

    The caller must have checked that none of the changed files has changes of the user.
    """
    if is_index_of(git, after):
        git.run("read-tree", "-m", after, before)
    top = git.run("rev-parse", "--show-toplevel").line
    for path in differing(git, "A", before, after):
        _remove(top, path)
    paths = with_nul(differing(git, "a", before, after))
    with suppress(RepositoryError):
        Git(top, git.env, git.umask).run("checkout-index", "-f", "-q", "-z", "--stdin", stdin=paths)


def _remove(top: str, path: str) -> None:
    place = os.path.join(top, path)
    with suppress(OSError):
        if os.path.isdir(place) and not os.path.islink(place):
            os.rmdir(place)
        else:
            os.unlink(place)
    above = os.path.dirname(path)
    with suppress(OSError):
        while above:
            os.rmdir(os.path.join(top, above))
            above = os.path.dirname(above)
