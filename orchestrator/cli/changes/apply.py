"""``orchestrator apply``: copies the files of a job's workers into a directory."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.changes.discard import check_not_discarded
from orchestrator.cli.changes.land import landing_of
from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.offline.jobs_on_disk import directory_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.job_summary import already_in_project
from orchestrator.cli.output.status_answer import (
    all_tasks,
    is_in_project,
    tasks_of,
    workers_with_files_in_project,
)
from orchestrator.cli.output.terminal_text import confirmed, printable
from orchestrator.cli.worker_names import workers_of
from orchestrator.core.errors import Conflict, InvalidRequest, NotFound, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import SUCCEEDED_WORKER, JobStatus
from orchestrator.core.text.formatting import plural
from orchestrator.security.files.confined_writer import ConfinedWriter
from orchestrator.security.files.untrusted_files import open_plain
from orchestrator.workspace.job_directories import INSTALLED, MAX_FILES

#: Maximum bytes of one file.
MOST_BYTES = 256 * 1024 * 1024
NEW, SAME, OVERWRITE, REFUSED, KEPT = "new", "same", "overwrite", "refused", "kept"


@dataclass(frozen=True, slots=True)
class ApplySource:
    """A file of a job. If ``refused`` is set, ``apply`` does not copy the file."""

    path: str
    worker_id: str
    executable: bool
    #: Returns the content. Raises OSError.
    content: Callable[[], bytes]
    #: Why the file cannot be copied; empty if it can.
    refused: str = ""
    #: True if the job deleted the file.
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """The action of ``apply`` for one file, with the reason if the file is not copied."""

    path: str
    action: str
    worker_id: str = ""
    reason: str = ""


@click.command("apply")
@job_argument
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="Target directory (default: the project).",
)
@click.option("--dry-run", is_flag=True, help="Show which files would be copied; copy nothing.")
@click.option(
    "--take",
    multiple=True,
    metavar="WORKER",
    help="Worker whose version of a file is copied if several versions exist (repeatable).",
)
@click.option("--yes", is_flag=True, help="Overwrite without confirmation.")
@json_option
@project_option
@pass_cli_context
def apply_command(
    context: CliContext,
    job_id: str,
    target: Path | None,
    dry_run: bool,
    take: Sequence[str],
    yes: bool,
) -> int:
    """Copy the files of JOB's workers into a project without git.

    If JOB has a merged result, copies this result, and needs --to. Otherwise, copies the files
    of successful workers. Asks before it overwrites a file. Removes no file. If several workers
    made different versions of a file, the file is copied only if --take names one of these workers.
    Files of `workdir: project` tasks are already in the project. Exit code 6: a file was not
    copied; the output marks this file as "refused".
    """
    if target is None and not dry_run:
        context.check_not_in_worker("apply without --to")
    take = workers_of(context, job_id, take)
    job = whole_job(context.workspace, job_id)
    directory = _existing_directory(target or _project(context, job_id))
    sources = _sources_by_path(_sources(context, job, take), job_id, take)
    writer = ConfinedWriter(directory)
    plan = [(source, _planned_step(writer, source)) for _, source in sorted(sources.items())]
    if all(step.action == REFUSED for _, step in plan):
        # Check the job only if no file can be copied. A discarded job may still have the files of
        # workers without worktrees. A running job with worktrees has no merged files yet.
        check_not_discarded(job)
        _check_ended(job)
    if not dry_run:
        _ask(context, directory, [step for _, step in plan], yes)
        plan = [(source, _run_step(writer, source, step)) for source, step in plan]
    _print(context, job_id, directory, [step for _, step in plan], dry_run)
    if workers_in_project := workers_with_files_in_project(job):
        click.echo(printable(already_in_project(workers_in_project)), err=True)
    refused = any(step.action == REFUSED for _, step in plan)
    if any(source.worker_id for source in sources.values()):
        job_directory = directory_of(context.workspace, job_id)
        for line in _notes_on_cut_lists(job_directory, all_tasks(tasks_of(job))):
            click.echo(printable(line), err=True)
            refused = True
    return ExitCode.PARTIAL if refused else ExitCode.OK


def _check_ended(job: Mapping[str, Any]) -> None:
    if not JobStatus(job["status"]).ended:
        raise Conflict(
            f"job {job['job_id']} is {job['status']}, and has no files to copy yet; wait for its "
            f"end: {COMMAND} wait {job['job_id']}"
        )


def _project(context: CliContext, job_id: str) -> Path:
    from orchestrator.config import load, project_root

    if any(_sources_of_result(context, job_id)):
        raise InvalidRequest(
            f"the project is a git repository; land the result: {COMMAND} land {job_id}; or copy "
            f"the files to another directory: {COMMAND} apply {job_id} --to DIR"
        )
    environ = context.environ
    settings = load(context.folder, environ=environ).settings
    return project_root(settings, context.folder)


def _existing_directory(target: Path) -> Path:
    if not target.is_dir():
        raise InvalidRequest(f"{target} is not a directory; pass a directory: --to DIR")
    return target.resolve()


def _sources_by_path(
    sources: Iterator[ApplySource], job_id: str, take: Sequence[str]
) -> Mapping[str, ApplySource]:
    """Return one source file for each path, although several workers may have made the file.

    ``take``: ids of workers whose versions of a file are selected. If workers made different
    versions, and ``take`` has none of these workers, the source has the reason in ``refused``. If
    ``take`` has several of these workers, the last version is used. Raise InvalidRequest if
    ``take`` has a worker without files.
    """
    by_path: dict[str, list[ApplySource]] = {}
    for source in sources:
        by_path.setdefault(source.path, []).append(source)
    made_by = {source.worker_id for versions in by_path.values() for source in versions}
    if unknown := sorted({*take} - made_by):
        names = ", ".join(sorted(made_by)[:20]) or "none"
        raise InvalidRequest(f"{unknown[0]} has no files to copy; workers with files: {names}")
    return {path: _selected_version(versions, job_id, take) for path, versions in by_path.items()}


def _selected_version(
    sources: Sequence[ApplySource], job_id: str, take: Sequence[str]
) -> ApplySource:
    last = sources[-1]
    selected = [each for each in sources if each.worker_id in take]
    if selected or not _differ(sources):
        return selected[-1] if selected else last
    names = list(dict.fromkeys(each.worker_id for each in sources))
    reason = (
        f"{', '.join(names)} made different versions; to copy the version of {names[-1]}: "
        f"{COMMAND} apply {job_id} --take {names[-1]}"
    )
    return replace(last, worker_id="", refused=reason)


def _differ(sources: Sequence[ApplySource]) -> bool:
    """True if the contents of the source files differ, or if a source file cannot be read."""
    if len(sources) < 2:
        return False
    try:
        return len({(each.executable, each.content()) for each in sources}) > 1
    except OSError:
        return True


def _sources(
    context: CliContext, job: Mapping[str, Any], take: Sequence[str]
) -> Iterator[ApplySource]:
    # If several workers created a file, one source is returned for each worker.
    merged = list(_sources_of_result(context, job["job_id"]))
    if merged and take:
        raise InvalidRequest(
            f"job {job['job_id']} has a merged result, which is copied as a whole; omit --take: "
            f"{COMMAND} apply {job['job_id']} --to DIR"
        )
    yield from merged
    if not merged:
        yield from _files_of_workers(directory_of(context.workspace, job["job_id"]), tasks_of(job))


def _sources_of_result(context: CliContext, job_id: str) -> Iterator[ApplySource]:
    # Yields nothing without a merged result or a repository.
    landing = landing_of(context, job_id)
    with suppress(RepositoryError, NotFound):
        for file, content in landing.changed():
            yield ApplySource(file.path, "", file.executable, content, file.kind, not file.blob)


def _files_of_workers(
    job_directory: Path, tasks: Sequence[Mapping[str, object]]
) -> Iterator[ApplySource]:
    """Yield the files of the successful workers of a job, and of its child jobs at any depth.

    Omits candidates that were not chosen, with their child jobs. Also omits workers that ran in the
    project itself. The files of a worker's child jobs come before the worker's own files.
    """
    for task in (each for each in tasks if each.get("chosen") is not False):
        children = task.get("child_results")
        yield from _files_of_workers(job_directory, children if isinstance(children, list) else [])
        if task.get("status") not in SUCCEEDED_WORKER or is_in_project(task):
            continue
        files, worker_id = task.get("files_created"), str(task.get("worker_id"))
        directory = next(job_directory.glob(f"depth_*/{worker_id}"), job_directory)
        for path in files if isinstance(files, list) else []:
            yield _file_of_worker(str(directory), str(path), worker_id)
        for path in _links(directory):
            reason = "apply copies no symbolic links"
            yield ApplySource(path, worker_id, executable=False, content=bytes, refused=reason)


def _links(directory: Path) -> Iterator[str]:
    """Yield the symbolic links in a worker's directory, except links of installed packages."""
    for folder, names, files in os.walk(directory):
        for name in (*names, *files):
            if os.path.islink(f"{folder}/{name}"):
                yield os.path.relpath(f"{folder}/{name}", directory)
        names[:] = [each for each in names if each not in INSTALLED and each != ".git"]


def _notes_on_cut_lists(job_directory: Path, tasks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each successful worker whose list of files is cut at ``MAX_FILES``."""
    for task in tasks:
        is_long = len(task.get("files_created") or ()) >= MAX_FILES
        if is_long and task["status"] in SUCCEEDED_WORKER:
            directory = next(job_directory.glob(f"depth_*/{task['worker_id']}"), job_directory)
            hint = (
                f"only the first {MAX_FILES} are listed; copy the others yourself from {directory}"
            )
            yield f"{task['worker_id']} has more than {MAX_FILES} files; {hint}"


def _file_of_worker(directory: str, path: str, worker_id: str) -> ApplySource:
    full_path = f"{directory}/{path}"
    executable = os.path.isfile(full_path) and os.access(full_path, os.X_OK)
    return ApplySource(path, worker_id, executable, partial(_read, full_path, directory))


def _read(path: str, directory: str) -> bytes:
    with open_plain(path, directory) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(f"larger than {MOST_BYTES} bytes; copy the file yourself: {path}")
    return content


def _planned_step(writer: ConfinedWriter, source: ApplySource) -> ApplyStep:
    step = partial(ApplyStep, source.path, worker_id=source.worker_id)
    if source.refused:
        return step(REFUSED, reason=source.refused)
    try:
        present_content = writer.read(source.path)
        if source.is_deleted:
            reason = "the job deleted this file; delete it yourself"
            return step(KEPT, reason=reason) if present_content is not None else step(SAME)
        if present_content is None:
            source.content()
            return step(NEW)
        return step(SAME if present_content == source.content() else OVERWRITE)
    except OSError as error:
        return step(REFUSED, reason=_reason(error))


def _run_step(writer: ConfinedWriter, source: ApplySource, step: ApplyStep) -> ApplyStep:
    if step.action not in (NEW, OVERWRITE):
        return step
    try:
        writer.put(source.path, source.content(), executable=source.executable)
    except OSError as error:
        return ApplyStep(step.path, REFUSED, step.worker_id, _reason(error))
    return step


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _ask(context: CliContext, directory: Path, steps: Sequence[ApplyStep], yes: bool) -> None:
    """Ask the user to confirm that files are overwritten. Raise Conflict if the user declines.

    Ask nothing if ``yes`` is True, or if no file is overwritten.
    """
    overwritten = [step.path for step in steps if step.action == OVERWRITE]
    if not overwritten or yes:
        return
    click.echo(printable("\n".join(f"overwrite {path}" for path in overwritten)), err=True)
    files = "this file" if len(overwritten) == 1 else f"these {len(overwritten)} files"
    if context.as_json or not confirmed(f"Overwrite {files} in {directory}?"):
        raise unconfirmed("overwrite", "copied")


def _print(
    context: CliContext, job_id: str, directory: Path, steps: Sequence[ApplyStep], dry_run: bool
) -> None:
    if context.as_json:
        files = [asdict(step) for step in steps]
        payload = {"job_id": job_id, "target": str(directory), "dry_run": dry_run, "files": files}
        click.echo(json.dumps(payload))
        return
    for step in steps:
        worker = f" ({step.worker_id})" if step.worker_id else ""
        reason = f": {step.reason}" if step.reason else ""
        click.echo(printable(f"{step.action} {step.path}{worker}{reason}".replace("\n", "?")))
    copied = sum(step.action in (NEW, OVERWRITE) for step in steps)
    if not steps:
        text = f"nothing to copy: successful workers of job {job_id} created no files"
        click.echo(text, err=True)
    else:
        count_text = plural(copied, "file")
        click.echo(
            f"{count_text} {'would be copied' if dry_run else 'copied'} to {directory}", err=True
        )
