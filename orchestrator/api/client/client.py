"""The Python client of the REST API.

    client = OrchestratorClient(api_url="http://localhost:8000", api_key="...")
    job = client.orchestrate(request="Survey this repository", max_workers=4)
    done = client.wait(job["job_id"])

Every method raises ApiError (see ``errors``) if the server rejects the call. Without an answer, the
method raises ServerUnreachable. All times and durations are in seconds.

The client needs the package ``requests`` only for servers on other machines or with TLS.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from orchestrator.api.client.base_client import Answer, object_of, path_of
from orchestrator.api.client.errors import (
    ApiError,
    AuthError,
    ClientError,
    ConflictError,
    InvalidError,
    NoServer,
    NotFoundError,
    QuotaError,
    RefusedError,
    ServerUnreachable,
)
from orchestrator.api.client.follow import FollowCalls
from orchestrator.api.client.server_discovery import find_address, url_finder
from orchestrator.api.client.transport import new_key, without_none
from orchestrator.security.files.orchestrator_home import home_here
from orchestrator.system.http_client.http_retry import Waiting

__all__ = [
    "ApiError",
    "AuthError",
    "ClientError",
    "ConflictError",
    "InvalidError",
    "NoServer",
    "NotFoundError",
    "OrchestratorClient",
    "QuotaError",
    "RefusedError",
    "ServerUnreachable",
]

#: Read timeout of a call for locks, which the server answers within 110 seconds.
LOCK_TIMEOUT = 150.0


class OrchestratorClient(FollowCalls):
    """A connection to one server, with one key.

    A context manager. Each thread needs its own client.

    A call is retried for ``retry_seconds`` if the server cannot be reached or is busy. ``wait`` and
    ``events`` retry for ``patience_seconds`` after the server's last answer. ``waiting`` is called
    once per outage, before the first long delay. The argument of ``waiting`` is the number of
    seconds for which the call will be retried. ``find_url`` is called before each retry of an
    unreachable server, and returns the server's current URL; None if the URL is unknown.
    ``on_silence`` is called, in another thread, if a call has no answer after 3 seconds. Its
    arguments are the URL, and the maximum seconds to wait for the answer.
    """

    @classmethod
    def from_env(
        cls,
        folder: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        waiting: Waiting | None = None,
    ) -> Self:
        """Return the client for this program's environment.

        In a worker, the client calls the worker's server with the worker's key. Otherwise, the
        client calls the running server of ``folder``, the directory with ``config.yaml`` and the
        workspace. If this server restarts with another port, retries call the new port. Raises
        NoServer if no server runs.

        The default of ``folder`` is the portable folder that contains this package. If the package
        is installed instead, the default is usually ``.orchestrator/local`` of the current project.
        """
        environ = os.environ if environ is None else environ
        folder = folder or home_here(environ)
        address = find_address(folder, environ)
        find_url = url_finder(folder, environ)
        return cls(address.url, address.key, waiting=waiting, find_url=find_url)

    def orchestrate(
        self,
        request: str,
        tasks: Sequence[Mapping[str, Any]] | None = None,
        idempotency_key: str | None = None,
        workdir: str | None = None,
        callback_url: str | None = None,
        callback_events: Sequence[str] | None = None,
        **config: Any,
    ) -> Answer:
        """Submit a job. Returns at once with its ``job_id``.

        ``workdir`` is the default of the tasks' field ``workdir``. ``callback_url`` gets a message
        for each of the ``callback_events``; by default, only when the job ends. Further arguments
        are keys of the request's ``config``, such as ``max_workers=4``; keys with the value None
        are omitted.

        A repeated call with the same ``idempotency_key`` creates no second job.
        """
        body: Answer = {"request": request, "config": without_none(config)}
        if tasks is not None:
            body["tasks"] = [dict(task) for task in tasks]
        if workdir is not None:
            body["workdir"] = workdir
        if callback_url is not None:
            body["callback_url"] = callback_url
        if callback_events is not None:
            body["callback_events"] = list(callback_events)
        key = idempotency_key or new_key()
        return self._post("/api/v1/orchestrate", body, idempotency_key=key)

    def candidates(self, job_id: str, task_id: str) -> Answer:
        """Return the candidates of a task, the chosen candidate, and the reason for the choice."""
        return self._get(path_of(job_id, "tasks", task_id, "candidates"))

    def results(self, job_id: str) -> Answer:
        """Return the results of a job. Raises ConflictError until a worker has finished."""
        return self._get(path_of(job_id, "results"))

    def job(self, job_id: str) -> Answer:
        """Return all details of a job, with all of its workers."""
        answer = self._get(path_of(job_id))
        while len(answer.get("workers", ())) < answer.get("total_workers", 0):
            page = self._get(path_of(job_id), {"page": answer["page"] + 1})
            if not page["workers"]:
                break
            task_ids = {task["id"] for task in answer["tasks"]}
            answer["tasks"] += [task for task in page["tasks"] if task["id"] not in task_ids]
            answer["workers"] += page["workers"]
            answer["page"] = page["page"]
        return answer

    def jobs(
        self,
        status: str | Sequence[str] | None = None,
        parent: str | None = None,
        page: int | None = None,
        page_size: int | None = None,
        depth: int | None = None,
    ) -> Answer:
        """Return one page of jobs, newest first: ``jobs``, ``total``, ``page``, ``page_size``.

        ``status``: one status, or several. ``depth`` 0 excludes child jobs.
        """
        query = {"status": status, "parent": parent, "depth": depth}
        return self._get("/api/v1/jobs", {**query, "page": page, "page_size": page_size})

    def needs(self, page: int | None = None, page_size: int | None = None) -> Answer:
        """Return one page of ``needs``, the latest first, and their ``total``.

        A need is what a person must do for a job, such as answer a question.
        """
        return self._get("/api/v1/needs", {"page": page, "page_size": page_size})

    def usage(
        self, by: str = "agent", since: str | None = None, bucket: str | None = None
    ) -> Answer:
        """Return ``rows``: tokens and cost of workers, grouped by ``by``.

        ``by``: agent, model, day, job, or label:NAME. ``since``: a time in ISO format. ``bucket``:
        also group by hour or day.
        """
        return self._get("/api/v1/usage", {"by": by, "since": since, "bucket": bucket})

    def columns(self, job_id: str) -> Answer:
        """Return all workers of the job and its descendants as columns: one list for each field."""
        return self._get(path_of(job_id, "columns"))

    def tree(self, job_id: str) -> Answer:
        """Return the job with all its workers and child jobs."""
        return self._get(path_of(job_id, "tree"))

    def report(self, job_id: str, name: str = "FINAL_RESULT.md") -> str:
        """Return a rendered report as text."""
        response = self._transport.get(path_of(job_id, "reports", name))
        return response.content.decode("utf-8", errors="replace")

    def ticket(self) -> Answer:
        """Return a ticket, with which a browser can log in once within 60 seconds."""
        return self._post("/api/v1/session/tickets", {})

    def approve(self, job_id: str, task_id: str | None = None, comment: str = "") -> Answer:
        """Approve the plan of a job. With ``task_id``, approve the question of that task."""
        return self._decide(job_id, task_id, "approve", comment)

    def reject(self, job_id: str, task_id: str | None = None, comment: str = "") -> Answer:
        """Reject the plan of a job, which ends the job.

        With ``task_id``, reject the question of that task.
        """
        return self._decide(job_id, task_id, "reject", comment)

    def _decide(self, job_id: str, task_id: str | None, decision: str, comment: str) -> Answer:
        body = {"comment": comment} if comment else {}
        path = path_of(job_id, "tasks", task_id, decision) if task_id else path_of(job_id, decision)
        return self._post(path, body)

    def pause(self, job_id: str | None = None, *, running: str = "finish") -> Answer:
        """Pause a job and its descendants; without ``job_id``, all jobs. Idempotent.

        ``running="finish"`` lets running attempts finish. ``running="stop"`` stops running
        attempts; stopped attempts run again after ``resume``.
        """
        path = path_of(job_id, "pause") if job_id else "/api/v1/pause"
        return self._post(path, {"running": running})

    def resume(self, job_id: str | None = None) -> Answer:
        """Resume a paused job and its descendants; without ``job_id``, all jobs. Idempotent."""
        return self._post(path_of(job_id, "resume") if job_id else "/api/v1/resume", {})

    def plan(self, job_id: str) -> Answer:
        """Return the plan of a job: ``tasks`` as in a plan file, and ``version``."""
        return self._get(path_of(job_id, "plan"))

    def edit_plan(self, job_id: str, tasks: Sequence[Any], version: int) -> Answer:
        """Replace the plan of a job that waits for approval.

        Raises ConflictError if the plan has another version.
        """
        body = {"tasks": list(tasks), "version": version}
        return object_of(self._transport.put(path_of(job_id, "plan"), body))

    def raise_budget(self, job_id: str, **limits: Any) -> Answer:
        """Raise limits of a job, such as ``max_cost_usd=5``.

        If the job is paused because it reached a limit, this call resumes the job.
        """
        return self._post(path_of(job_id, "budget"), limits)

    def cancel(self, job_id: str) -> Answer:
        """Cancel the job and its descendants. Idempotent."""
        return self._post(path_of(job_id, "cancel"), {})

    def retry(self, job_id: str, **config: Any) -> Answer:
        """Retry the unsuccessful tasks, with overrides such as ``default_timeout=600``."""
        return self._post(path_of(job_id, "retry"), {"config": config} if config else {})

    def remove(self, job_id: str) -> Answer:
        """Remove a root job that has ended.

        ``kept`` in the answer lists the git refs that keep the job's changes.
        """
        return self._post(path_of(job_id, "remove"), {})

    def discard(self, job_id: str) -> Answer:
        """Delete an ended root job's branches, worktrees, and refs, except refs of landed work.

        Idempotent.
        """
        return self._post(path_of(job_id, "discard"), {})

    def checkpoints(self, job_id: str) -> Answer:
        """Return ``checkpoints``: the checkpoints of the job's workers, the oldest first."""
        return self._get(path_of(job_id, "checkpoints"))

    def land(self, job_id: str, **options: Any) -> Answer:
        """Land a job's result on the branch that is checked out.

        Options: ``squash``, ``ff_only``, ``no_ff``, ``onto``, ``partial``, ``author``, ``check``.
        ``check=True`` only checks the landing. Raises ConflictError if the result cannot land. If
        files prevent the landing, the error's ``problem`` lists them in ``files``.
        """
        return self._post(path_of(job_id, "land"), {k: v for k, v in options.items() if v})

    def undo(self, job_id: str) -> Answer:
        """Undo a landing: restore the user's branch to its commit before ``land``."""
        return self._post(path_of(job_id, "undo"), {})

    def message(self, job_id: str, worker_id: str, text: str) -> Answer:
        """Send a message to a worker that has not ended.

        Raises ConflictError if the worker's agent reads no messages.
        """
        path = path_of(job_id, "workers", worker_id, "message")
        return self._post(path, {"text": text}, new_key())

    def rollback(self, job_id: str, worker_id: str, checkpoint: str | None = None) -> Answer:
        """Restore a worker's changes to a checkpoint. The worker must not be running."""
        body = {"checkpoint": checkpoint} if checkpoint else {}
        return self._post(path_of(job_id, "workers", worker_id, "rollback"), body)

    def recount(self, job_id: str, worker_id: str) -> Answer:
        """Update a worker's ``files_created`` from its branch, and return the new value.

        The branch may have commits that are newer than the worker's end.
        """
        return self._post(path_of(job_id, "workers", worker_id, "recount"), {})

    def lock(self, *names: str, wait: float = 0.0) -> Answer:
        """Acquire leases for this worker, all or none, within ``wait`` seconds.

        Each of the returned ``leases`` has its fencing number. Raises ConflictError if another
        worker still holds one of the locks at the end of the wait, or if waiting would create a
        deadlock.
        """
        deadline = time.monotonic() + wait
        while True:
            body = {"names": list(names), "wait": max(0.0, deadline - time.monotonic())}
            response = self._transport.post("/api/v1/locks", body, read_timeout=LOCK_TIMEOUT)
            answer = object_of(response)
            if "leases" in answer:
                return answer

    def unlock(self, names: Sequence[str]) -> Answer:
        """Release this worker's leases on the locks ``names``.

        With a person's API key, release all workers' leases on these locks. The key must be allowed
        to change the jobs of these workers.
        """
        return object_of(self._transport.delete("/api/v1/locks", {"names": list(names)}))

    def locks(self) -> Answer:
        """Return the holders of locks and the workers that wait for them."""
        return self._get("/api/v1/locks")

    def conflicts(self, job_id: str) -> Answer:
        """Return the merge result of an ended job, with its conflicts."""
        return self._get(path_of(job_id, "conflicts"))

    def merge(self, job_id: str, **choice: Any) -> Answer:
        """Repeat the merge of a job, wait until the merge has ended, and return its result.

        Options: ``strategy``, ``include`` and ``exclude`` (lists of workers), ``resolve``
        (resolver of conflicts). With ``resolve``, the job runs again, and ``merge`` also waits for
        the job's end.
        """
        answer = self._post(path_of(job_id, "merge"), choice)
        if choice.get("resolve"):
            self.wait(job_id)
            answer = self.conflicts(job_id)
        while answer["merging"]:
            time.sleep(1)
            answer = self.conflicts(job_id)
        return answer

    def feedback(
        self,
        job_id: str,
        worker_id: str,
        comments: Sequence[Mapping[str, Any]] = (),
        *,
        commit: str,
        summary: str = "",
        agent: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Send comments on a worker's change, and start another attempt on the worker's branch.

        A comment has ``path``, ``line``, ``text``, and optionally ``end_line`` and ``side`` (new or
        old). ``commit`` is the commit that the comments refer to. Raises ConflictError if the
        branch has another commit.

        A repeated call with the same ``idempotency_key`` starts no second attempt.
        """
        body = {
            "comments": [dict(each) for each in comments],
            "commit": commit,
            "summary": summary,
            **({"agent": agent} if agent else {}),
        }
        key = idempotency_key or new_key()
        path = path_of(job_id, "workers", worker_id, "feedback")
        return self._post(path, body, idempotency_key=key)

    def retry_worker(self, job_id: str, worker_id: str) -> Answer:
        """Retry one unsuccessful worker, and the tasks that were skipped because of this worker."""
        return self._post(path_of(job_id, "workers", worker_id, "retry"), {})

    def cancel_worker(self, job_id: str, worker_id: str) -> Answer:
        """Cancel one worker and its child jobs; the job continues. Idempotent."""
        return self._post(path_of(job_id, "workers", worker_id, "cancel"), {})

    def choose(self, job_id: str, task_id: str, worker_id: str, reason: str = "") -> Answer:
        """Choose another candidate of a task, and wait until the job's changes are merged again."""
        path = path_of(job_id, "tasks", task_id, "choose")
        answer = self._post(path, {"worker_id": worker_id, "reason": reason})
        while answer["merging"]:
            time.sleep(1)
            answer = self.conflicts(job_id)
        return answer

    def stats(self) -> Answer:
        """Return counts and rates over all jobs."""
        return self._get("/api/v1/stats")

    def webhooks(self) -> Answer:
        """Return ``endpoints``: the receivers of messages, with counts of their deliveries."""
        return self._get("/api/v1/webhooks")

    def test_webhook(self, name: str) -> Answer:
        """Send a test message to a webhook; return ``delivered``, ``status``, and ``error``."""
        return self._post(f"/api/v1/webhooks/{quote(name, safe='')}/test", {})

    def deliveries(self, **filters: Any) -> Answer:
        """Return one page of ``deliveries`` to receivers, the latest first, and their ``total``.

        Filters: ``endpoint``, ``state``, ``job``, ``page``, ``page_size``.
        """
        query = {name: value for name, value in filters.items() if value not in (None, "")}
        return self._get("/api/v1/webhooks/deliveries", query)

    def redeliver(self, delivery_id: str) -> Answer:
        """Send a message again, with the same id; a pending message is sent now."""
        path = f"/api/v1/webhooks/deliveries/{quote(delivery_id, safe='')}/redeliver"
        return self._post(path, {})

    def test_notifications(self, name: str = "") -> Answer:
        """Send a test notification to the target ``name``, or to all targets.

        Return ``tests``, with the result for each target.
        """
        return self._post("/api/v1/notifications/test", {"name": name} if name else {})

    def nodes(self) -> Answer:
        """Return ``nodes``: the nodes of the cluster."""
        return self._get("/api/v1/nodes")

    def drain_node(self, name: str, *, drained: bool = True) -> Answer:
        """Start no more workers on a node. With ``drained=False``, let workers start again.

        Returns the node. Idempotent. The key needs the scope admin.
        """
        action = "drain" if drained else "undrain"
        return self._post(f"/api/v1/nodes/{quote(name, safe='')}/{action}", {})

    def agents(self) -> Answer:
        """Return ``agents``: the agents that a task can name, and whether each is available."""
        return self._get("/api/v1/agents")

    def doctor(self) -> Answer:
        """Return ``checks``: the checks of the installation. The key needs the scope admin."""
        return self._get("/api/v1/doctor")

    def health(self) -> Answer:
        """Return the server's health; needs no key."""
        return self._get("/health")
