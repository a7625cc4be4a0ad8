"""Objects that are created when they are first used."""

import threading
from concurrent.futures import ThreadPoolExecutor

from orchestrator.engine.runtime.lazy_object import lazy


class Part:
    created = 0

    def __init__(self) -> None:
        type(self).created += 1
        self.name = "a part"

    def double(self, number: int) -> int:
        return 2 * number


def test_a_part_is_created_by_its_first_use_and_only_once() -> None:
    Part.created = 0
    part = lazy(Part)
    assert Part.created == 0

    assert (part.double(4), part.name) == (8, "a part")

    assert Part.created == 1


def test_threads_that_use_a_part_at_the_same_time_share_it() -> None:
    Part.created = 0
    begin = threading.Barrier(4)

    def slow() -> Part:
        begin_others.wait()
        return Part()

    begin_others = threading.Event()
    part = lazy(slow)

    def use() -> int:
        begin.wait()
        return part.double(1)

    with ThreadPoolExecutor(4) as threads:
        uses = [threads.submit(use) for _ in range(4)]
        begin_others.set()
        assert [each.result() for each in uses] == [2] * 4
    assert Part.created == 1
