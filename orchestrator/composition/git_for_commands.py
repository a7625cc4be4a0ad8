"""Git operations for commands: compare, land, and discard branches, and restore the repository."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.composition.settings.repository import change_reader, landing_of, repository_of
from orchestrator.config import load, project_root
from orchestrator.core.repository.change_reader import Difference, DiffRequest
from orchestrator.engine.worktrees.user_checkout_changes import AFTER
from orchestrator.git import Landing, RepositoryRestore, between, of_worker, spans_of_worker
from orchestrator.workspace import JobDirectories


def difference_between(folder: Path, environ: Mapping[str, str], first: str, second: str) -> bytes:
    """Return the patch from branch ``first`` to branch ``second``.

    Raise NotFound if a branch does not exist.
    """
    settings = load(folder, environ=environ).settings
    return between(project_root(settings, folder), first, second)


def worker_difference(
    folder: Path,
    environ: Mapping[str, str],
    root_id: str,
    worker_id: str,
    *,
    attempt: int | None = None,
    stat: bool,
) -> bytes:
    """Return the patch of one worker's changes. Raise NotFound if no branch has the changes.

    ``attempt``: number of an attempt, to return the changes as they were when the attempt ended;
    None: return the latest changes. ``stat``: True to return changed files and line counts instead
    of the patch.
    """
    settings = load(folder, environ=environ).settings
    project = project_root(settings, folder)
    return of_worker(project, root_id, worker_id, attempt=attempt, stat=stat)


def difference(
    folder: Path,
    environ: Mapping[str, str],
    root_id: str,
    job_id: str,
    worker_id: str | None,
    *,
    attempt: int | None,
    stat: bool,
) -> Difference:
    """Return the changes of a job, or of one worker, file by file, as in the API's answer.

    Raise NotFound if no branch has the changes, and TooLarge if the changes are too large.
    """
    settings = load(folder, environ=environ).settings
    project = project_root(settings, folder)
    if worker_id:
        spans = spans_of_worker(project, root_id, worker_id, attempt)
    else:
        spans = [landing_of(settings, project, root_id, job_id, None).span()]
    reader, request = change_reader(project), DiffRequest(stat=stat)
    parts = [reader.difference(*span, request) for span in spans]
    files = [file for part in parts for file in part.files]
    return Difference(base=parts[0].base, commit=parts[0].commit, files=files)


def unlanded(folder: Path, environ: Mapping[str, str], root_id: str) -> Mapping[str, str]:
    """Return the unlanded commits of a root job: each full ref name with its commit.

    A commit is unlanded if no branch of the user contains the commit. The result includes the saved
    commits of a removed job. Raise RepositoryError if git fails.
    """
    settings = load(folder, environ=environ).settings
    workspace = settings.orchestrator.workspace_root
    return repository_of(folder, settings, workspace).unlanded(root_id)


def discard_removed_job(folder: Path, environ: Mapping[str, str], root_id: str) -> Sequence[str]:
    """Delete all branches and refs of a removed root job, and return their names.

    Raise RepositoryError if git fails.
    """
    settings = load(folder, environ=environ).settings
    workspace = settings.orchestrator.workspace_root
    directory = JobDirectories(workspace).job_directory(root_id)
    return repository_of(folder, settings, workspace).discard_job(root_id, str(directory))


def repository_restore(folder: Path, environ: Mapping[str, str], root_id: str) -> RepositoryRestore:
    """Return the object that undoes a root job's changes to the user's repository.

    The object restores git settings, refs, stash entries, hooks, and other files of git. The
    object does not change the job's own branches.
    """
    settings = load(folder, environ=environ).settings
    directory = JobDirectories(settings.orchestrator.workspace_root).job_directory(root_id)
    return RepositoryRestore(project=project_root(settings, folder), states_file=directory / AFTER)


def landing(folder: Path, environ: Mapping[str, str], root_id: str, job_id: str) -> Landing:
    settings = load(folder, environ=environ).settings
    return landing_of(settings, project_root(settings, folder), root_id, job_id, None)
