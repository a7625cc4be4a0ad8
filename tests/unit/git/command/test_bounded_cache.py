from orchestrator.git.command.bounded_cache import BoundedCache


def test_the_oldest_value_is_removed_first() -> None:
    cache = BoundedCache[str, int](2)
    for number, key in enumerate(["one", "two", "one", "three"]):
        cache.put(key, number)

    assert [cache.get(key) for key in ("one", "two", "three")] == [2, None, 3]


def test_a_dropped_value_is_removed() -> None:
    cache = BoundedCache[str, int](2)
    cache.put("one", 1)

    cache.drop("one")
    cache.drop("one")

    assert cache.get("one") is None
