"""API keys."""

from orchestrator.security.secrets.api_keys import DEFAULT, ApiKeys, hash_key, new_key


def test_a_key_is_known_by_its_hash_alone() -> None:
    key = new_key()
    keys = ApiKeys.single(key)

    assert keys.holder_of(key) == DEFAULT
    assert keys.holder_of(key + "x") is None
    assert keys.holder_of("") is None
    assert keys.holder_of("\udc80 not text") is None
    assert key not in repr(keys)
    assert hash_key(key) in keys.holders


def test_keys_are_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert min(map(len, keys)) >= 43
