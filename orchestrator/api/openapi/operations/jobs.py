"""Calls that read or follow a job."""

from http import HTTPStatus

from orchestrator.api.http_messages.headers import JSON
from orchestrator.api.openapi.operations.operation import CONFLICT, JOB, OK, TEXT, Operation
from orchestrator.schemas.answers import (
    candidates,
    changes,
    checkpoints,
    job,
    job_list,
    status,
    worker_columns,
    workers,
)
from orchestrator.schemas.requests import query_parameters
from orchestrator.schemas.requests_with_answers import merge_and_landing

READING = (
    Operation(
        method="get",
        path="/api/v1/jobs",
        id="listJobs",
        tag="jobs",
        summary="List jobs, newest first",
        query=query_parameters.JobsQuery,
        answers={OK: job_list.JobsAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path="/api/v1/needs",
        id="listNeeds",
        tag="jobs",
        summary="List the decisions that jobs need from a person",
        query=query_parameters.PageQuery,
        answers={OK: job_list.NeedsAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=JOB,
        id="getJob",
        tag="jobs",
        summary="Get all details of a job",
        description="For a job with more than 1,000 workers, the answer has one page of workers.",
        query=query_parameters.JobQuery,
        answers={OK: job.JobAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/status",
        id="getStatus",
        tag="jobs",
        summary="Get the status and results of a job",
        query=query_parameters.StatusQuery,
        answers={OK: status.StatusAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/results",
        id="getResults",
        tag="jobs",
        summary="Get the results of all workers",
        description="409: no worker has ended yet.",
        answers={OK: status.Results},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/conflicts",
        id="getConflicts",
        tag="jobs",
        summary="Get the merge result of a job, with its conflicts",
        description="409: the job has not ended.",
        answers={OK: merge_and_landing.ConflictsAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{JOB}/conflicts/{{worker_id}}",
        id="getVersions",
        tag="jobs",
        summary="Get the versions of a file in conflict",
        description="409 `no-repository`: the job does not use git.",
        query=query_parameters.VersionsQuery,
        answers={OK: changes.VersionsAnswer},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/diff",
        id="getDiff",
        tag="jobs",
        summary="Get the changes of a job or a worker, for each file",
        description=(
            "`Accept: text/x-diff` returns a patch. 409 `no-repository`: the job does not use git. "
            "413: more than 8 MiB; `links` has one URL for each file."
        ),
        query=query_parameters.DiffQuery,
        answers={OK: changes.DiffAnswer},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/checkpoints",
        id="getCheckpoints",
        tag="jobs",
        summary="List the checkpoints of a job's workers",
        answers={OK: checkpoints.CheckpointsAnswer},
    ),
    Operation(
        method="get",
        path=f"{JOB}/tasks/{{task_id}}/candidates",
        id="getCandidates",
        tag="jobs",
        summary="Compare the candidates of a task",
        description="409: the job is being planned.",
        answers={OK: candidates.CandidatesAnswer},
        errors=(CONFLICT,),
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/tree",
        id="getTree",
        tag="jobs",
        summary="Get the job tree with all workers",
        answers={OK: job.TreeAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/workers",
        id="listWorkers",
        tag="jobs",
        summary="List the workers of a job, one page at a time",
        query=query_parameters.WorkersQuery,
        answers={OK: workers.WorkersAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/workers/{{worker_id}}",
        id="getWorker",
        tag="jobs",
        summary="Get all details of a worker",
        answers={OK: workers.OneWorkerAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/workers/{{worker_id}}/prompt",
        id="getPrompt",
        tag="jobs",
        summary="Get the prompt of a worker's latest attempt",
        answers={OK: (TEXT,)},
    ),
    Operation(
        method="get",
        path=f"{JOB}/workers/{{worker_id}}/transcript",
        id="getTranscript",
        tag="jobs",
        summary="Get the steps of a worker's agent",
        description="404: the agent's program saves no steps; read the log.",
        answers={OK: workers.TranscriptAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path="/api/v1/usage",
        id="getUsage",
        tag="server",
        summary="Get usage and cost for each agent, model, day, job, or label",
        query=query_parameters.UsageQuery,
        answers={OK: job_list.UsageRowsAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/columns",
        id="getColumns",
        tag="jobs",
        summary="Get all workers of a job tree in columns",
        description=(
            "One list (column) for each field, with one value for each worker. If all values of a "
            "column are equal, the column is this value instead of a list. For 10,000 workers, the "
            "answer is a tenth as large as the answer of `/tree`."
        ),
        answers={OK: worker_columns.ColumnsAnswer},
        tagged=True,
    ),
    Operation(
        method="get",
        path=f"{JOB}/events",
        id="streamEvents",
        tag="watching",
        summary="Stream the events of a job, from the first one",
        description=(
            "Server-Sent Events: id is seq, event is kind, and data is an EventAnswer. The stream "
            "ends after the job's last event. The server disconnects slow readers; a reader can "
            "resume with Last-Event-ID."
        ),
        query=query_parameters.EventsQuery,
        answers={OK: ("text/event-stream",)},
        headers={
            "Last-Event-ID": "Id of the last received event; the stream starts after this event."
        },
    ),
    Operation(
        method="get",
        path="/api/v1/events",
        id="streamFeed",
        tag="watching",
        summary="Stream the changes of all jobs",
        description=(
            "Server-Sent Events for programs that show lists of jobs. The stream has events such "
            "as `job_started` and `job_ended`, without the events of workers: for these, read the "
            "stream of a job. There are two more kinds of events. `needs` lists what people must "
            "do now for a job tree. `usage` has the tree's number of workers by status, tokens, "
            "and cost, at most once a second. Ids are valid until the server restarts. After an "
            "unknown id, the first event is `reset`: read the lists again."
        ),
        query=query_parameters.FeedQuery,
        answers={OK: ("text/event-stream",)},
        headers={
            "Last-Event-ID": "Id of the last received event; the stream starts after this event."
        },
    ),
    Operation(
        method="get",
        path=f"{JOB}/logs/{{worker_id}}",
        id="getLog",
        tag="watching",
        summary="Get or follow the log of a worker",
        description=(
            "With `from`, the answer is a range of bytes, and has the header Content-Range. With "
            "`q`, the answer has the numbers of the lines that contain this text, as JSON."
        ),
        query=query_parameters.LogQuery,
        answers={OK: (TEXT, JSON), HTTPStatus.PARTIAL_CONTENT: (TEXT,)},
    ),
    Operation(
        method="get",
        path=f"{JOB}/reports/{{name}}",
        id="getReport",
        tag="reports",
        summary="Get a report of a job",
        description="FINAL_RESULT.md, LEVEL_<n>_REPORT.md, or the name of a file under reports/.",
        answers={OK: ("text/markdown", JSON, TEXT)},
    ),
    Operation(
        method="get",
        path=f"{JOB}/wait",
        id="waitForJob",
        tag="watching",
        summary="Wait until a job has ended, or until the timeout",
        query=query_parameters.WaitQuery,
        answers={OK: status.WaitAnswer},
    ),
)
