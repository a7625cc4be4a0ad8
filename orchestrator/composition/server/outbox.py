"""Assembles the outbox: the parts that send messages to webhooks and people."""

import time
from collections.abc import Callable
from functools import partial

from orchestrator.composition.settings.settings_conversion import masked, own_secrets
from orchestrator.composition.settings.webhooks_and_notifications import Receivers
from orchestrator.config import Settings
from orchestrator.engine.runtime import clock
from orchestrator.engine.supervisor.outbox_entries import OutboxEntries
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy
from orchestrator.outbox.delivery.http_sender import HttpSender
from orchestrator.outbox.delivery.message_bodies import MessageBodies
from orchestrator.outbox.notifications.notification_sender import Notifications
from orchestrator.outbox.outbox_service import OutboxService
from orchestrator.outbox.webhooks import Webhooks
from orchestrator.store import SqlStore


def create_outbox_service(
    settings: Settings,
    receivers: Receivers,
    store: SqlStore,
    switch: OutboxEntries,
    api_url: Callable[[], str],
) -> OutboxService:
    """Create the service that sends the outbox's messages. The caller must start its dispatcher.

    ``switch``: the object that turns endpoints off and on. ``api_url``: returns the server's
    address. The links in messages use this address if the setting ``api.public_url`` is not set.
    """
    mask = partial(masked, own_secrets(settings))
    policy = AddressPolicy(settings.webhooks.allow_hosts)
    http_sender = HttpSender(policy, settings.webhooks.timeout, time.time, mask)
    public_url = settings.api.public_url
    messages = MessageBodies(store, lambda: public_url or api_url(), mask)
    return OutboxService(
        store=store.outbox,
        webhooks=Webhooks(
            receivers.endpoints, receivers.callback_keys, http_sender, messages, store, time.time
        ),
        notifications=Notifications(
            receivers.targets, http_sender, messages, store.outbox, clock.now
        ),
        subscriptions=receivers.subscriptions,
        policy=policy,
        switch=switch,
        now=clock.now,
        setting_errors=receivers.errors,
    )
