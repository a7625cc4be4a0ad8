"""A private index: git uses this file in place of a worktree's index, which stays as it is."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.git.command.runner import Git


@contextmanager
def private_index() -> Iterator[dict[str, str]]:
    """Yield the environment of a git with a private index, whose file does not exist yet."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        yield {"GIT_INDEX_FILE": os.path.join(directory, "index")}


def edited_tree(git: Git, tree: str, entries: bytes) -> str:
    """Return ``tree`` with changed entries, in the form of ``git update-index -z --index-info``.

    ``tree`` may also be a commit.
    """
    with private_index() as env:
        git.run("read-tree", tree, env=env)
        git.run("update-index", "-z", "--index-info", given=entries, env=env)
        return git.run("write-tree", env=env).text
