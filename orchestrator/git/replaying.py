"""Commits told again in a line: each on top of the one before, by its author, in its words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.repository import Signature
from orchestrator.git.commits import commit_tree, tree_of
from orchestrator.git.merging import tried
from orchestrator.git.running import Git

_FORMAT = "%T%x00%P%x00%an%x00%ae%x00%ad%x00%B"
#: Of no commit that is kept: they only tell git what two sides have in common.
_NOBODY = Signature(name="orchestrator", email="replay@orchestrator.invalid")


@dataclass(frozen=True, slots=True)
class _Told:
    """A commit that is to be told again."""

    commit: str
    tree: str
    parent: str
    author: Mapping[str, str]
    message: str


def line(git: Git, start: str, tip: str) -> list[str]:
    """Commits from ``start`` to ``tip``, the oldest first, without those that only merge."""
    how = ("--first-parent", "--no-merges", "--reverse", tip, f"^{start}")
    return git.run("rev-list", *how, "--").text.split()


def replay(
    git: Git, onto: str, commits: Sequence[str], final: str, message: str, signature: Signature
) -> str:
    """``commits`` on top of ``onto``; the last one has the content of ``final``.

    What does not go on top by itself comes with the commit after it; what adds nothing is left
    out. ``message`` is for a change that no commit tells of.
    """
    tip, tree = onto, tree_of(git, onto)
    goal = tree_of(git, final)
    for place, commit in enumerate(commits):
        told = _told(git, commit)
        is_last = place == len(commits) - 1
        after = goal if is_last else _on_top(git, tree, told)
        if after and after != tree:
            tip, tree = _committed(git, after, tip, told, signature), after
    return tip if tree == goal else commit_tree(git, goal, [tip], message, signature)


def _told(git: Git, commit: str) -> _Told:
    shown = git.run("show", "-s", "--date=raw", f"--format={_FORMAT}", commit, "--")
    tree, parents, name, email, date, message = shown.text.split("\0", 5)
    author = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_AUTHOR_DATE": f"@{date}",
    }
    return _Told(commit, tree, parents.split(" ")[0], author, f"{message}\n")


def _on_top(git: Git, tree: str, told: _Told) -> str:
    """The tree with what a commit changed; empty where that excludes what is there.

    By commits without history: git 2.39 cannot be told what two sides have in common.
    """
    if not told.parent:
        return ""
    before = tree_of(git, told.parent)
    if before == tree:
        return told.tree
    common = commit_tree(git, before, [], "common", _NOBODY)
    ours, theirs = (commit_tree(git, each, [common], "side", _NOBODY) for each in (tree, told.tree))
    made = tried(git, ours, theirs)
    return "" if made.sides else made.tree


def _committed(git: Git, tree: str, parent: str, told: _Told, signature: Signature) -> str:
    committer = {
        "GIT_COMMITTER_NAME": signature.name,
        "GIT_COMMITTER_EMAIL": signature.email,
    }
    env = {**told.author, **committer}
    text = told.message.encode("utf-8", "surrogateescape")
    return git.run("commit-tree", "-p", parent, tree, given=text, env=env).text
