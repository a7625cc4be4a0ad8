"""Queue of jobs to merge. Each merge has its own thread, because gates may take minutes."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, NoSuchJob
from orchestrator.core.model.scheduler_commands import Render
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.core.ports import Store, Tree
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.engine.merge.merge_runner import MergeRunner
from orchestrator.engine.runtime.disk_and_store_retries import when_reachable
from orchestrator.engine.runtime.supervisor_messages import JobMerged, Post
from orchestrator.engine.runtime.thread_pool import PrestartedThreadPool

logger = logging.getLogger(__name__)

#: Maximum number of jobs that are merged at the same time. Further jobs wait.
MOST_THREADS = 8
#: Seconds until a merge is retried after a full disk: the first pause, and the longest pause.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0


class _JobMerges:
    """The merges of one job, which wait or run. Only one merge of a job runs at a time."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        #: Event that makes the job's merges end soon, once it is set.
        self.stop = threading.Event()
        #: Number of the job's merges that wait or run.
        self.merges = 0


class MergeQueue:
    """Merges queued jobs in background threads. Any thread may call.

    If the server stops before the merge of an unfinished job has ended, the next server repeats the
    merge.
    """

    def __init__(
        self, store: Store, merge_runner: MergeRunner, report: Callable[[Render], None], post: Post
    ) -> None:
        """``report``: rewrites the reports of an ended job."""
        self._report = report
        self._post = post
        self._store = store
        self._merge_runner = merge_runner
        self._threads = PrestartedThreadPool(MOST_THREADS, "merge")
        self._lock = threading.Lock()
        #: The merges that wait or run, by job id.
        self._active: dict[str, _JobMerges] = {}
        self._closed = threading.Event()

    def enqueue(self, render: Render) -> None:
        """Queue a job's merge. The queue posts ``JobMerged`` when the merge has ended."""
        try:
            self._threads.submit(self._merge, render, self._begin(render.job_id))
        except RuntimeError:
            logger.info(
                "the server is stopping: the job is merged after the next start",
                extra={"job_id": render.job_id},
            )

    def merge_again(
        self, root_id: str, job_id: str, choice: MergeChoice, then: Callable[[MergeOutcome], None]
    ) -> Future[None]:
        """Merge an ended job again, in a background thread. ``then`` is called with the outcome.

        ``choice``: the person's choices for this merge, such as workers to exclude.

        The returned future completes when the merge has ended. Its ``result()`` raises the merge's
        error, if any. Raise Conflict if another merge of the job waits or runs.
        """
        self.check_idle(job_id)
        work = self._begin(job_id)
        return self._threads.submit(self._merge_again, root_id, job_id, choice, work, then)

    def is_merging(self, job_id: str) -> bool:
        """True if a merge of the job waits or runs."""
        with self._lock:
            return job_id in self._active

    def check_idle(self, job_id: str) -> None:
        """Raise Conflict if a merge of the job waits or runs."""
        if self.is_merging(job_id):
            raise Conflict(
                f"job {job_id} is being merged; nothing was changed; repeat this command after the "
                "merge"
            )

    def stop(self, job_id: str) -> None:
        """Make the merge of a stopped job end soon, without its long steps. Idempotent."""
        with self._lock:
            if job_id in self._active:
                self._active[job_id].stop.set()

    def close(self) -> None:
        """Make all merges end soon, and wait until they have ended. Idempotent.

        After this call, no merge posts a message.
        """
        self._closed.set()
        with self._lock:
            for work in self._active.values():
                work.stop.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job_id: str) -> _JobMerges:
        with self._lock:
            work = self._active.setdefault(job_id, _JobMerges())
            work.merges += 1
            return work

    def _end(self, job_id: str, work: _JobMerges) -> None:
        with self._lock:
            work.merges -= 1
            if not work.merges:
                del self._active[job_id]

    def _merge(self, render: Render, work: _JobMerges) -> None:
        outcome = MergeOutcome()
        try:
            whole = render.job_id == render.root_id
            family = None if whole else render.family
            tree = when_reachable(lambda: self._store.tree(render.root_id, family), self._closed)
            if tree is not None:
                with work.turn:
                    outcome = self._retry_on_full_disk(tree, render.job_id, work)
        except Exception as error:
            logger.exception("a job could not be merged", extra={"job_id": render.job_id})
            outcome = MergeOutcome(error=str(error) or type(error).__name__)
        finally:
            self._end(render.job_id, work)
        if not self._closed.is_set():
            failpoints.reached("merge: about to report")
            self._post(JobMerged(render, outcome))

    def _retry_on_full_disk(self, tree: Tree, job_id: str, work: _JobMerges) -> MergeOutcome:
        pause = RETRY_SECONDS
        stopped = any(each.id == job_id and each.stop_cause is not None for each in tree.jobs)
        while True:
            try:
                return self._merge_runner.merge_job(tree, job_id, work.stop.is_set)
            except OSError as error:
                if not is_shortage(error) or stopped or work.stop.is_set():
                    raise
                if pause == RETRY_SECONDS:
                    logger.warning(
                        "cannot merge a job; retrying: %s", error, extra={"job_id": job_id}
                    )
                if work.stop.wait(pause):
                    raise
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)

    def _merge_again(
        self,
        root_id: str,
        job_id: str,
        choice: MergeChoice,
        work: _JobMerges,
        then: Callable[[MergeOutcome], None],
    ) -> None:
        try:
            tree = self._store.tree(root_id, None)
            if tree is None:
                raise NoSuchJob(job_id)
            with work.turn:
                outcome = self._merge_runner.merge_again(tree, job_id, choice, work.stop.is_set)
            then(outcome)
            self._report(Render(root_id, job_id, tuple(each.id for each in tree.jobs)))
        finally:
            self._end(job_id, work)
