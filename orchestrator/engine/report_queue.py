"""The report queue: a queue of jobs that need reports, and the thread that writes these reports."""

import logging
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue

from orchestrator.core import failpoints
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job
from orchestrator.core.model.scheduler_commands import Render
from orchestrator.core.outcome.merge_report import MergeReport
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.core.ports import Reporter, Store, Tree, Workspace
from orchestrator.engine.runtime.disk_and_store_retries import when_reachable
from orchestrator.engine.runtime.supervisor_messages import Post, ReportsRendered

logger = logging.getLogger(__name__)

#: Seconds until the reports of a job are retried after a full disk.
RENDER_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _ForEndedJob:
    """A request to write the reports of an ended job. No ``ReportsRendered`` is posted."""

    render: Render


class ReportQueue:
    """Writes the reports of queued jobs, one after another, in a background thread.

    If the disk is full, a report is retried until the disk has space. Any thread may call.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        workspace: Workspace,
        nothing_built: str,
        post: Post,
        merge_reports: Callable[[Tree, str], Mapping[str, MergeReport]],
    ) -> None:
        self._store = store
        self._reporter = reporter
        self._workspace = workspace
        #: Notice at the top of a job tree's reports, if no AI agent worked on a request that may
        #: ask for changes.
        self._nothing_built = nothing_built
        self._post = post
        #: Function that returns merge reports by job id. The function first merges a job's changes
        #: if they are not merged yet.
        self._merge_reports = merge_reports
        self._queue: SimpleQueue[Render | _ForEndedJob | None] = SimpleQueue()
        #: Requests to retry after a full disk, by job id.
        self._overdue: dict[str, Render] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporting", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def enqueue(self, render: Render) -> None:
        """Queue a job that is about to end, to write its reports.

        ``ReportsRendered`` is posted when the reports are written, or if they cannot be written.
        """
        self._queue.put(render)

    def write_missing(self, root: Job) -> None:
        """Queue an ended root job that has no reports, unless a person removed its directory."""
        missing = not self._workspace.final_report(root).is_file()
        if missing and self._workspace.job_directory(root.id).is_dir():
            self._queue.put(_ForEndedJob(Render(root.id, root.id, ())))

    def rewrite(self, render: Render) -> None:
        """Queue an ended job whose reports are outdated."""
        self._queue.put(_ForEndedJob(render))

    def write(self) -> None:
        """Write all queued reports, and then return. Do not call both this method and ``start``."""
        if not self._queue.empty():
            self.start()
            self.stop()

    def _run(self) -> None:
        self._reporter.prepare()
        while True:
            try:
                render = self._queue.get(timeout=RENDER_RETRY_SECONDS if self._overdue else None)
            except Empty:
                self._write_overdue()
                continue
            if render is None:
                return
            if isinstance(render, _ForEndedJob):
                self._try_to_write(render.render)
                continue
            self._try_to_write(render)
            failpoints.reached("reports: written")
            self._post(ReportsRendered(render.job_id))

    def _try_to_write(self, render: Render) -> None:
        try:
            self._render(render)
        except Exception as error:
            if is_shortage(error):
                self._postpone(render, error)
                return
            logger.exception("cannot write a report", extra={"job_id": render.job_id})
        self._overdue.pop(render.job_id, None)

    def _postpone(self, render: Render, error: Exception) -> None:
        if render.job_id not in self._overdue:
            logger.warning(
                "cannot write a report; retrying: %s", error, extra={"job_id": render.job_id}
            )
        self._overdue[render.job_id] = render

    def _write_overdue(self) -> None:
        for render in list(self._overdue.values()):
            self._try_to_write(render)
            if render.job_id in self._overdue:
                return

    def _render(self, render: Render) -> None:
        is_whole_tree = render.job_id == render.root_id
        family = None if is_whole_tree else render.family
        tree = when_reachable(lambda: self._store.tree(render.root_id, family), self._stopping)
        if tree is not None:
            directory = self._workspace.job_directory(render.root_id)
            uses_git = any(job.config.base or job.config.git_note for job in tree.jobs)
            self._reporter.render(
                tree,
                render.job_id,
                directory,
                notice=self._nothing_built if tree.root.facts.nothing_built else "",
                merges=self._merge_reports(tree, render.job_id) if uses_git else {},
            )
