"""Answers and decisions that a job needs from a person."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model.attempt.failure import (
    ASKED,
    LOGIN,
    Failure,
    FailureKind,
    RetryStrategy,
)
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import JobFacts, LossCause, Missing
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.human_needs import (
    NeedKind,
    actions_on,
    kind_of_worker,
    kinds_of_job,
    needs_of,
)
from orchestrator.core.outcome.job.reason import reason_of
from tests.contract.store_values import a_job, a_worker

LOST = Missing(
    worker_id="worker_2", job_id="a", branch="b", why="conflict in a.py", resolvable=True
)


def failed(job: Job, cause: str, index: int = 0, **fields: Any) -> Worker:
    failure = Failure(
        attempt=1,
        kind=FailureKind.LOGIC_ERROR,
        strategy=RetryStrategy.ESCALATE,
        reason="",
        confidence=1,
        cause=cause,
    )
    usual = {"status": WorkerStatus.FAILED, "attempt": 1, "reason": "why?\nnow", "ended_at": 9.0}
    return a_worker(job, index, result=WorkerResult(failures=(failure,)), **{**usual, **fields})


def ended(*missing: Missing, **fields: Any) -> Job:
    facts = JobFacts(missing=missing)
    return a_job(ended_at=5.0, **{"status": JobStatus.PARTIAL, "facts": facts, **fields})


def test_a_plan_that_waits_needs_approval() -> None:
    job = a_job(status=JobStatus.PLANNING, awaits_approval=True, started_at=3.0)

    [need] = needs_of(job, [])

    assert (need.kind, need.since, need.worker_id) == (NeedKind.APPROVAL, 3.0, None)
    assert need.command.endswith("approve a")
    assert need.request == job.request


def test_a_pull_request_that_failed_needs_a_person() -> None:
    facts = JobFacts(pull_request_error="Error: no network")
    job = ended(status=JobStatus.COMPLETED, facts=facts)

    [need] = needs_of(job, [])

    assert (need.kind, need.since, need.worker_id) == (NeedKind.PULL_REQUEST, 5.0, None)
    assert need.text == "no pull request was opened: Error: no network"
    assert need.command.endswith("land a --pr")
    assert reason_of(job) == f"{need.text}; retry: {need.command}"
    assert needs_of(replace(job, facts=replace(facts, discarded=True)), []) == []


def test_a_conflict_that_an_attempt_can_resolve_needs_a_person() -> None:
    job = ended(LOST, replace(LOST, worker_id="worker_3", chosen=True))

    [need] = needs_of(job, [])

    assert (need.kind, need.worker_id, need.since) == (NeedKind.CONFLICT, "worker_2", 5.0)
    assert need.text == "worker_2: conflict in a.py"
    assert need.command.endswith("merge a --resolve worker")


def test_the_conflict_of_a_command_needs_a_person() -> None:
    [need] = needs_of(ended(replace(LOST, resolvable=False)), [])

    assert (need.kind, need.worker_id) == (NeedKind.CONFLICT, "worker_2")
    assert need.command.endswith("merge a --strategy theirs")


def test_promised_files_that_are_missing_need_a_retry() -> None:
    job = ended(LOST, replace(LOST, cause=LossCause.NOT_MADE, paths=("a.py",)))

    [_, need] = needs_of(job, [])

    assert need.kind is NeedKind.PROMISED
    assert kinds_of_job(job) == [NeedKind.CONFLICT, NeedKind.PROMISED]
    assert need.command.endswith("retry a")


@pytest.mark.parametrize(
    "job",
    [
        ended(replace(LOST, resolvable=False, cause=LossCause.REFUSED)),
        ended(replace(LOST, resolvable=False, job_id="b")),
        ended(LOST, stop_cause=StopCause.USER),
        ended(facts=JobFacts(missing=(LOST,), discarded=True)),
        a_job(status=JobStatus.RUNNING, facts=JobFacts(missing=(LOST,))),
        a_job(status=JobStatus.CANCELLED, awaits_approval=True),
    ],
)
def test_a_job_without_a_possible_decision_needs_no_person(job: Job) -> None:
    assert list(kinds_of_job(job)) == []
    assert list(needs_of(job, [])) == []


def test_a_worker_that_asked_needs_an_answer() -> None:
    job = a_job()

    [need] = needs_of(job, [failed(job, ASKED)])

    assert (need.kind, need.task_id, need.since) == (NeedKind.ASKED, "t0", 9.0)
    assert need.text == "worker_1 (shell): why? now"
    assert need.command.endswith("attach a worker_1")


def test_a_question_stays_if_the_next_attempt_fails_for_another_reason() -> None:
    job = a_job()
    asked = failed(job, ASKED, attempt=2, reason="exit code 1")
    comments = Feedback(at=4.0, by="ann", attempt=2, commit="c", answered_by=3)

    [need] = needs_of(job, [asked])
    answered = replace(asked, result=replace(asked.result, feedback=(comments,)))

    assert need.kind is NeedKind.ASKED
    assert need.text == (
        "worker_1 (shell) asked a question in attempt 1, which is not answered; "
        "attempt 2: exit code 1"
    )
    assert list(needs_of(job, [answered])) == []
    assert list(needs_of(job, [replace(asked, status=WorkerStatus.SUCCESS)])) == []


def test_a_failed_login_is_one_need_for_each_agent() -> None:
    job = a_job()
    workers = [failed(job, LOGIN, at) for at in range(3)]
    other = failed(job, LOGIN, 3, agent="claude")

    needs = needs_of(job, [*workers, other])

    assert [need.worker_id for need in needs] == ["worker_1", "worker_4"]
    assert {need.kind for need in needs} == {NeedKind.LOGIN}


def commented(answered_by: int) -> WorkerResult:
    feedback = Feedback(at=4.0, by="ann", attempt=2, commit="c", answered_by=answered_by)
    return WorkerResult(feedback=(feedback,))


@pytest.mark.parametrize("status", [WorkerStatus.FAILED, WorkerStatus.TIMEOUT])
def test_comments_that_no_attempt_answered_need_a_person(status: WorkerStatus) -> None:
    job = a_job()
    fields = {"status": status, "attempt": 2, "reason": "exit code 1", "ended_at": 9.0}

    [need] = needs_of(job, [a_worker(job, result=commented(0), **fields)])

    assert (need.kind, need.worker_id) == (NeedKind.FEEDBACK, "worker_1")
    assert need.text == "worker_1 (shell) did not answer your comments: exit code 1"
    assert need.command.endswith("retry a")
    assert list(needs_of(job, [a_worker(job, result=commented(2), **fields)])) == []


def test_comments_on_a_cancelled_worker_need_no_person() -> None:
    job = a_job()
    worker = a_worker(job, result=commented(0), status=WorkerStatus.CANCELLED)

    assert list(needs_of(job, [worker])) == []


def test_a_question_is_obsolete_when_another_candidate_succeeded() -> None:
    job = a_job()
    rival = a_worker(job, 1, task_id="t0", status=WorkerStatus.SUCCESS)

    assert list(needs_of(job, [failed(job, ASKED), rival])) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"status": WorkerStatus.RUNNING},
        {"depth": 1},
        {"status": WorkerStatus.CANCELLED},
    ],
)
def test_workers_that_continue_or_have_a_parent_need_no_person(fields: dict[str, Any]) -> None:
    job = a_job()

    assert kind_of_worker(failed(job, ASKED, **fields)) is None
    assert kind_of_worker(failed(job, "exit code")) is None


def test_a_message_is_offered_only_for_a_worker_that_reads_one_and_has_not_ended() -> None:
    job = a_job(status=JobStatus.RUNNING)
    worker = a_worker(job, 0, status=WorkerStatus.RUNNING)
    done = replace(worker, status=WorkerStatus.SUCCESS)

    assert list(actions_on(job, worker, reads_messages=True)) == ["message", "cancel"]
    assert list(actions_on(job, worker, reads_messages=False)) == ["cancel"]
    assert "message" not in list(actions_on(job, done, reads_messages=True))
