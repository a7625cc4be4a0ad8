"""A private index: a file that git uses instead of a worktree's index, which stays unchanged."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.git.command.runner import Git


@contextmanager
def private_index() -> Iterator[dict[str, str]]:
    """Yield variables that make git use a private index. The index's file does not exist yet."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        yield {"GIT_INDEX_FILE": os.path.join(directory, "index")}


def edited_tree(git: Git, tree: str, entries: bytes) -> str:
    """Return the id of a new tree: a copy of ``tree`` that is changed by ``entries``.

    ``tree``: id of a tree or commit. ``entries``: the files to add, replace, or remove, as input of
    ``git update-index -z --index-info``.
    """
    with private_index() as env:
        git.run("read-tree", tree, env=env)
        git.run("update-index", "-z", "--index-info", stdin=entries, env=env)
        return git.run("write-tree", env=env).text
