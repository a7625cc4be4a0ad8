"""Creates the outbox entries for a change: selects events, and the endpoints that get messages.

This module stores and sends nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.human_needs import kind_of_worker, kinds_of_job
from orchestrator.core.ports import StateChange
from orchestrator.core.ports.outbox import CALLBACK, OutboxEntry, Subscription, Topic
from orchestrator.core.scheduler.scheduler_view import SchedulerView

#: Topic of each kind of event. An event with the topic NEEDS_YOU is sent only if the job waits for
#: a person.
_TOPICS: Mapping[EventKind, Topic] = {
    EventKind.JOB_STARTED: Topic.JOB_STARTED,
    EventKind.JOB_ENDED: Topic.JOB_ENDED,
    EventKind.JOB_LANDED: Topic.JOB_LANDED,
    EventKind.JOB_SUBMITTED: Topic.NEEDS_YOU,
    EventKind.JOB_PLANNED: Topic.NEEDS_YOU,
    EventKind.LIMIT_ASKED: Topic.NEEDS_YOU,
    EventKind.QUESTION_ASKED: Topic.NEEDS_YOU,
    EventKind.WORKER_ENDED: Topic.NEEDS_YOU,
    EventKind.PLANNER_ENDED: Topic.NEEDS_YOU,
    EventKind.REVIEWER_ENDED: Topic.NEEDS_YOU,
}
_OF_WORKERS = frozenset((EventKind.WORKER_ENDED, EventKind.PLANNER_ENDED, EventKind.REVIEWER_ENDED))
_OF_ROOTS = frozenset((Topic.JOB_STARTED, Topic.JOB_ENDED))


class OutboxEntries:
    """Adds outbox entries to the changes that the supervisor stores.

    Only the supervisor's thread may call ``with_entries``. Any thread may call the other methods.
    """

    def __init__(self, subscriptions: Sequence[Subscription] = ()) -> None:
        self.subscriptions = tuple(subscriptions)
        #: Endpoints that are turned off, and get no further messages.
        self._off: frozenset[str] = frozenset()

    def turn_off(self, endpoint: str) -> None:
        """Create no further outbox entries for an endpoint. Idempotent."""
        self._off |= {endpoint}

    def turn_on(self, endpoint: str) -> None:
        self._off -= {endpoint}

    def is_off(self, endpoint: str) -> bool:
        return endpoint in self._off

    def with_entries(self, change: StateChange, view: SchedulerView) -> StateChange:
        """Return the change with outbox entries: at most one per event and endpoint."""
        entries = [entry for event in change.events for entry in self._entries(event, view)]
        return replace(change, outbox=_first_needs(entries)) if entries else change

    def _entries(self, event: Event, view: SchedulerView) -> Iterator[OutboxEntry]:
        root, job = view.jobs.get(event.root_id), view.jobs.get(event.job_id)
        kind_topic = _TOPICS.get(event.kind)
        if root is None or job is None or kind_topic is None:
            return
        topics = _topics_of(event, kind_topic, job, view)
        if not topics:
            return
        for subscription in (*self.subscriptions, *_callback_subscriptions(root)):
            for topic in topics:
                if topic in subscription.topics:
                    if subscription.endpoint not in self._off and _wants(subscription, root, topic):
                        yield _entry(event, root, subscription, topic)
                    break


def _topics_of(event: Event, topic: Topic, job: Job, view: SchedulerView) -> Sequence[Topic]:
    """Return the topics under which an event is sent; empty if the event is not sent.

    An endpoint gets the event once, under the first of these topics to which the endpoint
    subscribes.
    """
    if topic in _OF_ROOTS and not job.is_root:
        return ()
    if event.kind in _OF_WORKERS:
        worker = view.workers.get(WorkerKey(event.root_id, event.worker_id or ""))
        needs_person = (
            worker is not None and worker.status is WorkerStatus.FAILED and kind_of_worker(worker)
        )
        return (topic,) if needs_person else ()
    if event.kind in (EventKind.JOB_SUBMITTED, EventKind.JOB_PLANNED):
        return (topic,) if job.awaits_approval else ()
    if topic is Topic.JOB_ENDED and kinds_of_job(job):
        return (topic, Topic.NEEDS_YOU)
    return (topic,)


def _callback_subscriptions(root: Job) -> Sequence[Subscription]:
    if root.callback is None:
        return ()
    return (Subscription(endpoint=CALLBACK, topics=root.callback.events),)


def _wants(subscription: Subscription, root: Job, topic: Topic) -> bool:
    for name, value in subscription.labels:
        if root.config.labels.get(name) != value:
            return False
    if topic is not Topic.JOB_ENDED:
        return True
    seconds = (root.ended_at or root.created_at) - root.created_at
    matches_status = not subscription.statuses or root.status in subscription.statuses
    return matches_status and seconds >= subscription.min_seconds


def _entry(event: Event, root: Job, subscription: Subscription, topic: Topic) -> OutboxEntry:
    kind, _, name = subscription.endpoint.rpartition(":")
    due_at = event.at + subscription.delay_seconds
    if topic is Topic.NEEDS_YOU:
        due_at = max(due_at, root.created_at + subscription.min_seconds)
    return OutboxEntry(
        id=f"{'ntf' if kind == 'notify' else 'msg'}_{event.root_id}_{event.seq}_{name}",
        root_id=event.root_id,
        job_id=event.job_id,
        seq=event.seq,
        endpoint=subscription.endpoint,
        topic=topic,
        created_at=event.at,
        due_at=due_at,
    )


def _first_needs(entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
    """Return the entries, but only the first NEEDS_YOU entry for each endpoint and job.

    If many workers fail in one turn, a person then gets only one message. Entries with other topics
    are not removed.
    """
    if len(entries) == 1:
        return entries
    first_ids: dict[tuple[str, str], str] = {}
    for each in entries:
        if each.topic is Topic.NEEDS_YOU:
            first_ids.setdefault((each.endpoint, each.job_id), each.id)
    kept_ids = set(first_ids.values())
    return [each for each in entries if each.topic is not Topic.NEEDS_YOU or each.id in kept_ids]
