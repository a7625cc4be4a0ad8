"""API keys and the keys of attempts: random, stored as hashes, compared in constant time."""

import hashlib
import hmac
import secrets
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Scope
from orchestrator.core.ports.launcher import Proof


def new_key() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Return the key's SHA-256 in hexadecimal. Keys are random, so a slow hash is not needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_proof() -> Proof:
    """Return a new secret and its digest. The secret proves that an exit record is genuine.

    Store only the digest.
    """
    secret = secrets.token_hex(32)
    return Proof(hash_key(secret), secret)


@dataclass(frozen=True, slots=True)
class Holder:
    name: str
    scopes: frozenset[Scope]


#: The holder of ``api.api_key``, as named in reports and in the audit log.
DEFAULT = Holder("default", frozenset({Scope.ADMIN}))


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The API keys of people and programs. ``holders``: holders of keys, by the hash of the key."""

    holders: dict[str, Holder] = field(default_factory=dict)

    @classmethod
    def single(cls, key: str) -> "ApiKeys":
        return cls({hash_key(key): DEFAULT})

    def holder_of(self, key: str) -> Holder | None:
        """Return the holder of a key; None if the key is invalid.

        The call takes the same time for a valid and an invalid key.
        """
        key_hash, key_holder = hash_key(key), None
        for known_hash, holder in self.holders.items():
            if hmac.compare_digest(key_hash, known_hash):
                key_holder = holder
        return key_holder
