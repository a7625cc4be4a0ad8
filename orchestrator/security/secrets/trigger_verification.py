"""Checks the signatures of incoming events, which prove that the sender knows the secret."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum

#: Maximum difference between the signed time of an event and this clock, in seconds.
TOLERANCE_SECONDS = 300


class Verification(StrEnum):
    """How a sender proves that it knows the secret."""

    #: X-Hub-Signature-256: HMAC of the body
    GITHUB = "github"
    #: X-Gitlab-Token: the secret itself
    GITLAB = "gitlab"
    #: webhook-signature of Standard Webhooks: HMAC of id, time, and body
    STANDARD = "standard"
    #: Authorization: Bearer, and the secret itself
    BEARER = "bearer"


def is_verified(
    how: Verification, secret: str, headers: Mapping[str, str], body: bytes, now: float
) -> bool:
    """True if the sender of the event knows the secret. Compares in constant time.

    ``headers`` have names in lower case. ``body``: the raw bytes. ``now``: Unix time.
    """
    if how is Verification.GITHUB:
        expected = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
        return _equal(headers.get("x-hub-signature-256", ""), expected)
    if how is Verification.GITLAB:
        return _equal(headers.get("x-gitlab-token", ""), secret)
    if how is Verification.BEARER:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _equal(token.strip(), secret)
    return _is_standard(secret, headers, body, now)


def _is_standard(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    signatures = headers.get("webhook-signature", "").split()
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        return False
    mac = hmac.new(key_of(secret), f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = f"v1,{base64.b64encode(mac.digest()).decode()}"
    # Compare every signature: during a change of its secret, a sender signs with the old and with
    # the new secret.
    matches = sum(_equal(each, expected) for each in signatures)
    return bool(event_id) and matches > 0 and abs(now - int(timestamp)) <= TOLERANCE_SECONDS


def key_of(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret: base64, with or without ``whsec_``.

    If the secret is not base64, its text is the key.
    """
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def _equal(received: str, expected: str) -> bool:
    return hmac.compare_digest(received.encode("utf-8", "replace"), expected.encode())
