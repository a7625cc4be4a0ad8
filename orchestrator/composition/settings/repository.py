"""Creates the objects that access the project's repository.

Each function imports the package ``git`` only when it is called. The package has sixty modules, and
a server does not need them before its first job.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.config import Settings, project_root
from orchestrator.config.fields.choices import Author

if TYPE_CHECKING:
    from orchestrator.git import GitRepository, Landing
    from orchestrator.git.commits.change_reader import GitChangeReader


def repository_of(folder: Path, settings: Settings, workspace: Path) -> "GitRepository":
    """Return the ``GitRepository`` of the project, even if the project does not use git."""
    from orchestrator.git import CopyRules, GitRepository, NeverCommit

    git = settings.git
    rules = CopyRules(
        copy=git.copy_ignored,
        link=git.link_ignored,
        derive=not git.setup,
        never=NeverCommit(patterns=git.never_commit, over=git.never_commit_over or 0),
    )
    project = project_root(settings, folder).resolve()
    return GitRepository(project, workspace.resolve(), folder.resolve(), rules)


def change_reader(project: Path) -> "GitChangeReader":
    from orchestrator.git.commits.change_reader import GitChangeReader

    return GitChangeReader(project)


def landing_of(
    settings: Settings, project: Path, root_id: str, job_id: str, as_user: bool | None
) -> "Landing":
    """Return the object that lands a job's result.

    ``as_user``: True to make the user the author of the commits; False to keep the authors; None to
    use the setting ``git.author``.
    """
    from orchestrator.git import Landing

    of_user = settings.git.author is Author.USER if as_user is None else as_user
    return Landing(project, root_id, job_id, of_user)
