"""Feedback from events: sends remarks on a job's pull request to the job's workers.

Remarks are comments and failed checks. One review arrives as many events. Therefore, remarks are
stored until the job has ended and no event has arrived for some seconds. Then each worker gets all
remarks on its files together, for a single attempt.
"""

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.core.errors import InvalidRequest, NotFound, OrchestratorError, Outdated
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.model.human_input.feedback import Comment, FeedbackRequest
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.text.formatting import cut
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.queries.job_details import JobDetails
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.security.files.atomic_write import replace_file

if TYPE_CHECKING:
    from orchestrator.engine.service.triggers.trigger import Trigger

logger = logging.getLogger(__name__)

DIRECTORY = ".events"
#: Kind of the error for an Idempotency-Key that was already used for other feedback.
REPEATED = "idempotency-mismatch"
POLL_SECONDS = 0.5
#: Seconds for which sending is retried if a worker cannot get feedback now.
PATIENCE_SECONDS = 3600.0
#: Seconds for which delivery ids are stored. GitHub may repeat a delivery for 3 days.
REMEMBERED_SECONDS = 7 * 86_400.0
MOST_COMMENTS, MOST_CHARACTERS = 200, 20_000


def longest_settle_seconds(triggers: "Iterable[Trigger]") -> float:
    """Return the largest ``settle_seconds`` of the triggers for feedback; 0 if there are none."""
    return max((each.settle_seconds for each in triggers if each.template is None), default=0.0)


class EventRemark(Protocol):
    @property
    def branch(self) -> str: ...
    def as_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """A remark, with the fields of the file in which it is stored."""

    by: str
    commit: str
    text: str
    summary: str
    path: str
    line: int
    end_line: int
    is_old: bool


class EventFeedback:
    """Stores remarks on jobs on disk, and later sends them to workers as feedback.

    If the server crashes, each stored remark is still sent exactly once.
    """

    def __init__(
        self,
        access: Access,
        job_details: JobDetails,
        feedback: FeedbackCalls,
        workspace: Path,
        settle_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``settle_seconds``: seconds without an event after which a job's remarks are sent."""
        self._access = access
        self._job_details = job_details
        self._feedback = feedback
        root = workspace / DIRECTORY
        self._pending, self._sending, self._seen = root / "pending", root / "sending", root / "seen"
        self._settle_seconds = settle_seconds
        self._now = now
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="event feedback", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop sending. Stored remarks are sent after the next start of the server. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def put(
        self, trigger: str, delivery: str, remark: EventRemark, summary: str
    ) -> tuple[str, bool]:
        """Store a remark. Return the job's id, and True if this delivery is new.

        ``trigger``: name of the trigger. ``delivery``: id of the delivery; may be empty.
        ``summary``: the remark as text that names the file and the lines. Raise NotFound if the
        remark's branch is not the result branch of a job.
        """
        job = self._job_of(remark.branch)
        content = json.dumps({**remark.as_json(), "summary": summary, "by": trigger})
        digest = hashlib.sha256((delivery or content).encode()).hexdigest()[:32]
        with self._writing:
            if (self._seen / digest).exists():
                return job.id, False
            for directory in (self._pending / job.id, self._seen):
                directory.mkdir(parents=True, exist_ok=True)
            replace_file(self._pending / job.id / f"{digest}.json", content.encode())
            (self._seen / digest).touch()
        return job.id, True

    def _job_of(self, branch: str) -> Job:
        parts = branch.removeprefix("refs/heads/").split("/")
        if len(parts) != 3 or parts[0] != BRANCHES or not parts[2].startswith("result"):
            raise NotFound(f"branch {cut(branch, 100)!r} is not the result of a job")
        result_name = parts[2].removeprefix("result_")
        return self._access.job(_caller(""), parts[1] if result_name == "result" else result_name)

    # The thread.

    def _run(self) -> None:
        self._forget_old_deliveries()
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.send_settled()
            except (OrchestratorError, OSError) as error:
                logger.warning("feedback from events is delayed: %s", error)

    def send_settled(self) -> None:
        """Send the remarks of all ended jobs for which no event has arrived for some seconds.

        Raise OSError if a file operation fails, or StoreError if the store fails. After an error,
        the next call sends the remaining remarks.
        """
        for directory in _subdirectories(self._pending):
            self._gather(directory)
        for directory in _subdirectories(self._sending):
            for group in _subdirectories(directory):
                self._send_group(directory.name, group)

    def _gather(self, directory: Path) -> None:
        """Move the stored remarks on one job into a group, which is sent as one feedback.

        Do nothing until the job has ended and no remark has arrived for some seconds. Also do
        nothing while an earlier group is unsent. If the job no longer exists, delete the remarks.

        ``directory``: the directory with the job's remarks.
        """
        files = sorted(directory.glob("*.json"), key=lambda each: each.stat().st_mtime)
        groups = self._sending / directory.name
        if not files or any(_subdirectories(groups)):
            return
        if self._now() - files[-1].stat().st_mtime < self._settle_seconds:
            return
        try:
            if not self._access.job(_caller(""), directory.name).status.ended:
                return
        except NotFound:
            shutil.rmtree(directory)
            return
        group = groups / files[0].stem
        with self._writing:
            group.mkdir(parents=True, exist_ok=True)
            for file in files:
                os.rename(file, group / file.name)

    def _send_group(self, job_id: str, group: Path) -> None:
        remarks = list(_stored_remarks(group))
        try:
            self._give_to_workers(job_id, group.name, remarks)
        except OrchestratorError as error:
            # These two errors are permanent. Other errors are temporary, for example during a merge
            # or while the store is unavailable.
            is_permanent = isinstance(error, InvalidRequest | NotFound)
            if not is_permanent and self._now() - group.stat().st_mtime <= PATIENCE_SECONDS:
                return
            logger.error("feedback on job %s was not sent: %s", job_id, error.message)
        shutil.rmtree(group)

    def _give_to_workers(self, job_id: str, key: str, remarks: Sequence[_Stored]) -> None:
        """Send each worker of the job the remarks on the worker's files.

        A remark on no worker's file is sent to the last worker that changed files. Idempotent for
        the same ``key``. Raise an OrchestratorError if a remark could not be sent.
        """
        if not remarks:
            return
        caller = _caller(remarks[0].by)
        workers = [
            each
            for each in self._job_details.detail(caller, job_id).workers
            if _committed_head(each)
        ]
        if not workers:
            raise NotFound(f"no worker of job {job_id} has a branch")
        remarks_by_worker: dict[str, list[_Stored]] = {}
        for remark in remarks:
            remarks_by_worker.setdefault(_worker_of(remark, workers).id, []).append(remark)
        for worker in workers:
            if worker_remarks := remarks_by_worker.get(worker.id):
                self._give_to_worker(caller, worker, f"{key}-{worker.id}", worker_remarks)

    def _give_to_worker(
        self, caller: Caller, worker: Worker, key: str, remarks: Sequence[_Stored]
    ) -> None:
        commit = _committed_head(worker)
        for on_lines in (True, False):
            request = _feedback_request(commit, key, remarks, on_lines=on_lines)
            try:
                self._feedback.give(caller, worker.job_id, worker.id, request)
                return
            except Outdated as error:
                commit = error.commit
            except InvalidRequest as error:
                if error.kind == REPEATED:
                    # This server sent the comments before a crash, when the branch was at an
                    # earlier commit.
                    return
                if not on_lines:
                    raise

    def _forget_old_deliveries(self) -> None:
        for each in self._seen.iterdir() if self._seen.is_dir() else ():
            if self._now() - each.stat().st_mtime > REMEMBERED_SECONDS:
                each.unlink()


def _caller(trigger: str) -> Caller:
    return Caller(name=f"trigger:{trigger}", scopes=frozenset({Scope.ADMIN}))


def _committed_head(worker: Worker) -> str:
    delivery = worker.delivery
    return delivery.commit if delivery and delivery.changed else ""


def _worker_of(remark: _Stored, workers: Sequence[Worker]) -> Worker:
    authors = [
        each
        for each in workers
        if remark.path and each.result and remark.path in each.result.files_created
    ]
    return (authors or list(workers))[-1]


def _feedback_request(
    commit: str, key: str, remarks: Sequence[_Stored], *, on_lines: bool
) -> FeedbackRequest:
    line_remarks = [
        each
        for each in remarks
        if on_lines and each.line and each.commit == commit and not each.is_old
    ][:MOST_COMMENTS]
    summaries = [each.summary for each in remarks if each not in line_remarks]
    comments = tuple(
        Comment(path=each.path, line=each.line, end_line=each.end_line, text=each.text)
        for each in line_remarks
    )
    summary = cut("\n\n".join(summaries), MOST_CHARACTERS, "\n... (cut)")
    return FeedbackRequest(comments=comments, summary=summary, commit=commit, key=key)


def _stored_remarks(group: Path) -> Iterator[_Stored]:
    for file in sorted(group.glob("*.json"), key=lambda each: each.stat().st_mtime):
        try:
            content: Mapping[str, Any] = json.loads(file.read_bytes())
            yield _Stored(**{name: content[name] for name in _Stored.__slots__})
        except (ValueError, KeyError, TypeError, RecursionError):
            logger.error("the file %s is damaged; the comment in the file is omitted", file)


def _subdirectories(directory: Path) -> list[Path]:
    return [each for each in directory.iterdir() if each.is_dir()] if directory.is_dir() else []
