"""Decides whether another attempt follows a failed attempt, when it starts, and with which agent.

``next_attempt`` returns the decision as a value. Each worker has a maximum number of retries. An
attempt is free if it does not count as a retry, because the worker did not cause the failure.
"""

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.key_costs_and_jobs import utc
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.failure import HANDED_ON, NOT_STARTED
from orchestrator.core.model.job import TaskSpec, WaitingFor, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_rules import NEVER_RAN

#: Maximum back-off between two attempts, in seconds.
MAX_DELAY_SECONDS = 60.0
#: Maximum seconds of a wait for a rate limit whose reason states the remaining seconds. The reason
#: of a longer wait states the time of the retry.
LONGEST_COUNTDOWN_SECONDS = 120.0
#: Seconds until the next attempt of a worker whose tool could not be started. The n-th value
#: applies after the n-th such attempt in a row. These attempts do not count as retries.
TOOL_START_DELAYS = (2.0, 5.0, 15.0)
#: Maximum number of attempts of a worker that moves to other agents or machines after failed
#: logins: enough to try each agent.
MOST_ATTEMPTS = 12
#: Number of successive attempts that may fail to begin without counting as retries of their worker.
#: Each further such attempt counts as a retry.
MOST_NEVER_BEGAN = 3
#: Causes for which the worker is not responsible. The next attempt does not count as a retry.
FREE_RETRY = frozenset(
    {ExitCause.NO_ROOM, ExitCause.ORPHAN_TIMEOUT, ExitCause.SHUTDOWN, ExitCause.LEASE_ENDED}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryFacts:
    """Facts that decide on the next attempt, in addition to the worker and its verdict."""

    #: Seconds until the agent's account may be used again; None if no rate limit stopped the
    #: attempt.
    account_delay_seconds: float | None = None
    #: Current Unix time.
    now: float = 0.0
    #: True if the agent's tool has started before.
    tool_worked: bool = False
    #: The agent that can replace the worker's agent after a failed login; "" if no agent can.
    other_agent: str = ""
    #: True if a child job of the worker failed.
    child_failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryDecision:
    #: True if another attempt follows. Otherwise, no other field is set.
    retries: bool = True
    #: Seconds until the attempt may start.
    delay_seconds: float = 0.0
    #: The worker's reason until the attempt starts.
    reason: str = ""
    #: The cause of the retry, for the event.
    cause: str = ""
    #: True if the attempt does not count as a retry.
    is_free: bool = False
    #: The agent that replaces the worker's agent; "" if the agent stays.
    agent: str = ""
    #: The agent or machine that takes over the worker's files, as text; "" if neither changes.
    handed_to: str = ""
    #: The new value of the worker's ``failure``; None if the value stays.
    failure: str | None = None
    #: What the worker waits for until the attempt starts; None if it waits only for the delay.
    waiting_for: WaitingFor | None = None


NO_RETRY = RetryDecision(retries=False)
_PAUSED = "stopped because the job is paused; the worker runs again when the job resumes"
#: The decision after a pause stopped an attempt.
AFTER_PAUSE = RetryDecision(reason=_PAUSED, cause=_PAUSED, is_free=True)


def next_attempt(
    worker: Worker, task: TaskSpec, config: JobConfig, verdict: Verdict, facts: RetryFacts
) -> RetryDecision:
    """Decide on the next attempt of a worker after a failed attempt.

    The caller checks first that neither the worker nor its job is being stopped.
    """
    if facts.account_delay_seconds is not None:
        return _after_rate_limit(worker.agent, verdict, facts.account_delay_seconds, facts.now)
    tool_delay = tool_start_delay(worker) if verdict.not_started and facts.tool_worked else None
    if tool_delay is not None:
        return _after_delay(verdict, tool_delay, is_free=True)
    if verdict.moves and worker.attempt < MOST_ATTEMPTS:
        reason = f"{verdict.reason}; retrying on another machine"
        return _after_handover("another machine", reason, verdict.reason)
    if facts.other_agent:
        reason = fallback_reason(facts.other_agent, worker.agent, verdict.reason)
        return _after_handover(facts.other_agent, reason, verdict.reason, agent=facts.other_agent)
    if not may_retry(worker, task, config, verdict, facts.child_failed):
        return NO_RETRY
    # An attempt that never ran is retried at once, without back-off.
    delay = 0.0 if verdict.never_began else retry_delay(worker, config.retry_backoff_seconds)
    return _after_delay(verdict, delay, failure=verdict.failure)


def _after_rate_limit(agent: str, verdict: Verdict, delay: float, now: float) -> RetryDecision:
    return RetryDecision(
        delay_seconds=delay,
        reason=waits_for_account(agent, delay, now),
        cause=verdict.reason,
        is_free=True,
        waiting_for=WaitingFor(WaitKind.ACCOUNT, agent),
    )


def _after_delay(
    verdict: Verdict, delay: float, *, is_free: bool = False, failure: str | None = None
) -> RetryDecision:
    return RetryDecision(
        delay_seconds=delay,
        reason=f"{verdict.reason}; retrying in {delay:g} s",
        cause=verdict.reason,
        is_free=is_free,
        failure=failure,
    )


def _after_handover(recipient: str, reason: str, cause: str, *, agent: str = "") -> RetryDecision:
    return RetryDecision(
        reason=reason,
        cause=cause,
        is_free=True,
        agent=agent,
        handed_to=recipient,
        failure=HANDED_ON,
    )


def waits_for_account(agent: str, seconds: float, now: float) -> str:
    # The reason is shown unchanged until the retry, so a long wait needs the time of its end.
    is_long = seconds > LONGEST_COUNTDOWN_SECONDS
    when = f"at {utc(now + seconds)}" if is_long else f"in {max(0.0, seconds):.0f} s"
    return f"waiting: {agent} is rate-limited; retrying {when}"


def fallback_reason(agent: str, other: str, why: str) -> str:
    return f"using {agent} instead of {other} ({why})"


def tool_start_delay(worker: Worker) -> float | None:
    """Return the seconds until the next attempt, if the latest attempt could not start its tool.

    Return None if the latest attempt failed for another reason, or if all ``TOOL_START_DELAYS`` are
    used up. The caller checks that the tool worked before.
    """
    count = 0
    for failure in reversed(worker.result.failures if worker.result else ()):
        if failure.cause != NOT_STARTED:
            break
        count += 1
    return TOOL_START_DELAYS[count - 1] if 0 < count <= len(TOOL_START_DELAYS) else None


def never_begins(worker: Worker) -> bool:
    """True if none of the worker's latest ``MOST_NEVER_BEGAN`` attempts has begun.

    In this case, the next attempt counts as a retry, although the latest attempt has not begun.
    Without this rule, a worker that removes its own files would be retried forever.
    """
    latest = worker.result.failures[-MOST_NEVER_BEGAN:] if worker.result else ()
    return len(latest) == MOST_NEVER_BEGAN and all(each.cause == NEVER_RAN for each in latest)


def may_retry(
    worker: Worker, task: TaskSpec, config: JobConfig, verdict: Verdict, child_failed: bool
) -> bool:
    """True if a retry follows a failed attempt.

    - If the worker has used all its retries, or if the attempt was cancelled, no retry follows.
    - If the attempt's timeout expired, a retry follows only if the user requested retries. After a
      timeout, a planner or reviewer is never retried.
    - If a child job failed, a retry follows only if the task sets ``retries``. A child job has its
      own retries, and retries at every depth would multiply.
    - If the same failure (``Verdict.failure``) occurs twice in a row, no further retry follows.
      Exception: retries that the user requested for a command are always used.
    """
    if has_no_retry(worker, task, config):
        return False
    if verdict.status is WorkerStatus.CANCELLED:
        return False
    if worker.is_adviser and verdict.status is WorkerStatus.TIMEOUT:
        # Do not retry: all tasks wait for the planner or reviewer, and the job can continue without
        # its answer.
        return False
    if child_failed and task.retries is None:
        return False
    retries_requested = task.retries is not None or config.retries_asked
    is_retryable = verdict.retry or (retries_requested and verdict.status is WorkerStatus.TIMEOUT)
    is_command = task.command is not None
    return is_retryable and (
        (retries_requested and is_command) or not _same_failure(worker, verdict)
    )


def has_no_retry(worker: Worker, task: TaskSpec, config: JobConfig) -> bool:
    return worker.attempt - worker.budget_from > _max_retries(task, config)


def retry_delay(worker: Worker, backoff_seconds: float) -> float:
    """Return the back-off before the next attempt, in seconds.

    The back-off doubles with every failure, up to ``MAX_DELAY_SECONDS``.
    """
    failures = max(0, worker.attempt - worker.budget_from - 1)
    return float(min(backoff_seconds * 2.0 ** min(failures, 16), MAX_DELAY_SECONDS))


def failure_reason(worker: Worker, task: TaskSpec, config: JobConfig, verdict: Verdict) -> str:
    """Return the reason of a worker whose last attempt failed.

    This is the verdict's reason. If the worker was retried, the number of attempts is added, or a
    note that the last two attempts had the same failure.
    """
    attempts = worker.attempt - worker.budget_from
    if attempts < 2 or verdict.status is WorkerStatus.CANCELLED:
        return verdict.reason
    max_attempts = _max_retries(task, config) + 1
    if attempts < max_attempts and _same_failure(worker, verdict):
        return f"{verdict.reason} (no further retry: the last two attempts had the same failure)"
    # Free retries do not count, so there may be more attempts than the maximum.
    return f"{verdict.reason} (attempt {attempts} of {max(attempts, max_attempts)})"


def _max_retries(task: TaskSpec, config: JobConfig) -> int:
    return config.max_retries if task.retries is None else task.retries


def _same_failure(worker: Worker, verdict: Verdict) -> bool:
    return bool(verdict.failure) and verdict.failure == worker.failure
