"""Writes the reports of a job: renders their pages, and replaces their files.

Each file is written completely or not at all. Workers run as the same user as the server. A worker
could create a link at a report's path, so that the server would overwrite the link's target.
Therefore directories are opened one by one without following links. Files are created under a new
name and then renamed.
"""

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from orchestrator.core import failpoints
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.human_needs import needs_of
from orchestrator.core.outcome.job.listed_workers import (
    LISTED_WORKERS,
    first_places,
    listed_workers,
)
from orchestrator.core.outcome.job.unmerged_changes import OutsideCause, OutsideWork
from orchestrator.core.outcome.merge_report import NO_MERGE, NO_MERGES, MergeReport
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.core.ports import Tree
from orchestrator.core.text.formatting import plural
from orchestrator.reports.figures.analytics import Analytics, analytics_of, as_json
from orchestrator.reports.figures.job_tree_index import JobTreeIndex
from orchestrator.reports.figures.worker_figures import WorkerFigures
from orchestrator.reports.headline_and_next_steps import (
    MOST_COMMANDS,
    Step,
    diff_steps,
    merge_steps,
    next_steps,
    summary_of,
    unmerged,
    unmerged_rows,
)
from orchestrator.reports.template_engine import Templates
from orchestrator.reports.template_filters import duration, one_line
from orchestrator.reports.template_values import (
    ChildJobLine,
    JobView,
    MadeFile,
    ReportSpace,
    WorkerView,
    job_line,
    job_view,
    made_files,
    texts_of_people,
    worker_output,
)
from orchestrator.reports.timeline import timeline
from orchestrator.system import process_table

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ReportError(OrchestratorError):
    """A report could not be written."""

    kind = "report"


def write_report(directory: Path, name: str, text: str) -> Path:
    """Write or replace the file ``directory/name``, and return its path.

    ``name`` may contain directories, which are created. ``directory`` must exist. Files have mode
    0600, and new directories have mode 0700. If there is a directory at the file's path, the
    directory is renamed. Raise ReportError if the file cannot be written.
    """
    path = PurePosixPath(name)
    try:
        with _opened(directory, path.parent.parts) as folder:
            _replace(folder, path.name, text.encode("utf-8", "replace"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"cannot write the report {directory / name}: {reason}") from error
    return directory / name


@contextmanager
def _opened(directory: Path, parts: tuple[str, ...]) -> Iterator[int]:
    folder = os.open(directory, _DIRECTORY)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=folder)
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _replace(folder: int, name: str, content: bytes) -> None:
    temporary = f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        failpoints.reached(f"{name}: before the rename")
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            # A worker has created a directory at the report's path.
            new_name = f"{name}.renamed-{secrets.token_hex(4)}"
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        failpoints.reached(f"{name}: after the rename")
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def write_all(directory: Path, reports: Iterable[tuple[str, str]]) -> list[Path]:
    """Write reports, which are pairs (name, text). Return the paths of the files.

    If a report cannot be written, write the other reports, and then raise ReportError. If the disk
    is full, raise ReportError at once.
    """
    written, errors = [], []
    for name, text in reports:
        try:
            written.append(write_report(directory, name, text))
        except ReportError as error:
            if is_shortage(error):
                raise
            # A worker may have made this report's path unusable. Still write the other reports.
            errors.append(error)
    if errors:
        raise errors[0]
    return written


#: Maximum characters of all workers' output in FINAL_RESULT.md. The maximum exists because GitHub
#: shows no Markdown file above 512 kB.
FINAL_ROOM = 120_000
#: Minimum and maximum of the limit for one worker's output in FINAL_RESULT.md, in characters. The
#: limit is ``FINAL_ROOM`` divided by the number of workers, within this range.
FINAL_SHARE = (8_000, 40_000)
#: Maximum characters of output in the report of a depth or of a job: per worker, and in total.
LEVEL_ROOM = (20_000, 300_000)
#: Maximum characters of output in the section on failures: per worker, and in total. Of a longer
#: output, the section has the last lines, because an output usually ends with the failure.
FAILURE_ROOM = (2_000, 60_000)
FAILURE_LINES = 50

#: Maximum number of entries in one list of FINAL_RESULT.md. For further entries, FINAL_RESULT.md
#: shows only their number. Other reports have more entries.
FINAL_ENTRIES = 40
FINAL_FILES = 200
#: Maximum number of comments of one round of feedback in FINAL_RESULT.md.
FINAL_COMMENTS = 20
LEVEL_FILES = 1_000

#: Maximum characters of a reason in a list of FINAL_RESULT.md that has one line for each worker.
FINAL_REASON = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class _Final:
    job: JobView
    successes: Sequence[WorkerView]
    #: Unsuccessful workers of all depths whose task has no successful candidate.
    missed: Sequence[WorkerView]
    failures: Sequence[WorkerView]
    not_run: Sequence[WorkerView]
    #: Unsuccessful workers whose task has a successful candidate.
    replaced: Sequence[WorkerView]

    def described(self) -> Mapping[str, int]:
        """Return the length of each worker's output in FINAL_RESULT.md, by worker id.

        The mapping has only workers that FINAL_RESULT.md describes.
        """
        workers = [*self.successes[:FINAL_ENTRIES], *self.failures[:FINAL_ENTRIES]]
        workers += [
            worker
            for worker in self.not_run[:FINAL_ENTRIES]
            if not worker.started and len(worker.reason) <= FINAL_REASON
        ]
        workers += [each for each in self.replaced if len(each.reason) <= FINAL_REASON]
        return {worker.id: len(worker.output) for worker in workers}


class Pages:
    """The texts of the reports of a job and of all jobs below the job, with limited length.

    ``directory``: the root job's directory, as an absolute path. ``notice``: Markdown for the top
    of every report that shows results. This text is removed from the workers' outputs, so that a
    reader sees the text only once.
    """

    def __init__(
        self,
        templates: Templates,
        index: JobTreeIndex,
        job: Job,
        directory: Path,
        notice: str,
        merges: Mapping[str, MergeReport],
        project: Path | None,
        processors: int,
    ) -> None:
        self._templates = templates
        self._index = index
        self._job = job
        self._directory = directory
        self._notice = notice
        self._merges = merges
        self._project = os.path.relpath(project, directory) if project else ""
        self._processors = processors
        self.figures = self._figures(job)
        self._of_worker = {each.worker_id: each for each in self.figures.workers}

    def final_result(self) -> str:
        final = self._final
        status = final.job.line.status
        return self._fill(
            "FINAL_RESULT.md.j2",
            up="",
            job=final.job,
            notice=self._notice,
            summary=summary_of(
                self._index, self._job, self._merge, self._outside, final.missed, self.figures
            ),
            next_steps=next_steps(
                self._job,
                status,
                self._merge,
                self._outside,
                final.missed,
                needs=needs_of(self._job, self._index.workers(self._job.id)),
                has_loose_files=self._has_loose_files(),
            ),
            changes=self._merge.notes,
            outside=self._outside,
            unmerged_rows=unmerged_rows(self._outside),
            merge_commands=self._merge_commands(),
            figures=self.figures,
            failures=final.failures,
            not_run=final.not_run,
            replaced=final.replaced,
            successes=final.successes,
            people=texts_of_people(self._index, self._workers_in_tree()),
            comment_limit=FINAL_COMMENTS,
            child_jobs=self._child_jobs(),
            files=self._all_files,
            entry_limit=FINAL_ENTRIES,
            level_share=LEVEL_ROOM[0],
            file_limit=FINAL_FILES,
        )

    def _has_loose_files(self) -> bool:
        in_project = self._index.in_project
        return any(
            each.files_created and each.status.succeeded and each.worker_id not in in_project
            for each in self.figures.workers
        )

    def _workers_in_tree(self) -> Iterator[Worker]:
        for job in self._index.descendants(self._job):
            yield from self._index.workers(job.id)

    @property
    def _merge(self) -> MergeReport:
        return self._merges.get(self._job.id, NO_MERGE)

    @cached_property
    def _outside(self) -> Sequence[OutsideWork]:
        return self._index.unmerged_changes.made_not_in_result(self._job)

    def _merge_commands(self) -> Sequence[Step]:
        shown_steps = merge_steps(unmerged(self._outside))[:MOST_COMMANDS]
        rows = self._outside[:FINAL_ENTRIES]
        shown_commands = {each.command for each in shown_steps}
        return [
            each
            for each in (*merge_steps(rows), *diff_steps(rows))
            if each.command not in shown_commands
        ]

    def _child_jobs(self) -> Sequence[ChildJobLine]:
        descendants = self._index.descendants(self._job)
        lines = [job_line(self._index, each) for each in descendants if each is not self._job]
        return sorted(lines, key=lambda each: each.status is JobStatus.COMPLETED)

    def level(self, depth: int) -> str:
        """Return the report of all jobs of one depth.

        For depth 0, the report has the outputs that FINAL_RESULT.md shortens. For any other depth,
        the report has no outputs, because the outputs are in the reports of the child jobs.
        """
        no_room = ReportSpace(0, 0)
        descendants = self._index.descendants(self._index.tree.root)
        workers = [each for each in self.figures.workers if each.depth == depth]
        listed_ids = {each.worker_id for each in listed_workers(workers)}
        jobs_at_depth = [job for job in descendants if job.depth == depth and not job.is_root]
        completed = [self._index.status(job) is JobStatus.COMPLETED for job in jobs_at_depth]
        shown = [jobs_at_depth[place] for place in first_places(completed, LISTED_WORKERS)]
        jobs = [self._view(job, no_room, listed_ids) for job in shown]
        files = self._files(workers)
        if depth == 0:
            jobs = [self._beyond_final(ReportSpace(*LEVEL_ROOM), listed_ids)]
        if len(self._all_files) <= FINAL_FILES:
            files = ()
        return self._fill(
            "LEVEL_REPORT.md.j2",
            up="../",
            depth=depth,
            deepest=self.figures.depths[-1].depth,
            jobs=jobs,
            jobs_omitted=len(jobs_at_depth) - len(shown),
            notice=self._notice,
            figures=next(each for each in self.figures.depths if each.depth == depth),
            files=files,
            file_limit=LEVEL_FILES,
        )

    def job(self, job: Job) -> str:
        view = self._view(job, ReportSpace(*LEVEL_ROOM))
        figures = self.figures if job is self._job else self._figures(job)
        merge = self._merges.get(job.id, NO_MERGE)
        outside = self._index.unmerged_changes.made_not_in_result(job)
        failed = [each for each in view.workers if each.has_failed and not each.replaced]
        unsuccessful = (each for each in view.workers if not each.succeeded and not each.replaced)
        missed = [*failed, *(each for each in unsuccessful if not each.has_failed)]
        outside_of: dict[str, list[OutsideWork]] = {}
        for row in outside:
            outside_of.setdefault(row.worker_id, []).append(row)
        return self._fill(
            "job.md.j2",
            up="../",
            job=view,
            notice=self._notice,
            summary=summary_of(self._index, job, merge, outside, missed, figures),
            changes=merge.notes,
            outside=outside,
            outside_of=outside_of,
            ancestry=[job_line(self._index, each) for each in self._index.ancestry(job)],
            figures=figures,
            failures=failed,
            not_run=missed[len(failed) :],
            replaced=[each for each in view.workers if each.replaced],
            successes=[each for each in view.workers if each.succeeded and each.counts],
            files=self._files((self._of_worker[each.id] for each in view.workers), merge),
            entry_limit=min(len(view.workers), LISTED_WORKERS),
            level_share=LEVEL_ROOM[0],
            file_limit=LEVEL_FILES,
        )

    def _figures(self, job: Job) -> Analytics:
        return analytics_of(self._index, job, self._processors)

    @cached_property
    def _all_files(self) -> Sequence[MadeFile]:
        return self._files(self.figures.workers, self._merge)

    @cached_property
    def _final(self) -> _Final:
        view = self._view(self._job, self._final_room())
        unsuccessful = self._unsuccessful()
        missed = [worker for worker in unsuccessful if not worker.replaced]
        return _Final(
            job=view,
            successes=[each for each in view.workers if each.succeeded and each.counts],
            missed=missed,
            failures=self._failures(missed),
            not_run=[worker for worker in missed if not worker.has_failed],
            replaced=[worker for worker in unsuccessful if worker.replaced],
        )

    def _beyond_final(self, room: ReportSpace, only: Collection[str]) -> JobView:
        view, final_lengths = self._final.job, self._final.described()
        workers = [each for each in view.workers if each.id in only]
        return replace(
            view,
            request="",
            workers=[
                self._without_final_details(each, final_lengths.get(each.id), room)
                for each in workers
            ],
            workers_omitted=len(view.workers) - len(workers),
        )

    def _without_final_details(
        self, worker: WorkerView, final_length: int | None, room: ReportSpace
    ) -> WorkerView:
        """Return a worker without the details that FINAL_RESULT.md already has.

        ``final_length``: length of the worker's output in FINAL_RESULT.md, in characters; None if
        FINAL_RESULT.md does not describe the worker. ``room``: space for the output.
        """
        view = worker if final_length is None else worker.without_final_details()
        if final_length is not None and final_length >= min(worker.output_length, LEVEL_ROOM[0]):
            return _with_output(view, "", 0)
        output = room.without_repeated_ending(self._output(worker))
        longer = _with_output(view, room.take(output), len(output))
        return _without_notice(self._notice, longer)

    def _files(
        self, workers: Iterable[WorkerFigures], merge: MergeReport = NO_MERGE
    ) -> Sequence[MadeFile]:
        merged_ids = {*self._ids_in_result(self._job)}
        outside = {
            *self._with_child_jobs(self._unmerged_ids(merged_ids)),
            *self._with_child_jobs(self._ids_in_lost_child_jobs()),
        }
        files = made_files(workers, self._index.in_project, self._project, merge.lines, outside)
        in_result = merged_ids if merge.branch else set[str]()
        return [self._with_state(each, in_result, merge) for each in files]

    def _unmerged_ids(self, merged_ids: Collection[str]) -> Iterator[str]:
        """Yield the ids of workers whose latest changes are not merged."""
        for row in self._outside:
            is_earlier_attempt = row.cause is OutsideCause.ROLLED_BACK
            if not row.in_part and not (is_earlier_attempt and row.worker_id in merged_ids):
                yield row.worker_id

    def _ids_in_lost_child_jobs(self) -> Iterator[str]:
        """Yield the ids of the workers of each child job that the result lacks as a whole."""
        for loss in self._job.facts.lacking:
            for child_id in loss.child_job_ids:
                yield from (each.id for each in self._index.workers(child_id))

    def _with_child_jobs(self, worker_ids: Iterable[str]) -> Iterator[str]:
        """Yield the ids of the workers, and of all workers of their child jobs, at any depth."""
        for worker_id in worker_ids:
            yield worker_id
            for child in self._index.child_jobs(self._index.worker(worker_id)):
                yield from self._with_child_jobs(each.id for each in self._index.workers(child.id))

    def _ids_in_result(self, job: Job) -> Iterator[str]:
        for worker in self._index.unmerged_changes.in_result(job):
            yield worker.id
            for child in self._index.child_jobs(worker):
                yield from self._ids_in_result(child)

    def _with_state(
        self, file: MadeFile, in_result: Collection[str], merge: MergeReport
    ) -> MadeFile:
        """Return the file with facts about its state in the checkout and in the result."""
        if self._is_missing(file):
            return replace(file, link="", is_removed=True)
        if not any(each.id in in_result for each in file.merged_by):
            return file
        has_all_lines = merge.size is not None and len(merge.lines) >= merge.size.files
        return replace(file, without_lines="no change" if has_all_lines else "unknown")

    def _is_missing(self, file: MadeFile) -> bool:
        return bool(file.link) and not os.path.lexists(self._directory / file.link)

    def timeline(self) -> str:
        return self._fill(
            "timeline.md.j2",
            job=job_line(self._index, self._job),
            figures=self.figures,
            timeline=timeline(self._index, self._job, self.figures),
        )

    def _fill(self, template: str, **context: object) -> str:
        paths = {"directory": str(self._directory), "all_results": self._all_results_call}
        return self._templates.fill(template, {**paths, **context})

    @property
    def _all_results_call(self) -> str:
        has_all = len(self.figures.workers) <= LISTED_WORKERS
        return "" if has_all else f"GET /api/v1/jobs/{self._job.id}/results"

    def _final_room(self) -> ReportSpace:
        least, most = FINAL_SHARE
        workers = len(self._index.workers(self._job.id))
        return ReportSpace(min(most, max(least, FINAL_ROOM // max(1, workers))), FINAL_ROOM)

    def _view(self, job: Job, room: ReportSpace, only: Collection[str] | None = None) -> JobView:
        view = job_view(self._index, job, self._of_worker, room, only)
        workers = [_without_notice(self._notice, worker) for worker in view.workers]
        return replace(view, workers=workers) if self._notice else view

    def _unsuccessful(self) -> Sequence[WorkerView]:
        no_room = ReportSpace(0, 0)
        ids_by_job: dict[str, set[str]] = {}
        for each in self.figures.workers:
            if not each.status.succeeded:
                ids_by_job.setdefault(each.job_id, set()).add(each.worker_id)
        return [
            worker
            for each in self.figures.jobs
            if each.job_id in ids_by_job
            for worker in self._view(
                self._index.job(each.job_id), no_room, ids_by_job[each.job_id]
            ).workers
        ]

    def _output(self, worker: WorkerView) -> str:
        return worker_output(self._index.worker(worker.id))

    def _failures(self, missed: Sequence[WorkerView]) -> Sequence[WorkerView]:
        room = ReportSpace(*FAILURE_ROOM)
        return [
            replace(worker, output=room.take_end(self._output(worker), FAILURE_LINES))
            for worker in missed
            if worker.has_failed
        ]


def _with_output(worker: WorkerView, output: str, length: int) -> WorkerView:
    if (worker.output, worker.output_length) == (output, length):
        return worker
    return replace(worker, output=output, output_length=length)


def _without_notice(notice: str, worker: WorkerView) -> WorkerView:
    """Return the worker without the notice in its output."""
    sentence = f"**{notice}**\n\n"
    if not notice or sentence not in worker.output:
        return worker
    output = worker.output.replace(sentence, "", 1)
    return replace(worker, output=output, output_length=worker.output_length - len(sentence))


class Reports:
    """Writes reports for people about a job tree.

    ``template_dir``: directory of the user's own templates. They replace shipped templates with the
    same names.
    """

    def __init__(
        self,
        *,
        template_dir: Path | None = None,
        project: Path | None = None,
        processors: int | None = None,
    ) -> None:
        """``project``: the user's checkout, for links to files of tasks with ``workdir: project``.

        ``processors``: number of processors that workers share; None: the number of processors
        that this process may use.
        """
        self._templates = Templates(template_dir)
        self._processors = processors or process_table.usable_processors()
        self._project = project

    def prepare(self) -> None:
        self._templates.prepare()

    def render(
        self,
        tree: Tree,
        job_id: str,
        directory: Path,
        *,
        notice: str = "",
        merges: Mapping[str, MergeReport] = NO_MERGES,
    ) -> list[Path]:
        """Write the reports of a job, and return their paths.

        For a root job, also rewrite the reports of its child jobs: some facts about a child job are
        known only at the root job's end.

        ``directory``: the root job's directory, which must exist. ``notice``: Markdown for the top
        of each report. ``merges``: the outcome of each job's merge, by job id.

        Idempotent: existing reports are replaced. Raise KeyError for a job that is not in the tree.
        If a report cannot be written, write the other reports, and then raise ReportError. If the
        disk is full, raise ReportError at once.
        """
        index = JobTreeIndex(tree)
        job = index.job(job_id)
        pages = Pages(
            self._templates,
            index,
            job,
            directory.absolute(),
            notice,
            merges,
            self._project,
            self._processors,
        )
        reports = _reports_of_root(pages, index) if job.is_root else _reports_of_child(pages, job)
        return write_all(directory, reports)


def _reports_of_child(pages: Pages, job: Job) -> Iterator[tuple[str, str]]:
    yield f"reports/job_{job.id}.md", pages.job(job)


def _reports_of_root(pages: Pages, index: JobTreeIndex) -> Iterator[tuple[str, str]]:
    for job in index.tree.jobs:
        if not job.is_root:
            yield from _reports_of_child(pages, job)
    for each in pages.figures.depths:
        yield f"depth_{each.depth}/LEVEL_{each.depth}_REPORT.md", pages.level(each.depth)
    yield "reports/tree.txt", "\n".join(text_tree(index, index.tree.root)) + "\n"
    yield "reports/timeline.md", pages.timeline()
    yield "reports/analytics.json", as_json(pages.figures)
    # Yield this report last, because it links to the other reports.
    yield "FINAL_RESULT.md", pages.final_result()


def text_tree(index: JobTreeIndex, job: Job) -> Iterator[str]:
    """Yield the lines of ``tree.txt`` for a job and the jobs below it."""
    yield _line_of_job(index, job)
    yield from _lines_below(index, job, "")


def _lines_below(index: JobTreeIndex, job: Job, margin: str) -> Iterator[str]:
    workers = index.workers(job.id)
    for worker in workers:
        is_last = worker is workers[-1]
        yield margin + ("└── " if is_last else "├── ") + _line_of_worker(index, worker)
        yield from _lines_of_child_jobs(index, worker, margin + ("    " if is_last else "│   "))


def _lines_of_child_jobs(index: JobTreeIndex, worker: Worker, margin: str) -> Iterator[str]:
    children = index.child_jobs(worker)
    for child in children:
        is_last = child is children[-1]
        yield margin + ("└── " if is_last else "├── ") + _line_of_job(index, child)
        yield from _lines_below(index, child, margin + ("    " if is_last else "│   "))


def _line_of_job(index: JobTreeIndex, job: Job) -> str:
    status = index.status(job).value
    wall = duration(index.wall_seconds(job))
    workers = plural(len(index.workers(job.id)), "worker")
    return f"job {job.id}: {status}, {wall}, {workers}: {one_line(job.request, 60)}"


def _line_of_worker(index: JobTreeIndex, worker: Worker) -> str:
    name = one_line(index.label(worker), 60)
    runs = index.runs(worker)
    took = f", {duration(sum(end - start for start, end in runs))}" if runs else ""
    return f"{worker.id}: {worker.status.value}{took}: {name} ({one_line(worker.agent, 30)})"
