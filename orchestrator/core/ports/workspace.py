"""The port to files: the directories of workers and jobs, and the reports of jobs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.core.model.human_input.messages import WorkerMessage
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.outcome.merge_report import NO_MERGES, MergeReport
from orchestrator.core.ports.store import Tree


class Workspace(Protocol):
    def prepare_worker(self, worker: Worker, files: Mapping[str, str]) -> str:
        """Return the path of the worker's directory.

        If there are ``files``, create the directory, and write the files into the directory.
        Otherwise, the launcher creates the directory (``Launch.make_cwd``). Raise OSError if a file
        or directory cannot be created.
        """

    def worker_directory(self, worker: Worker) -> str: ...

    def job_directory(self, root_id: str) -> Path: ...

    def log(self, worker: Worker) -> str: ...

    def exit_record(self, worker: Worker, attempt: int) -> str: ...

    def control(self, worker: Worker, attempt: int) -> str: ...

    def sessions(self, worker: Worker) -> str: ...

    def is_attached(self, worker: Worker) -> bool:
        """Return True if a person works in the worker's worktree (``attach``)."""

    def prepare_control(self, worker: Worker, attempt: int, files: Mapping[str, str]) -> str:
        """Write ``files`` into an attempt's control directory. Return the directory's path.

        If the directory is missing, create it. Raise OSError if a file cannot be written.
        """

    def final_report(self, job: Job) -> Path: ...

    def report(self, job: Job, name: str) -> Path | None:
        """Return the path of a report; None if the name is not valid for a report."""

    def write_message(self, worker: Worker, message: WorkerMessage) -> str:
        """Write a message for the worker's attempt. Idempotent.

        Return the path of the message's file; "" if the attempt has already read the message. Raise
        OSError if the file cannot be written.
        """

    def mark_attempt(self, worker: Worker, number: int) -> None:
        """Write the line that marks the start of an attempt into the worker's log.

        If gates rejected the previous attempt, first write one line for each of these gates, with
        the path of its output.
        """

    def attempt_output(self, worker: Worker, number: int) -> str:
        """Return the last part of an attempt's output."""

    def link_recursive(self, worker: Worker) -> None:
        """Create the link ``<worker>_recursive``, which marks a worker with child jobs.

        Idempotent.
        """

    def is_bare(self, worker: Worker) -> bool:
        """Return True if the worker's directory is empty, is a link, or does not exist."""

    def snapshot(
        self, worker: Worker, promised: Collection[str] = ()
    ) -> Mapping[str, tuple[int, int]]:
        """Return size and modification time of the worker's own files, by relative path.

        ``promised``: paths that the worker's task promises. The worker's reports (``output.md`` and
        ``result.json``) are omitted, unless they are in ``promised``.
        """


class JobFiles(Protocol):
    """Removes a root job's directory in steps. Each step can be repeated after a crash."""

    def mark_removed(self, root_id: str) -> None:
        """Rename a root job's directory, as a record that the job is removed.

        Idempotent. Raise OSError if the directory cannot be renamed.
        """

    def secure(self, root_id: str) -> None:
        """Save on git refs the work that a removal would lose. Call this before ``mark_removed``.

        Raise OSError, for example if the disk is full.
        """

    def in_use(self, root_id: str) -> bool:
        """True if a person works in one of the job's worktrees (``attach``)."""

    def jobs_with_directory(self) -> Sequence[str]:
        """Return the root jobs that have a directory."""

    def marked_removed(self) -> Sequence[str]:
        """Return the root jobs whose directories ``mark_removed`` renamed."""

    def unmark_removed(self, root_id: str) -> None: ...

    def delete_files(self, root_id: str) -> Sequence[str]:
        """Remove a directory that ``mark_removed`` renamed. Idempotent.

        Return the names of the git refs that save work of the job. Raise OSError if a file cannot
        be removed.
        """


class Reporter(Protocol):
    def prepare(self) -> None:
        """Load modules and templates in advance, so that the first report is written faster."""

    def render(
        self,
        tree: Tree,
        job_id: str,
        directory: Path,
        *,
        notice: str = "",
        merges: Mapping[str, MergeReport] = NO_MERGES,
    ) -> object:
        """Write the reports of a job whose workers have all ended.

        ``directory``: the root job's directory. ``notice``: Markdown for the top of every report;
        empty for none. ``merges``: merge reports, by job id.
        """
