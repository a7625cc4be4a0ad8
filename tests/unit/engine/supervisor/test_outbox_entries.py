"""Events that become messages, and the endpoints that get them."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Callback, Job
from orchestrator.core.model.job_facts import JobFacts, Missing
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import CALLBACK, Subscription, Topic
from orchestrator.core.scheduler.scheduler_view import SchedulerView
from orchestrator.engine.supervisor.outbox_entries import OutboxEntries
from tests.contract.store_values import CONFIG, a_child, a_job, an_event

CI = Subscription(endpoint="webhook:ci", topics=(Topic.JOB_ENDED,))
ME = Subscription(
    endpoint="notify:me",
    topics=(Topic.NEEDS_YOU, Topic.JOB_ENDED),
    statuses=(JobStatus.FAILED,),
    min_seconds=60,
    delay_seconds=5,
)


def messages_of(
    subscriptions: Sequence[Subscription],
    kind: EventKind,
    *jobs: Job,
    outbox: OutboxEntries | None = None,
) -> list[tuple[str, str]]:
    """Return the endpoints and topics of messages about an event of the last job."""
    view = cast(SchedulerView, SimpleNamespace(jobs={job.id: job for job in jobs}, workers={}))
    change = StateChange(events=[an_event(jobs[-1], 7, kind=kind, at=100.0)])
    entries = (outbox or OutboxEntries(subscriptions)).with_entries(change, view).outbox
    return [(each.endpoint, str(each.topic)) for each in entries]


def ended(**fields: Any) -> Job:
    return a_job(status=JobStatus.COMPLETED, ended_at=100.0, **fields)


def test_without_receivers_a_change_is_passed_on_as_it_is() -> None:
    change = StateChange(events=[an_event(ended(), 1, kind=EventKind.JOB_ENDED)])
    view = cast(SchedulerView, SimpleNamespace(jobs={"a": ended()}, workers={}))

    assert OutboxEntries().with_entries(change, view) is change


def test_the_end_of_a_root_job_is_reported() -> None:
    assert messages_of([CI], EventKind.JOB_ENDED, ended()) == [("webhook:ci", "job_ended")]
    assert messages_of([CI], EventKind.JOB_STARTED, ended()) == []


def test_the_end_of_a_child_job_is_not_reported() -> None:
    root = a_job()

    assert messages_of([CI], EventKind.JOB_ENDED, root, a_child("b", root)) == []


def test_a_message_has_the_same_id_whenever_it_is_made() -> None:
    view = cast(SchedulerView, SimpleNamespace(jobs={"a": ended()}, workers={}))
    change = StateChange(events=[an_event(ended(), 7, kind=EventKind.JOB_ENDED)])

    (entry,) = OutboxEntries([CI]).with_entries(change, view).outbox

    assert (entry.id, entry.seq) == ("msg_a_7_ci", 7)


def test_labels_select_jobs() -> None:
    only_a = replace(CI, labels=(("team", "a"),))
    labelled = ended(config=replace(CONFIG, labels={"team": "a", "x": "y"}))

    assert messages_of([only_a], EventKind.JOB_ENDED, labelled)
    assert not messages_of([only_a], EventKind.JOB_ENDED, ended())


def test_the_callback_of_a_job_gets_its_topics() -> None:
    job = ended(callback=Callback(url="https://x.example", events=("job_started",)))

    assert messages_of([], EventKind.JOB_STARTED, job) == [(CALLBACK, "job_started")]
    assert messages_of([], EventKind.JOB_ENDED, job) == []


def test_a_plan_that_waits_for_approval_needs_you() -> None:
    waiting = a_job(awaits_approval=True)

    assert messages_of([ME], EventKind.JOB_PLANNED, waiting) == [("notify:me", "needs_you")]
    assert messages_of([ME], EventKind.JOB_PLANNED, a_job()) == []


def test_an_end_that_needs_you_is_one_message() -> None:
    missing = Missing(job_id="a", worker_id="worker_1", why="conflict", resolvable=True)
    job = replace(ended(), facts=JobFacts(missing=(missing,)), status=JobStatus.PARTIAL)
    needs = replace(ME, topics=(Topic.NEEDS_YOU,))

    assert messages_of([CI, needs], EventKind.JOB_ENDED, job) == [
        ("webhook:ci", "job_ended"),
        ("notify:me", "needs_you"),
    ]


@pytest.mark.parametrize(
    ("status", "seconds", "expected"),
    [(JobStatus.FAILED, 61, True), (JobStatus.FAILED, 59, False), (JobStatus.COMPLETED, 61, False)],
)
def test_short_jobs_and_other_statuses_are_not_notified(
    status: JobStatus, seconds: float, expected: bool
) -> None:
    job = a_job(status=status, created_at=1.0, ended_at=1.0 + seconds)

    assert bool(messages_of([ME], EventKind.JOB_ENDED, job)) is expected


def test_an_endpoint_that_is_off_gets_nothing() -> None:
    outbox = OutboxEntries([CI])
    outbox.turn_off("webhook:ci")

    assert messages_of([], EventKind.JOB_ENDED, ended(), outbox=outbox) == []
    outbox.turn_on("webhook:ci")
    assert messages_of([], EventKind.JOB_ENDED, ended(), outbox=outbox)
