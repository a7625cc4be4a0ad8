"""The use cases that show changes: differences, patches, and conflicts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.errors import Conflict, InvalidRequest, NoRepository, NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
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
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.queries.job_details import JobDetails

BASE, RESULT = "base", "result"


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
            why = f"changes are merged when the job ends; wait for it: {COMMAND} wait {job.id}"
            if job.status.ended:
                why = (
                    "no changes were merged, or the branches were removed; show the job: "
                    f"{COMMAND} status {job.id}"
                )
            raise Conflict(f"job {job.id} has no merged result: {why}")
        return commit

    def _head_of(self, worker: Worker) -> str:
        refs = (worker_branch(worker), f"{candidate_refs(worker.root_id)}{worker.id}")
        commit = next(filter(None, map(self._reader.tip, refs)), "")
        if not commit:
            raise NotFound(
                f"{worker.id} has no branch with changes: the worker has not started, the worker "
                "has no worktree, or the worker's branches were removed; list the workers: "
                f"{COMMAND} status {worker.job_id}"
            )
        return commit


def _check_git(job: Job) -> None:
    if not job.config.base:
        raise NoRepository(
            f"job {job.id} does not use git: its workers have plain directories; to show their "
            f"results: {COMMAND} report {job.id}"
        )
