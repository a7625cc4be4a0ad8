"""Sends the notifications of the outbox.

All pending entries of one target and one job tree are sent as one notification.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.core.ports.outbox import EntryState, OutboxEntry, OutboxStore, Topic
from orchestrator.outbox.delivery.delivery_retries import after_attempt
from orchestrator.outbox.delivery.http_sender import HttpSender, Outcome
from orchestrator.outbox.delivery.message_bodies import MessageBodies
from orchestrator.outbox.notifications.notification import Notification, notification_of
from orchestrator.outbox.notifications.targets import Target, send

PREFIX = "notify:"


class Notifications:
    """Sends notifications to people, except in a target's quiet hours. Any thread may call."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        http_sender: HttpSender,
        messages: MessageBodies,
        store: OutboxStore,
        now: Callable[[], float],
        local_time: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.targets = targets
        self._http_sender = http_sender
        self._messages = messages
        self._store = store
        self._now = now
        self._local_time = local_time

    def deliver(self, entry: OutboxEntry) -> Sequence[OutboxEntry]:
        """Send one notification for ``entry`` and all pending entries with its target and job tree.

        In quiet hours, send nothing: the entries become due at the end of the quiet hours. Return
        the entries with their new states.
        """
        target = self.targets.get(entry.endpoint.removeprefix(PREFIX))
        pending = self._store.pending(entry.endpoint, entry.root_id)
        entries = [entry, *(each for each in pending if each.id != entry.id)]
        if target is None:
            name = entry.endpoint.removeprefix(PREFIX)
            reason = (
                f"notify.targets in config.yaml has no target {name!r}; add the target, restart "
                "the server, and send the message again"
            )
            return _entries_after(entries, Outcome(error=reason, final=True), self._now())
        quiet = quiet_seconds(target.quiet, self._local_time())
        if quiet:
            return [replace(each, due_at=self._now() + quiet) for each in entries]
        notification = self._notification(entries)
        if notification is None:
            return [
                replace(each, state=EntryState.SKIPPED, done_at=self._now()) for each in entries
            ]
        return _entries_after(entries, send(target, notification, self._http_sender), self._now())

    def send(self, target: Target, notification: Notification) -> Outcome:
        return send(target, notification, self._http_sender)

    def _notification(self, entries: Sequence[OutboxEntry]) -> Notification | None:
        """Return one notification for all ``entries``; None if there is nothing to report.

        There is nothing to report about a removed job. There is also nothing to report if all
        entries are about needs, and the job tree has no open need any more.
        """
        ended = [each for each in entries if each.topic is not Topic.NEEDS_YOU]
        latest = max(ended or entries, key=lambda each: each.seq)
        body = self._messages.of(latest)
        if body is None or not (ended or body["data"]["needs"]):
            return None
        return notification_of(body)


def _entries_after(
    entries: Sequence[OutboxEntry], outcome: Outcome, now: float
) -> list[OutboxEntry]:
    return [after_attempt(each, outcome, now) for each in entries]


def quiet_seconds(quiet: tuple[int, int] | None, at: datetime) -> float:
    """Return the seconds from ``at`` to the end of the quiet hours; 0 outside of quiet hours.

    ``quiet``: begin and end of the quiet hours, in minutes since midnight; None: no quiet hours.
    ``at``: local time, without a time zone.
    """
    if quiet is None:
        return 0.0
    begin, end = quiet
    minute = at.hour * 60 + at.minute
    is_quiet = begin <= minute < end if begin < end else not end <= minute < begin
    if not is_quiet or begin == end:
        return 0.0
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    end_time = midnight + timedelta(minutes=end)
    if end_time <= at:
        end_time += timedelta(days=1)
    # Local times differ by an hour from the elapsed time in a night in which summer time begins or
    # ends. Timestamps do not.
    return end_time.timestamp() - at.timestamp()
