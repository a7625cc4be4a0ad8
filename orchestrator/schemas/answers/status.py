"""The status of a job, with its results, pause, and questions."""

from datetime import datetime
from typing import Any

from pydantic import Field

from orchestrator.core.gates.gate import GateCause
from orchestrator.core.model.human_input.pause import PauseCause, RunningMode
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.job_facts import LossCause, UnjudgedCause
from orchestrator.core.model.states import JobStatus, MergeState, WorkerStatus
from orchestrator.core.model.user_repository_changes import ChangedKind, RepositoryAlteration
from orchestrator.core.outcome.job.unmerged_changes import OutsideCause
from orchestrator.schemas.answers.answer import Answer, Links, no_items


class UsedAnswer(Answer):
    """Answer to a usage report."""

    stop: str
    """Reason for the worker to stop now; empty if it may continue."""
    waiting: bool
    """True if the worker waits for child jobs or a lock. Its missing output is then no failure."""
    capped: bool
    """True if a cap applies to the worker: report each step at once."""


class SessionAnswer(Answer):
    """Session of an AI tool: its stored conversation."""

    id: str
    attempt: int
    """Number of the latest attempt in the session."""
    resumed: bool
    """True if the attempt `attempt` resumed the session; false if it started the session."""


class TaskResult(Answer):
    """Result of one worker."""

    worker_id: str
    task_id: str
    status: WorkerStatus
    output: str
    files_created: list[str]
    agent: str
    reason: str
    """Reason of the status, as text."""
    unchanged: bool | None = None
    """True if the worker changed no file in its worktree; omitted without a worktree."""
    missing: list[str] = Field(default_factory=no_items)
    """Promised files that do not exist."""
    saved: list[str] = Field(default_factory=no_items)
    """Files that git ignores and that were saved: promised files, and new source files. The
    copies are in files/ of the worker's directory.
    """
    outside: list[str] = Field(default_factory=no_items)
    """Files that the agent changed outside of its worktree."""
    asked: bool | None = None
    """True if the worker failed because its agent waits for an answer; otherwise omitted."""
    chosen: bool | None = None
    """True for a task's chosen candidate; omitted before the choice, or if there is one worker."""
    attempts: int
    session: SessionAnswer | None = None
    """Latest session; omitted for an agent without sessions."""
    seconds: float | None = None
    """Seconds from the worker's start to its end. With several attempts, the sum of all attempts,
    without the time between them.
    """
    exit_code: int | None = None
    workspace: str
    """Directory of the worker."""
    log: str | None = None
    """Path of the log; omitted for a worker that has not started."""
    child_job_id: str | None = None
    """Latest child job."""
    child_job_ids: list[str]
    child_results: list["TaskResult"]
    """The `results.tasks` of the job `child_job_id`."""


class Results(Answer):
    """Results of a job so far; complete after its end."""

    tasks: list[TaskResult]
    """One result for each worker, in the order of the workers' numbers."""
    workspace: str
    final_report: str
    changes: list[str] = Field(default_factory=no_items)
    """Notes on the merge of the workers' changes, as text; present after the end of the job."""


class RepositoryChangeAnswer(Answer):
    """A change in the user's repository while the job ran, outside of workers' branches."""

    kind: ChangedKind
    name: str
    """Name of the setting, hook, branch, or path."""
    alteration: RepositoryAlteration
    before: str
    """For refs and pushes: the commit before the change. For the checkout: the branch. Otherwise
    empty."""
    after: str
    worker_id: str
    """Worker that made the change, according to git's log; empty: unknown."""
    remote: str
    """Remote of a push."""


class LandedAnswer(Answer):
    """A branch of the user that contains the job's result."""

    branch: str
    commit: str
    before: str
    """The branch's commit before the landing."""
    at: datetime
    by: str
    """Key of the caller who landed the result."""


class PlanFallbackAnswer(Answer):
    """Fallback of planner auto: the agent created no plan, so the rules created the plan."""

    agent: str
    reason: str


class MissingAnswer(Answer):
    """Changes of a worker that are not in the result, or promised files that do not exist."""

    worker_id: str
    job_id: str
    """The job of the worker: this job, or a descendant."""
    branch: str
    """Branch with the changes; empty: none."""
    cause: LossCause = LossCause.CONFLICT
    """Why the result lacks the changes."""
    why: str
    """The cause as text, for people."""
    in_part: bool
    """True if some changes of the worker are in the result."""
    chosen: bool
    """True if a person excluded the changes."""
    command: str
    """Command that merges the changes. If only a person can merge them, the command shows them. For
    promised files, the command creates them. Empty: no branch has the changes.
    """
    brings_in: bool = True
    """True if the command changes this job. False: the command only shows changes, or starts
    another job."""
    otherwise: str = ""
    """If `command` starts another attempt: a command that merges the changes without an attempt.
    Otherwise empty."""
    resolvable: bool = False
    """True if another attempt of the worker can resolve the conflict."""
    paths: list[str] = Field(default_factory=no_items)
    """For the cause `not_made`: promised files that do not exist; for `no_branch`: promised files
    that git ignores; for `undone`: files of the child job."""
    child_job_id: str = ""
    """For the cause `undone`: child job whose changes the worker discarded."""
    child_job_ids: list[str] = Field(default_factory=no_items)
    """For the cause `conflict`: child jobs of the worker whose changes are all missing."""


class OutsideAnswer(Answer):
    """Changes of a worker that are not in the result.

    The worker may have failed, or it may be a candidate that was not chosen.
    """

    worker_id: str
    job_id: str
    """The job of the worker: this job, or a descendant."""
    cause: OutsideCause
    why: str
    """The cause as text, for people."""
    branch: str
    """Branch with the changes; empty: none."""
    files: int
    """Number of created or changed files."""
    in_part: bool
    """True if some changes of the worker are in the result."""
    command: str
    """Command that merges the changes. If only a person can merge them, the command shows them.
    Empty: there is no such command.
    """
    show: str = ""
    """Command that shows the changes; empty: no branch has the changes."""
    brings_in: bool = True
    """True if the command merges the changes. False: the command only shows them."""
    otherwise: str = ""
    """If `command` starts another attempt: a command that merges the changes without an attempt.
    Otherwise empty."""


class UnjudgedGateAnswer(Answer):
    """A required gate that did not judge the changed code of a job's result."""

    name: str
    cause: GateCause
    why: str
    """The cause as text."""


class UnjudgedFileAnswer(Answer):
    """A source file that was changed by a job's result and judged by no gate."""

    path: str
    language: str
    cause: UnjudgedCause
    """no_gate: no gate ran for the file's language. not_imported: only tests judge files of this
    language, and no test imported the file."""


class PausedAnswer(Answer):
    """A pause: nothing new starts, and the pause does not count as wall time."""

    at: datetime
    by: str
    """Name of the caller's key, or the limit that was reached."""
    running: RunningMode
    """Running attempts: finish (they continue) or stop (they run again after the pause)."""
    cause: PauseCause
    """person: a person paused the job or an ancestor job. everything: all jobs are paused. limit:
    the job or an ancestor job reached a limit and asks a person (on_limit: ask)."""
    limit: str | None = None
    """Name of the limit that was reached; omitted for other causes."""
    until: datetime | None = None
    """Time at which the job is stopped, unless a person raises the limit before this time."""
    job_id: str | None = None
    """The paused job: this job or an ancestor. Omitted if all jobs are paused."""


class MadeAnswer(Answer):
    """The result of a task that a question's `depends_on` names."""

    task_id: str
    worker_id: str
    status: WorkerStatus
    output: str
    files_created: list[str]
    commit: str = ""
    """Head of the worker's branch; empty without a branch."""


class QuestionAnswer(Answer):
    """The question of a task that waits for a person, with the person's answer."""

    question: str = ""
    """The question; empty in lists of workers, where the worker's reason contains the question."""
    asked_at: datetime
    due_at: datetime | None = None
    """Time at which on_timeout decides; omitted: never."""
    decision: Decision | None = None
    """The answer; omitted until the question is answered."""
    by: str = ""
    """Name of the key that answered; empty if the timeout decided, or nobody has answered yet."""
    comment: str = ""
    answered_at: datetime | None = None
    made: list[MadeAnswer] = Field(default_factory=no_items)
    """Results of the task's dependencies; only in the answer about one question."""


class StatusAnswer(Answer):
    """Status and results of a job."""

    job_id: str
    status: JobStatus
    run: int = 1
    """Number of the current run: a retry or feedback begins the next run."""
    reason: str
    paused: PausedAnswer | None = None
    """The job's pause; omitted if the job is not paused."""
    not_judged: str | None = None
    """The missing gates or the unjudged files, as text; omitted if gates judged all changed
    code."""
    unjudged_gates: list[UnjudgedGateAnswer]
    """Required gates that did not judge the changed code."""
    unjudged_files: list[UnjudgedFileAnswer] = Field(default_factory=no_items)
    """Changed source files that no gate judged, although gates ran."""
    changed_nothing: list[str] = Field(default_factory=no_items)
    """Workers that succeeded without changed files, if the request asks for changes."""
    nothing_built: bool = False
    """True if the request may ask for changes, but no AI agent worked on the job."""
    plan_fallback: PlanFallbackAnswer | None = None
    """Fallback to the rules instead of an agent; omitted without a fallback."""
    request: str
    """The first 300 characters of the request."""
    results: Results | None = None
    """Results so far; omitted before the end of the first worker."""
    workers: dict[str, int]
    """Number of workers by status."""
    merge_state: MergeState
    """Merge state of the workers' changes."""
    missing: list[MissingAnswer]
    """Changes that the result lacks, including changes of child jobs at any depth."""
    not_in_parent: list[str] = Field(default_factory=no_items)
    """Files that a child job and its parent worker both changed. Because of these files, the child
    job's result was not added to the parent worker's files. Only in the status of a child job."""
    made_not_in_result: list[OutsideAnswer] = Field(default_factory=no_items)
    """All changes that are not in the result, also of failed workers and of candidates that were
    not chosen. Present after the job's end."""
    repository_changes: list[RepositoryChangeAnswer] = Field(default_factory=no_items)
    """Pushes, and changed git settings, hooks, branches, and tags; present after the end of the
    job."""
    landed: list[LandedAnswer] = Field(default_factory=no_items)
    """Branches on which the current result has landed, except landings that were undone."""
    discarded: bool = False
    """True if a person removed the job's branches and checkpoints."""
    counts: dict[str, int]
    """Number of workers by status, including all child jobs."""
    remaining: dict[str, Any]
    """Remaining quota of a new worker of this job: depth, child jobs, and seconds; also workers,
    steps, tokens, and cost, if they are limited."""
    left: dict[str, Any]
    """Alias of remaining."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """Time at which the reports were written."""
    seconds: float | None = None
    """Seconds from the job's start to the end of its last worker, as in the reports; present after
    the end of the job."""
    seq: int | None = None
    """Id of the latest event that the status includes: the value of since_seq for the next call
    with tasks=changed. Omitted in the answer of wait."""
    links: Links


class WaitAnswer(StatusAnswer):
    """Status and results, at the end of the job or at the timeout."""

    timed_out: bool
    """True if the wait timed out before the end of the job. The HTTP status is also 200 then."""
