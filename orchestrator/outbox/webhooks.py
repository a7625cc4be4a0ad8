"""Webhooks and callbacks: signed messages to the addresses in the settings and in jobs.

The signatures follow the specification Standard Webhooks (standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports import Store
from orchestrator.core.ports.outbox import CALLBACK, OutboxEntry
from orchestrator.outbox.delivery.http_sender import HttpSender, Outcome
from orchestrator.outbox.delivery.message_bodies import MessageBodies

KEY_PREFIX = "whsec_"
#: Minimum and maximum length of the key in a secret, in bytes.
SHORTEST, LONGEST = 24, 64
RULE = (
    f"a secret must be {SHORTEST} to {LONGEST} bytes in base64, with or without the prefix "
    f"{KEY_PREFIX}; create a secret: openssl rand -base64 32"
)


def key_of(secret: str) -> bytes:
    """Decode a secret from base64. Return the key. Raise ValueError if the secret is invalid."""
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(RULE) from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(RULE)
    return key


def signed_headers(
    message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers that identify and sign a message, with one signature for each key.

    ``timestamp``: Unix time. ``keys`` has two keys while a secret is being replaced,
    and no key if messages are not signed.
    """
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    signatures = [_signature(key, content) for key in keys]
    return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers


def _signature(key: bytes, content: bytes) -> str:
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


PREFIX = "webhook:"
#: Maximum bytes of a message; a larger message omits needs and labels.
MOST_BODY = 20_000
_JOB_REMOVED = Outcome(error="the job was removed before the message was sent", final=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A receiver of webhooks. Its address and headers are secrets."""

    name: str
    url: str = field(repr=False)
    #: Keys with which messages are signed; empty: messages are not signed.
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Webhooks:
    """Sends messages to webhooks and to the callbacks of jobs. Any thread may call."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        callback_keys: tuple[bytes, ...],
        http_sender: HttpSender,
        messages: MessageBodies,
        store: Store,
        now: Callable[[], float],
    ) -> None:
        self.endpoints = endpoints
        self._callback_keys = callback_keys
        self._http_sender = http_sender
        self._messages = messages
        self._store = store
        self._now = now

    def send(self, entry: OutboxEntry) -> Outcome:
        body = self._messages.of(entry)
        endpoint = self._receiver(entry)
        if body is None:
            return _JOB_REMOVED
        if endpoint is None:
            name = entry.endpoint.removeprefix(PREFIX)
            reason = (
                f"webhooks.endpoints in config.yaml has no endpoint {name!r}; add the endpoint, "
                "restart the server, and send the message again"
            )
            return Outcome(error=reason, final=True)
        return self.post(endpoint, entry.id, body)

    def post(self, endpoint: Endpoint, message_id: str, body: Mapping[str, Any]) -> Outcome:
        raw = encoded(body)
        signature_headers = signed_headers(message_id, int(self._now()), raw, endpoint.keys)
        headers = {**endpoint.headers, "Content-Type": "application/json", **signature_headers}
        return self._http_sender.post(endpoint.url, raw, headers)

    def _receiver(self, entry: OutboxEntry) -> Endpoint | None:
        if entry.endpoint != CALLBACK:
            return self.endpoints.get(entry.endpoint.removeprefix(PREFIX))
        root = self._store.job(entry.root_id)
        if root is None or root.callback is None:
            return None
        return Endpoint(name=CALLBACK, url=root.callback.url, keys=self._callback_keys)


def encoded(body: Mapping[str, Any]) -> bytes:
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    if len(raw) <= MOST_BODY:
        return raw
    data = {**body["data"], "needs": [], "labels": {}, "shortened": True}
    return json.dumps({**body, "data": data}, ensure_ascii=False).encode("utf-8", "replace")
