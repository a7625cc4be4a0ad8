"""Every call in one table; a test compares it with the application's routes."""

from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import BaseModel

from orchestrator.schemas import (
    answers,
    candidates,
    job_answers,
    locks,
    mcp,
    merging,
    queries,
    requests,
)

JSON = "application/json"
TEXT = "text/plain"
PROBLEM = "application/problem+json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One call. ``path`` is OpenAPI's: parameters in braces."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str = ""
    query: type[queries.Query] = queries.NoQuery
    body: type[BaseModel] | None = None
    body_required: bool = False
    #: By status: the answer's shape, or media types of an answer that is no JSON object.
    answers: dict[HTTPStatus, type[BaseModel] | tuple[str, ...]]
    #: Beyond those that every call has.
    errors: tuple[HTTPStatus, ...] = ()
    #: Request headers with their meaning.
    headers: dict[str, str] = field(default_factory=dict)
    needs_key: bool = True
    #: The answer carries an ETag, and 304 is possible.
    tagged: bool = False
    #: The answer leads to a job by its job_id.
    leads_to_job: bool = False


OK, ACCEPTED = HTTPStatus.OK, HTTPStatus.ACCEPTED
CONFLICT = HTTPStatus.CONFLICT
JOB = "/api/v1/jobs/{job_id}"

LOCKS = "/api/v1/locks"

LOCK_OPERATIONS = (
    Operation(
        method="get",
        path=LOCKS,
        id="listLocks",
        tag="locks",
        summary="Who holds and who waits for which locks",
        answers={OK: locks.LocksAnswer},
    ),
    Operation(
        method="post",
        path=LOCKS,
        id="takeLocks",
        tag="locks",
        summary="Take leases, all or none, from inside a worker",
        description=(
            "409 locked: somebody else holds one, and the time to wait is over. 409 deadlock: to "
            "wait would be to wait for oneself; detail names the circle. 202: not yet, make the "
            "same call again. What the worker holds already it keeps, with its number."
        ),
        body=locks.LockRequest,
        body_required=True,
        answers={OK: locks.LockedAnswer, ACCEPTED: locks.LockWaitAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="delete",
        path=LOCKS,
        id="endLocks",
        tag="locks",
        summary="Give back leases; with an API key, break those of others",
        body=locks.UnlockRequest,
        body_required=True,
        answers={OK: locks.UnlockedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{LOCKS}/{{lock}}",
        id="getLock",
        tag="locks",
        summary="Whether a lease on this name stands, and its number",
        answers={OK: locks.LockNameAnswer},
    ),
)

OPERATIONS = (
    Operation(
        method="post",
        path="/api/v1/orchestrate",
        id="orchestrate",
        tag="jobs",
        summary="Submit a job",
        description=(
            "Once it is answered, the job is stored and will be carried out. A worker that calls "
            "with its own key starts a child job. A limit that is hit is a 422 whose left says "
            "what may still be done."
        ),
        body=requests.OrchestrateRequest,
        body_required=True,
        answers={ACCEPTED: answers.AcceptedAnswer},
        errors=(CONFLICT,),
        headers={"Idempotency-Key": "The same key never makes a second job (1 to 200 characters)."},
        leads_to_job=True,
    ),
    Operation(
        method="post",
        path="/api/v1/usage",
        id="tellUsage",
        tag="jobs",
        summary="Tell what the calling worker has used so far",
        description=(
            "For workers, with their own key: steps, tokens and money of the present attempt in "
            "all, so that telling it twice changes nothing. The answer says whether a limit of "
            "the task, the job or a job above it is reached."
        ),
        body=requests.UsageRequest,
        body_required=True,
        answers={OK: answers.UsedAnswer},
    ),
    Operation(
        method="get",
        path="/api/v1/jobs",
        id="listJobs",
        tag="jobs",
        summary="List jobs, newest first",
        query=queries.JobsQuery,
        answers={OK: answers.JobsAnswer},
    ),
    Operation(
        method="get",
        path=JOB,
        id="getJob",
        tag="jobs",
        summary="Everything about one job",
        answers={OK: job_answers.JobAnswer},
        tagged=True,
    ),
    Operation(
        method="delete",
        path=JOB,
        id="deleteJob",
        tag="jobs",
        summary="Cancel a job, as POST cancel does",
        body=requests.EmptyRequest,
        answers={ACCEPTED: answers.CancelAnswer, OK: answers.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/status",
        id="getStatus",
        tag="jobs",
        summary="The short form of a job",
        answers={OK: answers.StatusAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/results",
        id="getResults",
        tag="jobs",
        summary="What the workers came back with",
        description="409 while no worker has finished.",
        answers={OK: answers.Results},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/conflicts",
        id="getConflicts",
        tag="jobs",
        summary="What of the workers' changes could not be merged, file by file",
        description="409 while the job has not ended.",
        answers={OK: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/merge",
        id="mergeJob",
        tag="jobs",
        summary="Merge the branches of a job that has ended once more",
        description="202 while it takes its time: GET conflicts tells when it is done. "
        "The result before is kept.",
        body=merging.MergeRequest,
        answers={OK: merging.ConflictsAnswer, ACCEPTED: merging.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/checkpoints",
        id="getCheckpoints",
        tag="jobs",
        summary="The checkpoints of the job's workers, around each of their attempts",
        answers={OK: job_answers.CheckpointsAnswer},
    ),
    Operation(
        method="post",
        path=f"{JOB}/workers/{{worker_id}}/rollback",
        id="rollBackWorker",
        tag="jobs",
        summary="Have what a worker did as it was in a checkpoint",
        description=(
            "409 while the worker runs. What was there is kept as another checkpoint. The merged "
            "result of a job that has ended stays as it is."
        ),
        body=requests.RollbackRequest,
        answers={OK: job_answers.RolledBackAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/tasks/{{task_id}}/candidates",
        id="getCandidates",
        tag="jobs",
        summary="Who tried a task, side by side: who is taken, and why",
        description="409 while the job is being planned.",
        answers={OK: candidates.CandidatesAnswer},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/tree",
        id="getTree",
        tag="jobs",
        summary="The whole tree of child jobs and workers",
        answers={OK: job_answers.TreeAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/events",
        id="streamEvents",
        tag="watching",
        summary="Server-Sent Events from the first event on, then live",
        description=(
            "The id of each is its seq, the event its kind, the data an EventAnswer. Ends after "
            "the job's last event. A reader that is too slow is dropped and can resume."
        ),
        query=queries.EventsQuery,
        answers={OK: ("text/event-stream",)},
        headers={"Last-Event-ID": "Only events after this one."},
    ),
    Operation(
        method="get",
        path=f"{JOB}/logs/{{worker_id}}",
        id="getLog",
        tag="watching",
        summary="A worker's log, as text or streamed",
        query=queries.LogQuery,
        answers={OK: (TEXT,)},
    ),
    Operation(
        method="get",
        path=f"{JOB}/reports/{{name}}",
        id="getReport",
        tag="reports",
        summary="A rendered report",
        description="FINAL_RESULT.md, LEVEL_<n>_REPORT.md, or the name of a file under reports/.",
        answers={OK: ("text/markdown", JSON, TEXT)},
    ),
    Operation(
        method="get",
        path=f"{JOB}/wait",
        id="waitForJob",
        tag="watching",
        summary="Answer when the job has ended or the timeout is over",
        query=queries.WaitQuery,
        answers={OK: answers.WaitAnswer},
    ),
    Operation(
        method="post",
        path=f"{JOB}/cancel",
        id="cancelJob",
        tag="jobs",
        summary="Stop a job and all its descendants, processes included",
        description="202 when it is being stopped, 200 when it had ended already.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: answers.CancelAnswer, OK: answers.CancelAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/approve",
        id="approveJob",
        tag="jobs",
        summary="Let the tasks of a job start that waits for approval",
        description="409 when it does not wait for approval, 403 for a worker.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: answers.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/reject",
        id="rejectJob",
        tag="jobs",
        summary="End a job that waits for approval; nothing of it has run but its planner",
        description="409 when it does not wait for approval, 403 for a worker.",
        body=requests.EmptyRequest,
        answers={ACCEPTED: answers.DecidedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{JOB}/retry",
        id="retryJob",
        tag="jobs",
        summary="Run again what did not succeed",
        body=requests.RetryRequest,
        answers={ACCEPTED: answers.AcceptedAnswer},
        errors=(CONFLICT,),
        leads_to_job=True,
    ),
    Operation(
        method="get",
        path="/api/v1/stats",
        id="getStats",
        tag="server",
        summary="Counts, rates, cost",
        answers={OK: answers.StatsAnswer},
    ),
    Operation(
        method="get",
        path="/metrics",
        id="getMetrics",
        tag="server",
        summary="The same and more for Prometheus",
        answers={OK: (TEXT,)},
    ),
    Operation(
        method="post",
        path="/mcp",
        id="mcp",
        tag="server",
        summary="A message of the Model Context Protocol",
        description=(
            "The tools orchestrate, status, wait, cancel, result, logs and report for AI clients; "
            "revisions 2026-07-28 and 2025-11-25. One JSON-RPC message, one JSON answer; 202 for "
            "what needs none. Errors of the protocol are JSON-RPC errors."
        ),
        body=mcp.McpMessage,
        body_required=True,
        answers={
            OK: (JSON,),
            ACCEPTED: (),
            HTTPStatus.BAD_REQUEST: (JSON, PROBLEM),
            HTTPStatus.NOT_FOUND: (JSON, PROBLEM),
        },
        headers={"Idempotency-Key": "For orchestrate: the same key never makes a second job."},
    ),
    *LOCK_OPERATIONS,
    Operation(
        method="get",
        path="/api/v1/agents",
        id="listAgents",
        tag="server",
        summary="Agents, and whether they can work here",
        answers={OK: answers.AgentsAnswer},
    ),
    Operation(
        method="get",
        path="/health",
        id="getHealth",
        tag="server",
        summary="Whether the server is alive and ready",
        answers={OK: answers.HealthAnswer, HTTPStatus.SERVICE_UNAVAILABLE: answers.HealthAnswer},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/",
        id="getPage",
        tag="pages",
        summary="A page that lists jobs",
        answers={OK: ("text/html",)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/docs",
        id="getDocs",
        tag="pages",
        summary="This document to try out",
        answers={OK: ("text/html",)},
        needs_key=False,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="getOpenapi",
        tag="pages",
        summary="This document",
        answers={OK: (JSON,)},
        needs_key=False,
    ),
)
