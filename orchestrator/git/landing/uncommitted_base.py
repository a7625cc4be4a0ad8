"""Lands a job that started from uncommitted work. The branch gets only the workers' changes."""

import shlex
from collections.abc import Sequence

from orchestrator.core.errors import InTheWay
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.command_name import COMMAND
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.commit import commit_tree, tree_of
from orchestrator.git.merge import merge_tree
from orchestrator.git.user_repository.checkout import path_of

_MOST_NAMED = 10
_NOBODY = Signature(name="orchestrator", email="merge@orchestrator.invalid")


def check_committed(git: Git, dirt: str, job_id: str) -> None:
    """Raise Conflict if the uncommitted work from which the job started is still uncommitted."""
    taken = git.run("diff-tree", "--name-only", "-r", "-z", f"{dirt}^", dirt, "--").fields
    top = git.run("rev-parse", "--show-toplevel").text
    how = ("--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    status = Git(top, git.env).run("status", *how).fields
    still = sorted({path_of(each) for each in status}.intersection(taken))
    if still:
        raise InTheWay(
            f"cannot land: the job started with {len(still)} uncommitted "
            f"file{'s' * (len(still) != 1)}, still uncommitted: "
            f"{', '.join(still[:_MOST_NAMED])}; nothing was changed; "
            f"commit them first: {_committing(top, still)}; then: {COMMAND} land {job_id}",
            files=still,
        )


def _committing(top: str, paths: Sequence[str]) -> str:
    """Return the command that commits these files. The command names the files if there are only a
    few.
    """
    git = f"git -C {shlex.quote(top)}"
    which = shlex.join(["--", *paths]) if len(paths) <= _MOST_NAMED else "-A"
    return f"{git} add {which} && {git} commit"


def merged(git: Git, head: str, dirt: str, result: str, message: str) -> str:
    """Return a commit on ``head`` with the changes of ``result`` since ``dirt``. Raise InTheWay.

    The uncommitted work ``dirt`` is the common ancestor of the merge. Therefore a line does not
    conflict if the user has committed it and a worker has changed it.
    """
    evolved = commit_tree(git, tree_of(git, head), [head, dirt], message, _NOBODY)
    tried = merge_tree.merge(git, evolved, result, message, _NOBODY)
    if tried.conflicts:
        paths = ", ".join(each.path for each in tried.conflicts[:10])
        many = len(tried.conflicts)
        raise InTheWay(
            f"cannot land: the job and your branch both changed {many} "
            f"file{'s' * (many != 1)}: {paths}; commit the work that "
            "was uncommitted when the job started, or merge by hand",
            files=[each.path for each in tried.conflicts],
            kind="merge-conflict",
        )
    return commit_tree(git, tree_of(git, tried.commit), [head, result], message, _NOBODY)
