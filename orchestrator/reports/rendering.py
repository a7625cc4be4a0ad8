"""Renders the reports: selects the content of each one and its length; also ``tree.txt``."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.resource_exhaustion import is_shortage
from orchestrator.core.ports import Tree
from orchestrator.core.repository.git_refs import short, worker_branch
from orchestrator.reports.atomic_write import ReportError, write_report
from orchestrator.reports.escaping import one_line
from orchestrator.reports.figures.analytics import Analytics, analytics_of, as_json
from orchestrator.reports.figures.job_tree import Family
from orchestrator.reports.figures.worker_figures import WorkerFigures
from orchestrator.reports.template_values import (
    JobView,
    MadeFile,
    ReportSpace,
    WorkerView,
    job_line,
    job_view,
    made_files,
    worker_output,
)
from orchestrator.reports.templates import Templates
from orchestrator.reports.timeline import timeline
from orchestrator.reports.wording import duration, plural

#: Characters of output per worker and in all, by report. GitHub shows no Markdown beyond 512 kB.
FINAL_ROOM = 120_000
#: Characters of one worker, if it has one of many shares or all the room of FINAL_RESULT.md.
FINAL_SHARE = (8_000, 40_000)
LEVEL_ROOM = (20_000, 300_000)
FAILURE_ROOM = (2_000, 60_000)

#: Entries of one kind that FINAL_RESULT.md lists; the rest is counted, and is in other reports.
FINAL_ENTRIES = 40
FINAL_FILES = 200
FINAL_TREE_LINES = 60
LEVEL_FILES = 1_000

#: Characters of a reason that FINAL_RESULT.md shows of a worker that was not started.
FINAL_REASON = 200

_WENT_WRONG = {WorkerStatus.FAILED, WorkerStatus.TIMEOUT}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Final:
    """The root job and its tree's workers, as FINAL_RESULT.md lists them."""

    job: JobView
    successes: Sequence[WorkerView]
    failures: Sequence[WorkerView]
    not_run: Sequence[WorkerView]
    #: Another candidate succeeded at the same task.
    replaced: Sequence[WorkerView]

    def described(self) -> Mapping[str, int]:
        """Return workers that the report describes, with the size of their output in it."""
        found = [*self.successes[:FINAL_ENTRIES], *self.failures[:FINAL_ENTRIES]]
        found += [
            worker
            for worker in self.not_run[:FINAL_ENTRIES]
            if not worker.started and len(worker.reason) <= FINAL_REASON
        ]
        return {worker.id: len(worker.output) for worker in found}


class Pages:
    """The reports of one job and everything below it.

    ``directory``: the root job's own, absolute. ``notice``: Markdown for the top of every report of
    results; the same words from workers are omitted.
    """

    def __init__(
        self,
        templates: Templates,
        family: Family,
        job: Job,
        directory: Path,
        notice: str = "",
        changes: Sequence[str] = (),
        project: Path | None = None,
        processors: int = 1,
    ) -> None:
        self._templates = templates
        self._family = family
        self._job = job
        self._directory = directory
        self._notice = notice
        self._changes = changes
        self._project = os.path.relpath(project, directory) if project else ""
        self._processors = processors
        self.figures = self._figures(job)
        self._of_worker = {each.worker_id: each for each in self.figures.workers}

    def final_result(self) -> str:
        final = self._final
        tree = list(islice(text_tree(self._family, self._job), FINAL_TREE_LINES + 1))
        return self._fill(
            "FINAL_RESULT.md.j2",
            up="",
            job=final.job,
            notice=self._notice,
            changes=self._changes,
            inside=self._family.whereabouts.in_result(self._job),
            outside=self._family.whereabouts.made_not_in_result(self._job),
            branch_of=lambda worker: short(worker_branch(worker)),
            figures=self.figures,
            failures=final.failures,
            not_run=final.not_run,
            replaced=final.replaced,
            successes=final.successes,
            files=self._all_files,
            entry_limit=FINAL_ENTRIES,
            level_share=LEVEL_ROOM[0],
            file_limit=FINAL_FILES,
            tree="\n".join(tree[:FINAL_TREE_LINES]),
            tree_is_cut=len(tree) > FINAL_TREE_LINES,
        )

    def level(self, depth: int) -> str:
        """Return the report of one level; level 0 is without what FINAL_RESULT.md has in full."""
        room = ReportSpace(*LEVEL_ROOM)
        below = self._family.descendants(self._family.tree.root)
        jobs = [self._view(job, room) for job in below if job.depth == depth and not job.is_root]
        files = self._files(each for each in self.figures.workers if each.depth == depth)
        if depth == 0:
            jobs = [self._beyond_final(room)]
            files = files if len(self._all_files) > FINAL_FILES else ()
        return self._fill(
            "LEVEL_REPORT.md.j2",
            up="../",
            depth=depth,
            deepest=self.figures.depths[-1].depth,
            jobs=jobs,
            notice=self._notice,
            figures=next(each for each in self.figures.depths if each.depth == depth),
            files=files,
            file_limit=LEVEL_FILES,
        )

    def job(self, job: Job) -> str:
        """Return the report of one child job."""
        view = self._view(job, ReportSpace(*LEVEL_ROOM))
        return self._fill(
            "job.md.j2",
            up="../",
            job=view,
            notice=self._notice,
            changes=self._changes if job is self._job else (),
            ancestry=[job_line(self._family, each) for each in self._family.ancestry(job)],
            figures=self.figures if job is self._job else self._figures(job),
            files=self._files(self._of_worker[worker.id] for worker in view.workers),
            file_limit=LEVEL_FILES,
        )

    def _figures(self, job: Job) -> Analytics:
        return analytics_of(self._family, job, self._processors)

    @cached_property
    def _all_files(self) -> Sequence[MadeFile]:
        return self._files(self.figures.workers)

    @cached_property
    def _final(self) -> _Final:
        view = self._view(self._job, self._final_room())
        unsuccessful = self._unsuccessful()
        missed = [worker for worker in unsuccessful if not worker.replaced]
        return _Final(
            job=view,
            successes=[each for each in view.workers if each.succeeded and each.counts],
            failures=self._failures(missed),
            not_run=[worker for worker in missed if worker.status not in _WENT_WRONG],
            replaced=[worker for worker in unsuccessful if worker.replaced],
        )

    def _beyond_final(self, room: ReportSpace) -> JobView:
        """The root job without the content of FINAL_RESULT.md about its workers."""
        view, described = self._final.job, self._final.described()
        return replace(
            view,
            request="",
            workers=[self._rest_of(each, described.get(each.id), room) for each in view.workers],
            comparisons=view.comparisons[FINAL_ENTRIES:],
        )

    def _rest_of(self, worker: WorkerView, described: int | None, room: ReportSpace) -> WorkerView:
        """A worker without FINAL_RESULT.md's content, and its output if there is more."""
        rest = worker if described is None else worker.measured()
        if described is not None and described >= min(worker.output_length, LEVEL_ROOM[0]):
            return replace(rest, output="", output_length=0)
        output = room.once(worker_output(self._family.worker(worker.id)))
        longer = replace(rest, output=room.take(output), output_length=len(output))
        return _without(self._notice, longer)

    def _files(self, workers: Iterable[WorkerFigures]) -> Sequence[MadeFile]:
        return made_files(workers, self._family.in_project, self._project)

    def timeline(self) -> str:
        return self._fill(
            "timeline.md.j2",
            job=job_line(self._family, self._job),
            figures=self.figures,
            timeline=timeline(self._family, self._job, self.figures),
        )

    def _fill(self, template: str, **context: object) -> str:
        """Adds the paths of the report's directory: ``up`` leads from it to the root job's."""
        return self._templates.fill(template, {"directory": str(self._directory), **context})

    def _final_room(self) -> ReportSpace:
        least, most = FINAL_SHARE
        workers = len(self._family.workers(self._job.id))
        return ReportSpace(min(most, max(least, FINAL_ROOM // max(1, workers))), FINAL_ROOM)

    def _view(self, job: Job, room: ReportSpace) -> JobView:
        view = job_view(self._family, job, self._of_worker, room)
        workers = [_without(self._notice, worker) for worker in view.workers]
        return replace(view, workers=workers) if self._notice else view

    def _unsuccessful(self) -> Sequence[WorkerView]:
        """Unsuccessful workers of all levels, highest first, without their output."""
        no_room = ReportSpace(0, 0)
        return [
            worker
            for each in self.figures.jobs
            if any(not w.status.succeeded for w in self._family.workers(each.job_id))
            for worker in self._view(self._family.job(each.job_id), no_room).workers
            if not worker.succeeded
        ]

    def _failures(self, missed: Sequence[WorkerView]) -> Sequence[WorkerView]:
        """Failures with the start of their output."""
        room = ReportSpace(*FAILURE_ROOM)
        return [
            replace(worker, output=room.take(worker_output(self._family.worker(worker.id))))
            for worker in missed
            if worker.status in _WENT_WRONG
        ]


def _without(notice: str, worker: WorkerView) -> WorkerView:
    """Workers do not repeat the text at the top of the report."""
    said = f"**{notice}**\n\n"
    if not notice or said not in worker.output:
        return worker
    output = worker.output.replace(said, "", 1)
    return replace(worker, output=output, output_length=worker.output_length - len(said))


class Reports:
    """Reports for people, made from a tree.

    ``template_dir`` may hold a user's own templates: one with the name of a shipped template (see
    ``templates/``) is used in its place.
    """

    def __init__(
        self,
        *,
        template_dir: Path | None = None,
        project: Path | None = None,
        processors: int | None = None,
    ) -> None:
        """``processors``: those that workers share; None: those that this process may use."""
        self._templates = Templates(template_dir)
        self._processors = processors or _usable_processors()
        #: Directory of the files of `workdir: project` tasks, for links.
        self._project = project

    def prepare(self) -> None:
        """Do what otherwise only the first report would wait for."""
        self._templates.prepare()

    def render(
        self,
        tree: Tree,
        job_id: str,
        directory: Path,
        *,
        notice: str = "",
        changes: Sequence[str] = (),
    ) -> list[Path]:
        """Write the reports of a job into ``directory``, the root job's own, which must exist.

        A child job has one report; the root job has all the others, and rewrites its child jobs'
        reports, which are complete by then. ``notice``: Markdown for the top of each; ``changes``
        describes the outcome of changes to the project. Return the written paths. Idempotent:
        existing reports are replaced. Raise KeyError for a job that is not in the tree and
        ReportError for a report that cannot be written; the others are written all the same.
        """
        family = Family(tree)
        job = family.job(job_id)
        pages = Pages(
            self._templates,
            family,
            job,
            directory.absolute(),
            notice,
            changes,
            self._project,
            self._processors,
        )
        reports = _of_root(pages, family) if job.is_root else _of_child(pages, job)
        return _written(directory, reports)


def _usable_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _written(directory: Path, reports: Iterable[tuple[str, str]]) -> list[Path]:
    written, errors = [], []
    for name, text in reports:
        try:
            written.append(write_report(directory, name, text))
        except ReportError as error:
            if is_shortage(error):
                raise
            # A bad place created by a worker must not prevent other reports.
            errors.append(error)
    if errors:
        raise errors[0]
    return written


def _of_child(pages: Pages, job: Job) -> Iterator[tuple[str, str]]:
    yield f"reports/job_{job.id}.md", pages.job(job)


def _of_root(pages: Pages, family: Family) -> Iterator[tuple[str, str]]:
    for job in family.tree.jobs:
        if not job.is_root:
            yield from _of_child(pages, job)
    for each in pages.figures.depths:
        yield f"depth_{each.depth}/LEVEL_{each.depth}_REPORT.md", pages.level(each.depth)
    yield "reports/tree.txt", "\n".join(text_tree(family, family.tree.root)) + "\n"
    yield "reports/timeline.md", pages.timeline()
    yield "reports/analytics.json", as_json(pages.figures)
    # Last, so that all targets of its links exist.
    yield "FINAL_RESULT.md", pages.final_result()


def text_tree(family: Family, job: Job) -> Iterator[str]:
    """Return ``tree.txt``: a line for each job and worker of a tree."""
    yield _line_of_job(family, job)
    yield from _lines_below(family, job, "")


def _lines_below(family: Family, job: Job, margin: str) -> Iterator[str]:
    workers = family.workers(job.id)
    for worker in workers:
        last = worker is workers[-1]
        yield margin + ("└── " if last else "├── ") + _line_of_worker(family, worker)
        yield from _lines_of_child_jobs(family, worker, margin + ("    " if last else "│   "))


def _lines_of_child_jobs(family: Family, worker: Worker, margin: str) -> Iterator[str]:
    children = family.child_jobs(worker)
    for child in children:
        last = child is children[-1]
        yield margin + ("└── " if last else "├── ") + _line_of_job(family, child)
        yield from _lines_below(family, child, margin + ("    " if last else "│   "))


def _line_of_job(family: Family, job: Job) -> str:
    status = family.status(job).value
    wall = duration(family.wall_seconds(job))
    workers = plural(len(family.workers(job.id)), "worker")
    return f"job {job.id}: {status}, {wall}, {workers}: {one_line(job.request, 60)}"


def _line_of_worker(family: Family, worker: Worker) -> str:
    name = one_line(family.label(worker), 60)
    runs = family.runs(worker)
    took = f", {duration(sum(end - start for start, end in runs))}" if runs else ""
    return f"{worker.id}: {worker.status.value}{took}: {name} ({one_line(worker.agent, 30)})"
