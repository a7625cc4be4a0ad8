"""Renders the reports of a job whose workers have all ended."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orchestrator.core.model import Job
from orchestrator.core.ports import Tree
from orchestrator.core.shortage import is_shortage
from orchestrator.reports.analytics import as_json
from orchestrator.reports.family import Family
from orchestrator.reports.pages import Pages
from orchestrator.reports.templates import Templates
from orchestrator.reports.text_tree import text_tree
from orchestrator.reports.writing import ReportError, write_report


class Reports:
    """Files for people, made from a tree.

    ``template_dir`` may hold templates of a user's own: one with the name of a shipped template
    (see ``templates/``) is used in its place.
    """

    def __init__(
        self,
        *,
        template_dir: Path | None = None,
        project: Path | None = None,
        processors: int | None = None,
    ) -> None:
        """``processors`` are those that workers share; None: those that this process may use."""
        self._templates = Templates(template_dir)
        self._processors = processors or _usable_processors()
        #: Where files of `workdir: project` tasks are, for links.
        self._project = project

    def prepare(self) -> None:
        """Do what only the first report would wait for."""
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

        A child job has one report; the root job has all the others, and its child jobs' again,
        which are complete by then. ``notice`` is Markdown for the top of each; ``changes`` says
        what became of changes to the project. Return what was written. Idempotent: reports that
        are there are replaced. Raise KeyError for a job that is not in the tree and ReportError
        for a report that cannot be written; the others are written all the same.
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
            # What a worker has made of one place costs no other report.
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
    # Last, so that all it points to is there.
    yield "FINAL_RESULT.md", pages.final_result()
