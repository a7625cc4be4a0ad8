"""Signatures of incoming events, with published vectors."""

import hashlib
import hmac
from typing import Any

import pytest

from orchestrator.outbox import webhooks as outbox
from orchestrator.security.secrets.trigger_verification import (
    TOLERANCE_SECONDS,
    Verification,
    is_verified,
)

#: From GitHub's documentation, "Validating webhook deliveries".
GITHUB_SECRET, GITHUB_BODY = "It's a Secret to Everybody", b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#: From the specification of Standard Webhooks.
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_AT = 1614265330
STANDARD_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(STANDARD_AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def github(signature: str, body: bytes = GITHUB_BODY) -> bool:
    headers = {"x-hub-signature-256": signature}
    return is_verified(Verification.GITHUB, GITHUB_SECRET, headers, body, 0)


def test_a_published_signature_of_github_is_accepted() -> None:
    assert github(GITHUB_SIGNATURE)
    assert not github(GITHUB_SIGNATURE, GITHUB_BODY + b" ")
    assert not github(GITHUB_SIGNATURE.upper())
    assert not github("")
    sha1 = hmac.new(GITHUB_SECRET.encode(), GITHUB_BODY, hashlib.sha1).hexdigest()
    assert not github(f"sha1={sha1}")


def standard(now: float = STANDARD_AT, **changed: str) -> bool:
    headers: dict[str, Any] = {**STANDARD_HEADERS, **changed}
    return is_verified(Verification.STANDARD, STANDARD_SECRET, headers, STANDARD_BODY, now)


def test_a_published_signature_of_standard_webhooks_is_accepted() -> None:
    assert standard()
    both = f"v1,AAAA v1a,x {STANDARD_HEADERS['webhook-signature']}"
    assert standard(**{"webhook-signature": both})
    assert not standard(**{"webhook-id": "msg_other"})
    assert not standard(**{"webhook-signature": "v1,AAAA"})


def test_a_message_of_our_own_outbox_is_accepted() -> None:
    keys = [outbox.key_of(secret) for secret in ("a" * 32, STANDARD_SECRET)]
    signed = outbox.signed_headers("msg_1", STANDARD_AT, b"{}", keys)
    for secret in ("a" * 32, STANDARD_SECRET):
        assert is_verified(Verification.STANDARD, secret, signed, b"{}", STANDARD_AT)
    assert not is_verified(Verification.STANDARD, "b" * 32, signed, b"{}", STANDARD_AT)


@pytest.mark.parametrize("seconds", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1])
def test_an_old_event_is_not_accepted(seconds: int) -> None:
    assert not standard(now=STANDARD_AT + seconds)
    assert not standard(**{"webhook-timestamp": "²"})


@pytest.mark.parametrize(
    ("how", "name", "prefix"),
    [
        (Verification.GITLAB, "x-gitlab-token", ""),
        (Verification.BEARER, "authorization", "Bearer "),
    ],
)
def test_a_secret_may_be_sent_itself(how: Verification, name: str, prefix: str) -> None:
    assert is_verified(how, "a-secret", {name: f"{prefix}a-secret"}, b"", 0)
    assert not is_verified(how, "a-secret", {name: f"{prefix}a-secre"}, b"", 0)
    assert not is_verified(how, "a-secret", {}, b"", 0)
