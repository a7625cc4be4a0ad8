"""Sets the files of a worktree to a commit, or to versions from several commits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.git.command.private_index import edited_tree, private_index
from orchestrator.git.command.runner import Git, with_nul
from orchestrator.git.commits import held_back_files

#: Variables that disable a sparse checkout. Otherwise git would remove files that were created
#: outside of the sparse checkout.
_NOT_SPARSE = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.sparseCheckout",
    "GIT_CONFIG_VALUE_0": "false",
}

#: Maximum number of paths in one call of git.
_MOST_PATHS = 500


def change_files(git: Git, now: str, then: str) -> None:
    """Change the worktree's files from the commit ``now`` to ``then``. The index stays unchanged.

    Git checks all files before it changes the first file, so an error changes nothing.
    """
    with private_index() as index_env:
        env = {**index_env, **_NOT_SPARSE}
        git.run("read-tree", now, env=env)
        git.run("update-index", "--refresh", "-q", env=env, accept=(0, 1))
        git.run("read-tree", "-m", "-u", now, then, env=env)


def set_files(git: Git, commit: str, base: str, swap: Mapping[str, str | None]) -> None:
    """Implements ``core.repository.repository.Repository.set_files``.

    HEAD and HEAD's branch stay unchanged.
    """
    entries = _entries(git, base, sorted({each for each in swap.values() if each}))
    # An entry with zeros removes the path. Object ids are longer in a repository with SHA-256.
    removed = f"0 {'0' * len(commit)}"
    lines = [f"{entries.get(source or '', removed)}\t{path}" for path, source in swap.items()]
    tree = edited_tree(git, commit, with_nul(lines))
    git.run("read-tree", "--reset", "-u", tree)


def _entries(git: Git, commit: str, paths: Sequence[str]) -> dict[str, str]:
    entries: dict[str, str] = {}
    for begin in range(0, len(paths), _MOST_PATHS):
        batch = paths[begin : begin + _MOST_PATHS]
        for field in git.run("ls-tree", "--full-tree", "-z", commit, "--", *batch).fields:
            entry, path = field.split("\t", 1)
            entries[path] = entry
    return entries


def restore(git: Git, commit: str) -> None:
    """Set the worktree's files and branch to a commit. Ignored files and held-back files stay.

    A branch of the user that is checked out in the worktree is not moved.
    """
    git.run("read-tree", "--reset", "-u", commit)
    exclusions = held_back_files.clean_exclusions(Path(git.env["GIT_DIR"]))
    git.run("clean", "-ffdq", *exclusions, accept=(0, 1))
    branch = git.ask("symbolic-ref", "--quiet", "HEAD")
    # Move only the worktree's own branch, never a branch of the user that is checked out here.
    is_own = not branch or branch.startswith(f"refs/heads/{BRANCHES}/")
    if is_own and git.resolve("HEAD^{commit}") != commit:
        git.run("update-ref", "-m", "orchestrator: restored a commit", "HEAD", commit)
