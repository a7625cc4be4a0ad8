"""Signatures of messages, as the specification Standard Webhooks defines them
(standardwebhooks.com).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
#: Lengths of a secret's key, in bytes.
SHORTEST, LONGEST = 24, 64
RULE = (
    f"must be base64 of {SHORTEST} to {LONGEST} bytes, with or without {PREFIX}; create one: "
    "openssl rand -base64 32"
)


def key_of(secret: str) -> bytes:
    """Return the key of a secret. Raise ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(RULE) from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(RULE)
    return key


def signed_headers(
    message_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers of a message: one signature for each key.

    There are two keys while a secret is being replaced.
    """
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    signatures = [_signature(key, content) for key in keys]
    return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers


def _signature(key: bytes, content: bytes) -> str:
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
