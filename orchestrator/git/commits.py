"""Commits that the orchestrator makes of what lies in a worktree."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.repository import Signature
from orchestrator.git.running import Git


def commit_tree(
    git: Git, tree: str, parents: Sequence[str], message: str, signature: Signature
) -> str:
    above = [word for parent in parents for word in ("-p", parent)]
    text = message.encode("utf-8", "replace")
    return git.run("commit-tree", *above, tree, given=text, env=signed(signature)).text


def signed(signature: Signature) -> Mapping[str, str]:
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", signature.name), ("EMAIL", signature.email))
    }


def commit_rest(git: Git, branch: str, message: str, signature: Signature) -> str:
    """Commit what is uncommitted, wherever HEAD is, and have the branch and HEAD there."""
    head = git.run("rev-parse", "--verify", "HEAD^{commit}").text
    git.run("add", "--all", "--", ".")
    tree = git.run("write-tree").text
    if tree != tree_of(git, head):
        head = commit_tree(git, tree, [head], message, signature)
    # An agent may have gone to a branch of its own, or have moved this one.
    if git.ask("symbolic-ref", "--quiet", "HEAD") != branch:
        git.run("symbolic-ref", "-m", "orchestrator: back to the worker's branch", "HEAD", branch)
    git.run("update-ref", "-m", "orchestrator: what the worker left", branch, head)
    return head


def snapshot(git: Git, admin: Path, message: str, signature: Signature) -> str:
    """With an index of its own, so that the agent, which may be at work, notices nothing."""
    head = git.run("rev-parse", "--verify", "HEAD^{commit}").text
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        index = os.path.join(directory, "index")
        if (admin / "index").exists():
            shutil.copy2(admin / "index", index)
        env = {"GIT_INDEX_FILE": index}
        git.run("add", "--all", "--", ".", env=env)
        tree = git.run("write-tree", env=env).text
    same = tree == tree_of(git, head)
    return head if same else commit_tree(git, tree, [head], message, signature)


def bring(git: Git, now: str, then: str) -> None:
    """With an index of its own; git looks at every file that is to change before it changes one."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        env = {"GIT_INDEX_FILE": os.path.join(directory, "index")}
        git.run("read-tree", now, env=env)
        git.run("update-index", "--refresh", "-q", env=env, accept=(0, 1))
        git.run("read-tree", "-m", "-u", now, then, env=env)


def tree_of(git: Git, commit: str) -> str:
    return git.run("rev-parse", "--verify", f"{commit}^{{tree}}").text


def changed(git: Git, start: str, end: str) -> list[str]:
    names = ("--name-only", "--diff-filter=d", "--no-renames", "-r", "-z")
    return git.run("diff-tree", *names, start, end, "--").fields
