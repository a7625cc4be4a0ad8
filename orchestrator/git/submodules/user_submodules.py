"""The user's submodule repositories: finds missing submodules, added commits, and forbidden
changes.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.submodules.worktree_submodules import has, links, listed


def missing(git: Git, top: str, commit: str) -> list[str]:
    """Return the submodules of a commit that the user has not checked out.

    In worktrees, their directories are empty.
    """
    found = listed(git, Path(top), top, commit)
    return [each.path for each in found if not each.is_here]


def added(git: Git, top: str, start: str, end: str) -> Iterator[tuple[Git, str, str, str]]:
    """Yield each submodule that has another commit in ``end`` than in ``start``.

    The fields are: git for the user's repository of the submodule, the path, the earlier commit,
    and the later commit. The earlier commit is "" if ``start`` has no such submodule, or if the
    user's repository lacks the commit.
    """
    before = links(git, start)
    for module in listed(git, Path(top), top, end):
        earlier = before.get(module.path, "")
        source = module.source
        if earlier != module.commit and source is not None and has(source, module.commit):
            known = bool(earlier) and has(source, earlier)
            yield source, module.path, earlier if known else "", module.commit


def state(top: str, git: Git) -> Iterator[tuple[str, str]]:
    """Yield a description and a digest for each submodule repository of the user.

    The digest covers the refs and settings that a job must not change.
    """
    for module in listed(git, Path(top), top, "HEAD"):
        source = module.source
        if source is not None:
            own = ("--exclude=refs/heads/orchestrator/*", "--exclude=refs/orchestrator/*")
            refs = source.run("rev-parse", *own, "--all", "HEAD", accept=range(256)).out
            config = source.run("config", "--local", "--list", "-z", accept=range(256)).out
            yield f"submodule {module.path}", hashlib.sha256(refs + config).hexdigest()


def forget(git: Git, top: str, root_id: str) -> None:
    """Remove a root job's refs from the user's submodule repositories.

    A branch stays if its commits are only in branches of the product.
    """
    for module in listed(git, Path(top), top, "HEAD"):
        source = module.source
        if source is not None:
            _forget(source, root_id)


def _forget(git: Git, root_id: str) -> None:
    hidden, branches = f"refs/orchestrator/{root_id}/", f"refs/heads/orchestrator/{root_id}/"
    gone = git.run("for-each-ref", "--format=%(refname)", hidden).text.split()
    for name in git.run("for-each-ref", "--format=%(refname)", branches).text.split():
        holders = git.run("for-each-ref", "--format=%(refname)", f"--contains={name}").text.split()
        if any(not each.startswith(("refs/heads/orchestrator/", hidden)) for each in holders):
            gone.append(name)
    given = "".join(f"delete {name}\n" for name in gone)
    git.run("update-ref", *ITSELF, "--stdin", given=given.encode())
