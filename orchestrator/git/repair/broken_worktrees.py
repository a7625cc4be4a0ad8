"""Repairs worktrees that agents damaged, so that git can commit their files."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.text.formatting import listed
from orchestrator.git.command.runner import ITSELF, Git, with_nul
from orchestrator.git.commits.commit_creation import unused_name
from orchestrator.git.worktrees.worktrees import (
    MOVED_SUFFIX,
    GitWorktrees,
    RegisteredWorktree,
    refill,
)
from orchestrator.security.files.tree_removal import remove
from orchestrator.security.files.untrusted_files import read_regular

#: Maximum size of a file with the id of a commit, in bytes.
MOST_BYTES = 4096
#: Files in the worktree's git directory (``.git/worktrees/NAME``), each with the unfinished
#: operation that the file shows.
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
_LEFTOVERS = ("MERGE_MSG", "MERGE_MODE", "MERGE_RR", "AUTO_MERGE", "REBASE_HEAD", "sequencer")
_BISECT = ("BISECT_TERMS", "BISECT_NAMES", "BISECT_EXPECTED_REV", "BISECT_START")


def repair(worktrees: GitWorktrees, directory: str, branch: str, start: str) -> list[str]:
    """Repair a worktree. Return a text for each damage. Idempotent.

    The content of files is not repaired. Unfinished operations, such as a rebase, are not aborted,
    but the result names them. ``start``: the commit at which a deleted branch is recreated.
    """
    moved = f"{directory}{MOVED_SUFFIX}"
    if not os.path.lexists(directory) and os.path.lexists(moved):
        os.rename(moved, directory)
    if not os.path.lexists(directory):
        worktrees.open(directory, branch, start)
        return ["the directory was deleted"]
    broken = list(_repair_link(worktrees, directory, branch))
    worktree = worktrees.find(directory)
    if worktree is None:
        raise RepositoryError(f"the worktree {directory} no longer exists")
    worktrees.unlock(worktree, branch)
    git = worktrees.git_of(worktree)
    index = [] if worktrees.is_sound(worktree) else _repair_index(git, worktree)
    damage = [*_repair_head(git, worktree, branch, start), *index]
    if not damage:
        worktrees.note_sound(worktree)
    broken += damage
    return broken + [f"unfinished {kind}" for kind in unfinished(worktree.admin)]


def _repair_link(worktrees: GitWorktrees, directory: str, branch: str) -> Iterator[str]:
    """Restore the file ``.git``, which names the worktree's git directory.

    Yield a text for each damage.
    """
    worktree = worktrees.find(directory)
    if worktree is None:
        worktree = worktrees.register_again(directory, branch)
        yield "the git directory was removed"
    link, content = f"{directory}/.git", f"gitdir: {worktree.admin}\n".encode()
    if not os.path.lexists(link):
        yield ".git was deleted"
    elif os.path.islink(link) or not os.path.isfile(link):
        yield ".git was replaced"
        os.rename(link, unused_name(f"{directory}.git"))
    elif Path(link).read_bytes().strip() != content.strip():
        yield ".git points to another place"
    else:
        return
    Path(link).write_bytes(content)


def _repair_head(git: Git, worktree: RegisteredWorktree, branch: str, start: str) -> Iterator[str]:
    if not is_head(worktree.admin / "HEAD"):
        (worktree.admin / "HEAD").unlink(missing_ok=True)
        (worktree.admin / "HEAD").write_text(f"ref: {branch}\n")
        yield "HEAD was unreadable"
    if git.resolve("HEAD^{commit}"):
        return
    yield "HEAD pointed to no commit"
    if not git.resolve(f"{branch}^{{commit}}"):
        git.run("update-ref", *ITSELF, branch, start)
    git.run("symbolic-ref", "HEAD", branch)


def is_head(path: Path) -> bool:
    """True if the file is a valid HEAD. Without a valid HEAD, git recognizes no repository."""
    try:
        content = path.read_text("utf-8").strip() if path.is_file() else ""
    except (OSError, ValueError):
        return False
    hexadecimal = len(content) in (40, 64) and not content.strip("0123456789abcdef")
    return hexadecimal or content.startswith("ref: refs/")


def _repair_index(git: Git, worktree: RegisteredWorktree) -> Iterator[str]:
    if not (worktree.admin / "index").exists():
        git.run("read-tree", "HEAD")
        return
    try:
        # This command lists conflicts as well as flags.
        fields = git.run("ls-files", "-v", "-z").fields
    except RepositoryError:
        refill(git, worktree.admin)
        yield "the index was unreadable"
        return
    marked = [(each[0], each[2:]) for each in fields if not each.startswith("H")]
    _clear_flags(git, marked)
    paths = list(dict.fromkeys(path for tag, path in marked if tag in "Mm"))
    if paths:
        yield f"unresolved conflicts in {listed(paths)}"


def _clear_flags(git: Git, marked: Sequence[tuple[str, str]]) -> None:
    """Clear the flags by which git overlooks changes: ``assume-unchanged``, ``skip-worktree``.

    ``marked``: for each file, its tag in ``ls-files -v``, and its path. In a sparse checkout, this
    function does not clear ``skip-worktree``: git itself clears this flag if the file exists.
    """
    hidden = {"--no-assume-unchanged": [path for tag, path in marked if tag.islower()]}
    skipped = [path for tag, path in marked if tag in "Ss"]
    if skipped and git.ask("config", "--type=bool", "core.sparseCheckout") != "true":
        hidden["--no-skip-worktree"] = skipped
    for option, paths in hidden.items():
        if paths:
            git.run("update-index", option, "-z", "--stdin", stdin=with_nul(paths))


def unmerged(git: Git) -> list[str]:
    """Return the paths with unresolved conflicts in the index."""
    fields = git.run("ls-files", "--unmerged", "-z").fields
    return list(dict.fromkeys(field.partition("\t")[2] for field in fields))


def unfinished(admin: Path) -> list[str]:
    """Return the kinds of git operations, such as a rebase, that are unfinished in a worktree.

    ``admin``: the worktree's git directory (``.git/worktrees/NAME``).
    """
    kinds = (kind for name, kind in _UNFINISHED.items() if (admin / name).exists())
    return list(dict.fromkeys(kinds))


def head_before_rebase(worktree: RegisteredWorktree) -> str:
    """Return the branch's commit before an unfinished rebase; "" if no rebase is unfinished.

    During a rebase, HEAD has only some of the branch's changes.
    """
    for name in ("rebase-merge/orig-head", "rebase-apply/orig-head"):
        content = read_regular(worktree.admin / name, MOST_BYTES)
        if content is not None and content.isascii():
            return content.decode("ascii").strip()
    return ""


def abort_operation(worktree: RegisteredWorktree) -> None:
    """Abort an unfinished merge, rebase, or similar operation. Files stay unchanged. Idempotent."""
    for name in (*_UNFINISHED, *_LEFTOVERS, *_BISECT):
        remove(worktree.admin / name)
