"""Rewrites commits of workers as commits of the user, with the worker as ``Co-authored-by``."""

import os
from collections.abc import Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import ADDRESSES, Signature
from orchestrator.git.command.runner import Git

_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B%x00%x00"
#: Prefix of the orchestrator's mail addresses. The orchestrator is never a co-author.
_MERGER = "merge@"


@dataclass(frozen=True, slots=True)
class _Commit:
    name: str
    tree: str
    parents: Sequence[str]
    author: Signature
    authored: str
    committer: Signature
    committed: str
    message: str


def as_users(git: Git, tip: str, without: Sequence[str], user: Signature) -> str:
    """Rewrite commits as the user's own commits. Return the rewritten ``tip``.

    Commits in the history of ``without`` stay unchanged. In all other commits, ``user`` replaces
    each author or committer that is a worker or the orchestrator. For a worker, the message gets a
    trailer ``Co-authored-by``. Dates, content, merges, and the rest of the message stay.
    """
    renamed: dict[str, str] = {}
    for commit in _commits(git, tip, without):
        parents = [renamed.get(each, each) for each in commit.parents]
        by_us = is_ours(commit.author) or is_ours(commit.committer)
        is_same = parents == [*commit.parents] and not by_us
        renamed[commit.name] = commit.name if is_same else _rewrite(git, commit, parents, user)
    return renamed.get(tip, tip)


def signature_of_user(git: Git) -> Signature | None:
    name, email = (git.ask("config", f"user.{each}") for each in ("name", "email"))
    return Signature(name=name, email=email) if name and email else None


def coauthor(author: Signature) -> str:
    """Return the trailer ``Co-authored-by`` for a worker; "" for the orchestrator itself."""
    is_merger = is_ours(author) and author.email.startswith(_MERGER)
    return "" if is_merger else f"Co-authored-by: {author.name} <{author.email}>"


def is_ours(signature: Signature) -> bool:
    """True if the identity is a worker's or the orchestrator's."""
    return signature.email.endswith(ADDRESSES)


def _commits(git: Git, tip: str, without: Sequence[str]) -> list[_Commit]:
    options = ("--reverse", "--topo-order", "--date=raw", "--no-show-signature", "--no-color")
    spans = [f"^{each}" for each in without]
    log = git.run("log", *options, f"--format={_FORMAT}", tip, *spans, "--").out
    commits = []
    for text in os.fsdecode(log).split("\0\0\n")[:-1]:
        name, tree, parents, an, ae, ad, cn, ce, cd, message = text.split("\0", 9)
        author, committer = Signature(name=an, email=ae), Signature(name=cn, email=ce)
        commits.append(_Commit(name, tree, parents.split(), author, ad, committer, cd, message))
    return commits


def _rewrite(git: Git, commit: _Commit, parents: Sequence[str], user: Signature) -> str:
    author = user if is_ours(commit.author) else commit.author
    committer = user if is_ours(commit.committer) else commit.committer
    env = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": f"@{commit.authored}",
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
        "GIT_COMMITTER_DATE": f"@{commit.committed}",
    }
    text = os.fsencode(commit.message)
    trailer = coauthor(commit.author) if is_ours(commit.author) else ""
    if trailer:
        command = ("interpret-trailers", "--no-divider", "--if-exists=addIfDifferent")
        text = git.run(*command, "--trailer", trailer, stdin=text).out
    parent_options = [word for parent in parents for word in ("-p", parent)]
    return git.run("commit-tree", *parent_options, commit.tree, stdin=text, env=env).text
