"""Authenticates callers: finds the caller to which a key belongs, or raises Unauthorized."""

from collections.abc import Callable

from orchestrator.core.errors import INVALID_KEY, Unauthorized
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Attempt
from orchestrator.core.ports import Store
from orchestrator.security.secrets.api_keys import ApiKeys, hash_key


class Callers:
    """Finds callers: the holders of API keys, and the workers, which have keys of attempts."""

    def __init__(
        self, store: Store, keys: ApiKeys, heard_from: Callable[[Attempt], object]
    ) -> None:
        """``heard_from``: called with a worker's attempt, each time the worker uses its key."""
        self._store, self._keys, self._heard_from = store, keys, heard_from

    def of_key(self, key: str | None) -> Caller:
        """Return the caller that has the key.

        Raise Unauthorized if the key is unknown, or belongs to an attempt that has ended.
        """
        if not key:
            raise Unauthorized(
                "missing API key; send api.api_key of config.yaml in the header X-API-Key"
            )
        holder = self._keys.holder_of(key)
        if holder is not None:
            return Caller(name=holder.name, scopes=holder.scopes)
        attempt = self._store.attempt_by_token(hash_key(key))
        if attempt is None:
            raise Unauthorized(INVALID_KEY)
        self._heard_from(attempt)
        return Caller(name=attempt.worker_id, attempt=attempt)

    def of_key_hash(self, key_hash: str) -> Caller:
        """Return the holder of the API key with this hash. Raise Unauthorized for a removed key."""
        holder = self._keys.holders.get(key_hash)
        if holder is None:
            raise Unauthorized("the API key of this session was removed; log in again")
        return Caller(name=holder.name, scopes=holder.scopes)
