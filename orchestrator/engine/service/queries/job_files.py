"""The use cases that show files: differences, conflicts, and a worker's prompt and steps."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.errors import Conflict, InvalidRequest, NoRepository, NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports import Workspace
from orchestrator.core.ports.read_models import TranscriptStep
from orchestrator.core.repository.change_reader import (
    Blobs,
    ChangeReader,
    ConflictVersions,
    Difference,
    DiffRequest,
    VersionState,
)
from orchestrator.core.repository.git_refs import (
    candidate_refs,
    result_branch,
    start_ref,
    worker_branch,
)
from orchestrator.engine.attempts.launch_preparation import PROMPT
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.queries.job_details import JobDetails
from orchestrator.security.files.untrusted_files import read_tail

BASE, RESULT = "base", "result"

#: Name of the file with an agent's own output, in the control directory of an attempt.
STREAM = "stream.jsonl"
#: Maximum bytes of the file STREAM that are read. Of a longer file, only the end is read.
MOST_BYTES = 16 * 1024 * 1024
#: Maximum number of steps that are shown. Of a longer transcript, the last steps are shown.
MOST_STEPS = 5000

#: Function that returns the steps in the saved output of an agent; None if the agent saves none.
ReadSteps = Callable[[str, Iterable[str], bool], Iterator[TranscriptStep] | None]


class ChangeReads:
    """Implements the calls that show changes.

    No call accepts a commit id. Callers can therefore read only commits that the job's refs or its
    merge record contain. Every method raises NoRepository for a job without git, and TooLarge if
    the answer would be too large.
    """

    def __init__(
        self,
        *,
        access: Access,
        job_details: JobDetails,
        reader: ChangeReader,
        refresh: Callable[[Worker], None],
    ) -> None:
        """``refresh``: copies a running worker's current commits from its node to the server."""
        self._refresh = refresh
        self._access = access
        self._job_details = job_details
        self._reader = reader

    def difference(self, caller: Caller, job_id: str, request: DiffRequest) -> Difference:
        """Return the requested changes file by file. Raise Conflict if there is no result yet."""
        base, commit = self._commits_to_compare(caller, job_id, request)
        return self._reader.difference(base, commit, request)

    def patch(self, caller: Caller, job_id: str, request: DiffRequest) -> bytes:
        """Return the requested changes as a patch. Raise Conflict if there is no result yet."""
        base, commit = self._commits_to_compare(caller, job_id, request)
        return self._reader.patch(base, commit, request)

    def versions(self, caller: Caller, job_id: str, worker_id: str, path: str) -> ConflictVersions:
        job = self._access.job(caller, job_id)
        _check_git(job)
        record = self._job_details.merge_record(caller, job_id)
        conflicts = [each for each in record.get("conflicts", ()) if each["worker_id"] == worker_id]
        conflict = next((each for each in conflicts if each["path"] == path), None)
        if conflict is None:
            paths = ", ".join(sorted(each["path"] for each in conflicts)) or "none"
            raise NotFound(
                f"{worker_id} has no conflict in {path!r}; its files in conflict: {paths}"
            )
        return self._versions(conflict)

    def _versions(self, conflict: Mapping[str, Any]) -> ConflictVersions:
        blobs = Blobs(
            base=conflict.get("base", ""),
            ours=conflict.get("ours", ""),
            theirs=conflict.get("theirs", ""),
            names={"ours": "result", "theirs": conflict["worker_id"]},
        )
        versions = self._reader.versions(conflict["path"], blobs)
        state = VersionState.RESOLVED if conflict.get("resolved") else VersionState.UNRESOLVED
        return replace(versions, state=state)

    def _commits_to_compare(
        self, caller: Caller, job_id: str, request: DiffRequest
    ) -> tuple[str, str]:
        job = self._access.job(caller, job_id)
        _check_git(job)
        if not request.worker_id:
            if request.against != BASE:
                raise InvalidRequest(
                    "parameter 'against' requires parameter 'worker'; name the worker whose "
                    "changes to show"
                )
            return job.config.base, self._result_commit(job)
        worker = self._access.worker(caller, job_id, request.worker_id)
        if worker.status in (WorkerStatus.RUNNING, WorkerStatus.WAITING):
            self._refresh(worker)
        return self._commit_before(caller, job, worker, request.against), self._head_of(worker)

    def _commit_before(self, caller: Caller, job: Job, worker: Worker, against: str) -> str:
        if against == BASE:
            return self._reader.tip(start_ref(worker)) or job.config.base
        if against == RESULT:
            return self._result_commit(job)
        return self._head_of(self._access.worker(caller, job.id, against))

    def _result_commit(self, job: Job) -> str:
        commit = self._reader.tip(result_branch(job.root_id, job.id))
        if not commit:
            why = "the job changed nothing, or its branches were removed"
            raise Conflict(
                f"job {job.id} has no merged result: "
                f"{why if job.status.ended else 'changes are merged when the job ends'}"
            )
        return commit

    def _head_of(self, worker: Worker) -> str:
        refs = (worker_branch(worker), f"{candidate_refs(worker.root_id)}{worker.id}")
        commit = next(filter(None, map(self._reader.tip, refs)), "")
        if not commit:
            raise NotFound(
                f"{worker.id} has no branch with changes: the worker has not started, the worker "
                "has no worktree, or the worker's branches were removed"
            )
        return commit


def _check_git(job: Job) -> None:
    if not job.config.base:
        raise NoRepository(f"job {job.id} does not use git: its workers have plain directories")


class WorkerFiles:
    """Implements the calls that show files of one worker.

    Every method raises NotFound for an object that the caller may not see.
    """

    def __init__(self, *, access: Access, workspace: Workspace, read_steps: ReadSteps) -> None:
        self._access = access
        self._workspace = workspace
        self._read_steps = read_steps

    def prompt_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        """Return the path of the latest attempt's prompt.

        Raise NotFound if there is no prompt: the worker has not started, or it runs a command.
        """
        worker = self._access.worker(caller, job_id, worker_id)
        path = Path(self._workspace.worker_directory(worker), PROMPT)
        if path.is_symlink() or not path.is_file():
            raise NotFound(f"{worker_id} has no prompt: it has not started, or it runs a command")
        return path

    def transcript(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[TranscriptStep]:
        """Return the steps of the latest attempt. Raise NotFound if the agent saves no steps."""
        worker = self._access.worker(caller, job_id, worker_id)
        path = Path(self._workspace.control(worker, worker.attempt), STREAM)
        directory = self._workspace.job_directory(worker.root_id)
        content = read_tail(path, MOST_BYTES, within=directory)
        lines = content.decode("utf-8", "replace").splitlines()
        steps = self._read_steps(worker.agent, lines, worker.status.ended) if content else None
        if steps is None:
            raise NotFound(
                f"{worker_id} has no transcript: its agent saves none; read its log: "
                f"GET /api/v1/jobs/{job_id}/logs/{worker_id}"
            )
        return list(steps)[-MOST_STEPS:]
