"""The service of the outbox: delivers messages, and executes the API calls about deliveries."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from orchestrator.core.errors import ConfigError, InvalidRequest, NotFound
from orchestrator.core.ports.outbox import (
    CALLBACK,
    EndpointInfo,
    EntryFilter,
    EntryPage,
    EntryState,
    OutboxEntry,
    OutboxStore,
    Subscription,
    TestResult,
)
from orchestrator.core.text.command_name import COMMAND
from orchestrator.outbox import webhooks as hooks
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy
from orchestrator.outbox.delivery.delivery_retries import GONE, after_attempt
from orchestrator.outbox.delivery.http_sender import Outcome
from orchestrator.outbox.delivery.message_bodies import moment
from orchestrator.outbox.delivery.outbox_dispatcher import MOST_OF_ENDPOINT, OutboxDispatcher
from orchestrator.outbox.notifications import notification_sender as notes
from orchestrator.outbox.notifications.notification import test_notification
from orchestrator.security.secrets.masking import shown_address

logger = logging.getLogger(__name__)

OFF = f"the receiver answered 410 Gone; to turn the endpoint on again: {COMMAND} webhooks test "


class Switch(Protocol):
    def turn_off(self, endpoint: str) -> None: ...

    def turn_on(self, endpoint: str) -> None: ...

    def is_off(self, endpoint: str) -> bool: ...


class OutboxService:
    """Delivers the outbox's messages. Lists, tests, and repeats deliveries for the API.

    Implements ``core.ports.outbox.OutboxCalls``. ``dispatcher`` starts and stops the delivery. Any
    thread may call.
    """

    def __init__(
        self,
        *,
        store: OutboxStore,
        webhooks: hooks.Webhooks,
        notifications: notes.Notifications,
        subscriptions: Sequence[Subscription],
        policy: AddressPolicy,
        switch: Switch,
        now: Callable[[], float],
        setting_errors: Sequence[str],
    ) -> None:
        """``switch`` turns endpoints off and on. ``setting_errors``: one line for each error."""
        self._store = store
        self._webhooks = webhooks
        self._notifications = notifications
        self._subscriptions = {each.endpoint: each for each in subscriptions}
        self._policy = policy
        self._switch = switch
        self._now = now
        self._setting_errors = tuple(setting_errors)
        self.dispatcher = OutboxDispatcher(store, self.deliver, now, most_of=_most_at_once)

    def check_settings(self) -> None:
        """Raise ConfigError if the settings have errors, such as a variable that is not set."""
        if self._setting_errors:
            raise ConfigError("\n".join(self._setting_errors))

    def deliver(self, entry: OutboxEntry) -> Sequence[OutboxEntry]:
        """Send an entry, and return it with its new state.

        If the message also contains other pending entries, also return these entries.
        """
        entries = self._send(entry)
        for each in entries:
            _log_failure(each)
        return entries

    def _send(self, entry: OutboxEntry) -> Sequence[OutboxEntry]:
        if entry.endpoint.startswith(notes.PREFIX):
            return self._notifications.deliver(entry)
        outcome = self._webhooks.send(entry)
        if outcome.status == GONE and entry.endpoint != CALLBACK:
            self._switch.turn_off(entry.endpoint)
            self._store.fail_pending(
                entry.endpoint,
                "the endpoint is off, because its receiver answered 410 Gone",
                self._now(),
            )
        elif outcome.delivered:
            self._switch.turn_on(entry.endpoint)
        return [after_attempt(entry, outcome, self._now())]

    # OutboxCalls

    def endpoints(self) -> Sequence[EndpointInfo]:
        counts = self._store.counts()
        infos = [
            self._endpoint_info(hooks.PREFIX, "webhook", each.name, each.url, counts)
            for each in self._webhooks.endpoints.values()
        ]
        infos += [
            self._endpoint_info(notes.PREFIX, "notification", each.name, each.url, counts)
            for each in self._notifications.targets.values()
        ]
        if callback_counts := counts.get(CALLBACK):
            infos.append(EndpointInfo(CALLBACK, CALLBACK, "", (), "", callback_counts))
        return infos

    def test(self, name: str) -> TestResult:
        endpoint = self._webhooks.endpoints.get(name)
        if endpoint is None:
            raise NotFound(_unknown_name("webhook", name, self._webhooks.endpoints))
        data = {"message": "This is a test: messages of orchestrator arrive."}
        body = {"type": "test", "timestamp": moment(time.time()), "data": data}
        began = time.monotonic()
        outcome = self._webhooks.post(endpoint, f"msg_test_{secrets.token_hex(8)}", body)
        if outcome.delivered:
            self._switch.turn_on(f"{hooks.PREFIX}{name}")
        return _result(outcome, time.monotonic() - began)

    def test_notifications(self, name: str) -> Mapping[str, TestResult]:
        targets = self._notifications.targets
        if name and name not in targets:
            raise NotFound(_unknown_name("notification target", name, targets))
        results = {}
        for target in [targets[name]] if name else targets.values():
            began = time.monotonic()
            outcome = self._notifications.send(target, test_notification())
            results[target.name] = _result(outcome, time.monotonic() - began)
        return results

    def deliveries(self, entry_filter: EntryFilter, offset: int, limit: int) -> EntryPage:
        if entry_filter.endpoint and entry_filter.endpoint not in {*self._subscriptions, CALLBACK}:
            # Stored messages to an endpoint remain after its entry was removed from the settings.
            known = dict.fromkeys((*self._subscriptions, *self._store.counts(), CALLBACK))
            if entry_filter.endpoint not in known:
                raise InvalidRequest(
                    _unknown_name("endpoint", entry_filter.endpoint, known), field="endpoint"
                )
        return self._store.page(entry_filter, offset, limit)

    def redeliver(self, entry_id: str) -> OutboxEntry:
        entry = self._store.entry(entry_id)
        if entry is None:
            raise NotFound(
                f"unknown delivery {entry_id!r}; list deliveries: {COMMAND} webhooks deliveries"
            )
        pending = replace(
            entry, state=EntryState.PENDING, due_at=self._now(), attempts=0, done_at=None
        )
        self._store.record([pending])
        self.dispatcher.wake()
        return pending

    def check_url(self, url: str) -> None:
        self._policy.check(url)

    def _endpoint_info(
        self, prefix: str, kind: str, name: str, url: str, counts: Mapping[str, Mapping[str, int]]
    ) -> EndpointInfo:
        endpoint = f"{prefix}{name}"
        off_reason = OFF + name if self._switch.is_off(endpoint) else ""
        topics = sorted(map(str, self._subscriptions[endpoint].topics))
        return EndpointInfo(
            name, kind, shown_address(url), topics, off_reason, counts.get(endpoint, {})
        )


def _log_failure(entry: OutboxEntry) -> None:
    """Log a failed attempt if it was the first or the last attempt of the entry."""
    if entry.state is EntryState.FAILED:
        advice = f"send it again: {COMMAND} webhooks redeliver {entry.id}"
    elif entry.last_error and entry.attempts == 1:
        command = f"{COMMAND} webhooks deliveries --job {entry.job_id}"
        advice = f"the server retries; list messages: {command}"
    else:
        return
    logger.warning(
        "%s of job %s was not delivered to %s: %s; %s",
        entry.topic,
        entry.job_id,
        entry.endpoint,
        entry.last_error,
        advice,
    )


def _most_at_once(endpoint: str) -> int:
    """Return the maximum number of messages that are sent to an endpoint in parallel.

    A target of notifications gets one message at a time. While a message is being sent, new
    notifications wait. They are then sent together as one message.
    """
    return 1 if endpoint.startswith(notes.PREFIX) else MOST_OF_ENDPOINT


def _result(outcome: Outcome, seconds: float) -> TestResult:
    return TestResult(outcome.delivered, outcome.status, outcome.error, seconds)


def _unknown_name(kind: str, name: str, known: Mapping[str, object]) -> str:
    return f"unknown {kind} {name!r}; known: {', '.join(known) or 'none'}"
