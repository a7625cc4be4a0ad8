"""The ``needs`` of a job: what a person must do for the job. Pure.

Each need follows from one job or one worker alone. Therefore the store can save the need's kind in
the row of this job or worker.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from shlex import quote

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.failure import ASKED, CREDIT, LOGIN
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause, Missing
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.reason import budget_command
from orchestrator.core.outcome.job.unmerged_changes import has_worktree, merge_command
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import cut, one_line

#: Maximum number of characters of a need's text.
TEXT_CHARACTERS = 300


class NeedKind(StrEnum):
    #: The job's plan waits for approval.
    APPROVAL = "approval"
    #: The result lacks changes of a worker. Another attempt of the worker, or a person's decision
    #: about a conflict, can add the changes.
    CONFLICT = "conflict"
    #: The result lacks promised files that no worker created. Another attempt may create the files.
    PROMISED = "promised"
    #: The job has reached a limit, and asks whether it may continue.
    LIMIT = "limit"
    #: A task waits for a person's answer.
    QUESTION = "question"
    #: A worker ended because it waits for a person's answer to its question.
    ASKED = "asked"
    #: The login of an agent failed, or its account has no credit.
    LOGIN = "login"
    #: A worker failed before it had answered a person's comments.
    FEEDBACK = "feedback"
    #: The server could not open the pull request of a job that a trigger started.
    PULL_REQUEST = "pull_request"


#: Causes of a worker's latest failure that need a person to log in or to add credit.
_OF_LOGINS = (LOGIN, CREDIT)
_WITHOUT_SUCCESS = (WorkerStatus.FAILED, WorkerStatus.TIMEOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    kind: NeedKind
    job_id: str
    root_job_id: str
    #: The job's request, in one line.
    request: str
    worker_id: str | None = None
    task_id: str | None = None
    #: The need, in one line.
    text: str
    #: Unix time.
    since: float
    #: The command to type.
    command: str


def kinds_of_job(job: Job) -> Sequence[NeedKind]:
    """Return the kinds of needs that follow from the job alone."""
    kinds = []
    if job.awaits_approval and not job.status.ended:
        kinds.append(NeedKind.APPROVAL)
    if job.pause is not None and job.pause.asks(job.id) and not job.status.ended:
        kinds.append(NeedKind.LIMIT)
    kinds += dict.fromkeys(map(_kind_of_loss, _losses_for_person(job)))
    if job.facts.pull_request_error and not job.facts.discarded:
        kinds.append(NeedKind.PULL_REQUEST)
    return kinds


def kind_of_worker(worker: Worker) -> NeedKind | None:
    if worker.is_question:
        return NeedKind.QUESTION if worker.status is WorkerStatus.WAITING else None
    if worker.status not in _WITHOUT_SUCCESS or worker.result is None:
        return None
    failures = worker.result.failures
    latest = failures[-1] if failures else None
    if latest and latest.attempt == worker.attempt and latest.cause in _OF_LOGINS:
        return NeedKind.LOGIN
    # Only root jobs ask a person: the parent worker answers the questions of a child job.
    if asking_attempt(worker) and not worker.depth:
        return NeedKind.ASKED
    is_answered = all(each.answered_by for each in worker.result.feedback)
    return None if is_answered else NeedKind.FEEDBACK


def asking_attempt(worker: Worker) -> int:
    """Return the latest attempt that asked a question which no person has answered; 0 if none.

    A later attempt without the answer may have failed for another reason.
    """
    result = worker.result
    if result is None:
        return 0
    answered = max((each.attempt for each in result.feedback), default=0)
    asking = (each.attempt for each in result.failures if each.cause == ASKED)
    return max((each for each in asking if each >= answered), default=0)


def needs_of(job: Job, workers: Iterable[Worker]) -> Sequence[Need]:
    """Return the needs of one job.

    ``workers``: workers of the job. If a worker has a need, ``workers`` must include all workers of
    its task.
    """
    worker_list = list(workers)
    return [*_needs_from_job(job), *_needs_from_workers(job, worker_list)]


def needs_in(jobs_and_workers: Iterable[tuple[Job, Sequence[Worker]]]) -> list[Need]:
    """Return the needs of several jobs.

    ``jobs_and_workers``: each job with its workers, as for ``needs_of``.
    """
    return [need for job, workers in jobs_and_workers for need in needs_of(job, workers)]


def _needs_from_job(job: Job) -> Iterator[Need]:
    since = job.ended_at or job.started_at or job.created_at
    ids = {"job_id": job.id, "root_job_id": job.root_id, "request": _short_line(job.request)}
    if NeedKind.APPROVAL in kinds_of_job(job):
        text = f"plan waits for approval: {job.request}"
        command = f"{COMMAND} approve {job.id}"
        yield Need(
            kind=NeedKind.APPROVAL, **ids, text=_short_line(text), since=since, command=command
        )
    if job.pause is not None and NeedKind.LIMIT in kinds_of_job(job):
        command = budget_command(job.pause)
        paused_at, text = job.pause.at, f"limit reached: {job.pause.by}: {job.request}"
        yield Need(
            kind=NeedKind.LIMIT, **ids, text=_short_line(text), since=paused_at, command=command
        )
    for each in _losses_for_person(job):
        yield Need(
            kind=_kind_of_loss(each),
            **ids,
            worker_id=each.worker_id,
            text=_short_line(f"{each.worker_id}: {each.why}"),
            since=since,
            command=merge_command(each, job, []).command,
        )
    if NeedKind.PULL_REQUEST in kinds_of_job(job):
        text = f"no pull request was opened: {job.facts.pull_request_error}"
        command = f"{COMMAND} land {job.id} --pr"
        yield Need(
            kind=NeedKind.PULL_REQUEST, **ids, text=_short_line(text), since=since, command=command
        )


def _kind_of_loss(missing: Missing) -> NeedKind:
    return NeedKind.CONFLICT if missing.is_made else NeedKind.PROMISED


def _losses_for_person(job: Job) -> Iterator[Missing]:
    if job.status.ended and not (job.facts.discarded or job.cancelled):
        for each in job.facts.missing:
            is_own = job.is_root and each.job_id == job.id
            # A worker that runs a command is not ``resolvable``, because another attempt cannot
            # resolve its conflict. A person has to decide.
            if (
                each.resolvable or (is_own and each.cause is LossCause.CONFLICT)
            ) and not each.chosen:
                yield each


def _needs_from_workers(job: Job, workers: Sequence[Worker]) -> Iterator[Need]:
    if job.cancelled or job.facts.discarded:
        return
    done_ids = {each.task_id for each in workers if each.status.succeeded}
    login_agents = set[str]()
    for worker in workers:
        kind = kind_of_worker(worker)
        if kind is None or worker.task_id in done_ids:
            continue
        if kind is NeedKind.LOGIN:
            if worker.agent in login_agents:
                continue
            login_agents.add(worker.agent)
        yield Need(
            kind=kind,
            job_id=job.id,
            root_job_id=job.root_id,
            request=_short_line(job.request),
            worker_id=worker.id,
            task_id=worker.task_id,
            text=_short_line(_need_text(kind, worker)),
            since=worker.ended_at or worker.started_at or job.created_at,
            command=_need_command(kind, worker),
        )


def _need_text(kind: NeedKind, worker: Worker) -> str:
    if kind is NeedKind.QUESTION:
        return (worker.question.text if worker.question else "") or worker.reason
    if kind is NeedKind.FEEDBACK:
        return f"{worker.id} ({worker.agent}) did not answer your comments: {worker.reason}"
    attempt = asking_attempt(worker)
    if kind is NeedKind.ASKED and attempt < worker.attempt:
        asked = f"asked a question in attempt {attempt}, which is not answered"
        return f"{worker.id} ({worker.agent}) {asked}; attempt {worker.attempt}: {worker.reason}"
    return f"{worker.id} ({worker.agent}): {worker.reason}"


def _need_command(kind: NeedKind, worker: Worker) -> str:
    if kind is NeedKind.QUESTION:
        return f"{COMMAND} approve {worker.job_id} {quote(worker.task_id)}"
    if kind is NeedKind.ASKED and has_worktree(worker):
        # The person's answer becomes part of the next attempt's prompt.
        return f"{COMMAND} feedback {worker.job_id} {worker.id} --edit"
    if kind is NeedKind.ASKED:
        return f"{COMMAND} attach {worker.job_id} {worker.id}"
    return f"{COMMAND} retry {worker.root_id}"


def _short_line(text: str) -> str:
    return cut(one_line(text), TEXT_CHARACTERS)


class WorkerAction(StrEnum):
    """Actions on a worker that a caller may request. The API field ``can`` has their values."""

    #: Restore the worker's changes to a checkpoint.
    ROLLBACK = "rollback"
    #: Include commits that were added to the worker's branch after its end.
    RECOUNT = "recount"
    #: Send comments on the worker's change to the worker, for another attempt.
    FEEDBACK = "feedback"
    #: Run the unsuccessful worker again.
    RETRY = "retry"
    #: Send the worker a message while it works.
    MESSAGE = "message"
    #: Stop the worker and its child jobs.
    CANCEL = "cancel"
    #: Choose the worker in place of another candidate.
    CHOOSE = "choose"
    #: Answer the question of the worker's task.
    APPROVE = "approve"
    REJECT = "reject"


#: Statuses of workers that can be retried. SKIPPED is omitted, because a skipped worker runs
#: automatically when the failed dependency is retried.
_RETRYABLE = (WorkerStatus.FAILED, WorkerStatus.TIMEOUT, WorkerStatus.CANCELLED)


def actions_on(job: Job, worker: Worker, *, reads_messages: bool) -> Iterator[WorkerAction]:
    """Yield the actions that the states of a job and a worker allow.

    ``reads_messages``: True if the worker's agent reads messages while it works.
    """
    if worker.is_adviser:
        return
    if worker.is_question and worker.status is WorkerStatus.WAITING:
        yield WorkerAction.APPROVE
        yield WorkerAction.REJECT
    if worker.status.ended and has_worktree(worker):
        if not job.facts.discarded:
            yield WorkerAction.FEEDBACK
        yield WorkerAction.ROLLBACK
        yield WorkerAction.RECOUNT
    if not worker.status.ended and reads_messages:
        yield WorkerAction.MESSAGE
    if not worker.status.ended and worker.cancelled_by is None and job.stop_cause is None:
        yield WorkerAction.CANCEL
    if worker.status in _RETRYABLE and not job.facts.discarded:
        yield WorkerAction.RETRY
    if job.status.ended and worker.status.succeeded and worker.chosen is False:
        yield WorkerAction.CHOOSE
