"""Arguments of the MCP tools."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator.schemas.fields.bounded_types import StrictModel, Text, Word
from orchestrator.schemas.requests.job import JobRequest
from orchestrator.schemas.requests.job_control import RaisedLimits, RepeatedMerge, RetrySettings
from orchestrator.schemas.requests.messages_and_feedback import (
    CommentBodies,
    CommitName,
    FeedbackText,
    MessageBody,
)
from orchestrator.schemas.requests.query_parameters import RepositoryPath

#: Maximum seconds of a call, because clients stop waiting after 60 s.
LONGEST_CALL_SECONDS = 44.0
MOST_LINES = 1000


def _bare_job_id(value: object) -> object:
    # The value may also be the name of the job's directory.
    return value.removeprefix("job_") if isinstance(value, str) else value


JobId = Annotated[Word, BeforeValidator(_bare_job_id)]


class OrchestrateArguments(JobRequest):
    """The body of ``POST /api/v1/orchestrate``, without an address for messages."""


class StatusArguments(StrictModel):
    job_id: JobId | None = None
    """Id of the job (default: list the newest jobs)."""
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Page of the list, from 1: 10 jobs, or 50 workers of the job."""


class JobArguments(StrictModel):
    job_id: JobId
    """Id of the job, from the answer of orchestrate."""


class ResultArguments(JobArguments):
    worker_id: Word | None = None
    """Worker to show, with up to 12,000 characters of its output (default: all workers)."""


class WaitArguments(JobArguments):
    timeout_seconds: Annotated[float, Field(ge=0)] = 40.0
    """Maximum seconds to wait; at most 44."""

    @property
    def seconds(self) -> float:
        return min(self.timeout_seconds, LONGEST_CALL_SECONDS)


class LogsArguments(JobArguments):
    worker_id: Word
    """Name of the worker, such as worker_1; the tool status lists the workers."""
    lines: Annotated[int, Field(ge=1, le=MOST_LINES)] = 50
    """Number of last lines."""


class ReportArguments(JobArguments):
    name: Word | None = None
    """Report: FINAL_RESULT.md, LEVEL_0_REPORT.md, tree.txt, ... (default: the job's report)."""


class DiffArguments(JobArguments):
    worker_id: Word | None = None
    """Worker whose changes to show (default: the merged result)."""
    path: RepositoryPath = ""
    """File or directory to show, relative to the root of the repository (default: all files)."""


class FeedbackArguments(JobArguments):
    worker_id: Word
    """Name of the worker, such as worker_1."""
    comments: CommentBodies = ()
    """Comments on lines; at least one, or a summary."""
    summary: FeedbackText = ""
    """Comment on the whole change."""
    commit: CommitName | None = None
    """Commit that the comments refer to (default: the worker's latest)."""


class RetryArguments(RetrySettings, JobArguments):
    worker_id: Word | None = None
    """Name of one worker (default: all workers of the tasks that did not succeed)."""


class CancelArguments(JobArguments):
    worker_id: Word | None = None
    """Worker to cancel (default: the whole job)."""


class ChooseArguments(JobArguments):
    task_id: Word
    worker_id: Word
    """Candidate to choose."""
    reason: Annotated[Text, Field(max_length=1000)] = ""


class MergeArguments(RepeatedMerge, JobArguments):
    """A job, and how to merge it, as in ``POST /api/v1/jobs/{job_id}/merge``."""


class AnswerArguments(JobArguments):
    decision: Literal["approve", "reject"]
    task_id: Word | None = None
    """Task whose question to answer (default: decide on the job's plan)."""
    comment: Annotated[Text, Field(max_length=10_000)] = ""
    """Text for the tasks that depend on the answer, and for the report."""


class PauseArguments(JobArguments):
    running: Literal["finish", "stop"] = "finish"
    """Running attempts: finish, or stop (they run again after the pause)."""


class BudgetArguments(RaisedLimits, JobArguments):
    """A job, and its new limits, as in ``POST /api/v1/jobs/{job_id}/budget``."""


class MessageArguments(JobArguments, MessageBody):
    worker_id: Word
    """Name of the worker, such as worker_1."""


class LandArguments(JobArguments):
    check: bool = False
    """Show branch and files; change nothing."""
    squash: bool = False
    """Create one commit."""
    onto: Word | None = None
    """Name of the current branch; needed if the job started from another branch."""
    partial: bool = False
    """Allow a job that is not completed."""
