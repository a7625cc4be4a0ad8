"""Checks of the user's checkout before a landing or its undo. The checks change nothing."""

import os
import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from orchestrator.core.errors import BlockingFiles, Conflict
from orchestrator.core.text.command_name import COMMAND, git_in
from orchestrator.core.text.formatting import listed
from orchestrator.git.checkout.git_status import path_of
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit_diffs import differing
from orchestrator.git.repair.broken_worktrees import unfinished

#: Maximum number of files that an error names.
MOST_NAMED = 10


def check_committed(git: Git, dirt: str, job_id: str) -> None:
    """Raise BlockingFiles if files that were uncommitted at the job's start are still uncommitted.

    ``dirt``: the commit that saves the state of these files at the job's start.
    """
    saved_paths = git.run("diff-tree", "--name-only", "-r", "-z", f"{dirt}^", dirt, "--").fields
    top = git.run("rev-parse", "--show-toplevel").text
    options = ("--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    status = Git(top, git.env).run("status", *options).fields
    uncommitted = sorted({path_of(each) for each in status}.intersection(saved_paths))
    if uncommitted:
        files = "file is" if len(uncommitted) == 1 else "files are"
        raise BlockingFiles(
            f"cannot land: {len(uncommitted)} {files} still uncommitted since the job started: "
            f"{', '.join(uncommitted[:MOST_NAMED])}; nothing was changed; "
            f"commit first: {_commit_command(top, uncommitted)}; then: {COMMAND} land {job_id}",
            files=uncommitted,
        )


def _commit_command(top: str, paths: Sequence[str]) -> str:
    git = git_in(top)
    which = shlex.join(["--", *paths]) if len(paths) <= MOST_NAMED else "-A"
    return f"{git} add {which} && {git} commit"


def check_clean(git: Git) -> None:
    """Raise BlockingFiles if tracked files have uncommitted changes."""
    entries = _changed_entries(git)
    if not entries:
        return
    changed = [path_of(each) for each in entries]
    text = "the checkout has uncommitted changes; nothing was changed; commit or stash them first"
    text += f": {listed(changed, MOST_NAMED)}"
    if all(map(_is_other_commit, entries)):
        # If the user committed this difference after a landing, the commit would revert the landed
        # change.
        text = (
            f"submodules are at other commits than in HEAD: {listed(changed, MOST_NAMED)}; nothing "
            f"was changed; update them: {update_command(git, changed)}; if you made the "
            "difference, commit it instead"
        )
    raise BlockingFiles(text, files=changed)


def _is_other_commit(entry: str) -> bool:
    """True if the only change is that a submodule is at another commit than HEAD's.

    ``entry``: an entry of ``git status``.
    """
    kind, states, module, *_ = entry.split(" ")
    return (kind, states[0], module) == ("1", ".", "SC..")


def outdated_submodules(git: Git) -> list[str]:
    """Return the submodules whose only change is another commit, for example after a landing."""
    if not git.resolve("HEAD:.gitmodules"):
        return []
    return [path_of(each) for each in _changed_entries(git) if _is_other_commit(each)]


def update_command(git: Git, modules: Sequence[str]) -> str:
    top = git.run("rev-parse", "--show-toplevel").line
    return f"git -C {shlex.quote(top)} submodule update -- {shlex.join(modules)}"


def is_between(git: Git, before: str, after: str) -> bool:
    """True if a move of the checkout from ``before`` to ``after`` may have been interrupted.

    In this case, tracked files have uncommitted changes, and each changed file differs between the
    two commits.
    """
    changed = {path_of(each) for each in _changed_entries(git)}
    return bool(changed) and changed <= {*differing(git, "ADMT", before, after)}


def _changed_entries(git: Git) -> list[str]:
    return git.run("status", "--porcelain=v2", "-z", "--untracked-files=no").fields


def check_finished(git: Git) -> None:
    """Raise Conflict if a rebase, merge, or similar operation is unfinished."""
    # After a landing, an unfinished operation, such as a rebase, would continue from the wrong
    # commit.
    kinds = unfinished(Path(git.run("rev-parse", "--absolute-git-dir").line))
    if kinds:
        raise Conflict(
            f"the checkout has an unfinished {kinds[0]}; nothing was changed; finish or abort the "
            f"{kinds[0]} first"
        )


def check_untracked(git: Git, before: str, after: str) -> None:
    """Raise BlockingFiles if a move of the checkout to ``after`` would overwrite untracked files.

    This includes ignored files, which git would overwrite without a warning.
    """
    top = git.run("rev-parse", "--show-toplevel").line
    paths = differing(git, "A", before, after)
    tracked = {*git.run("ls-files", "-z", "--full-name", "--", top).fields}
    places = dict.fromkeys(filter(None, map(partial(_blocking_path, top), paths)))
    lost = [each for place in places for each in _files_at(top, place) if each not in tracked]
    if lost:
        files, them = ("file", "it") if len(lost) == 1 else ("files", "them")
        raise BlockingFiles(
            f"{len(lost)} untracked {files} would be overwritten: {', '.join(lost[:10])}; nothing "
            f"was changed; move {them} away first",
            files=lost,
        )


def _blocking_path(top: str, path: str) -> str:
    """Return the existing path that blocks a new file at ``path``; "" if no path blocks it.

    The result is ``path`` itself, or a file or link in place of a parent directory of ``path``.
    """
    parts = path.split("/")
    for count in range(1, len(parts)):
        above = "/".join(parts[:count])
        place = os.path.join(top, above)
        if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):
            return above
    return path if os.path.lexists(os.path.join(top, path)) else ""


def _files_at(top: str, path: str) -> Iterator[str]:
    if os.path.islink(os.path.join(top, path)) or not os.path.isdir(os.path.join(top, path)):
        yield path
        return
    with os.scandir(os.path.join(top, path)) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            yield from _files_at(top, f"{path}/{entry.name}")
