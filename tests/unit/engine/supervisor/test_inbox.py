"""The inbox: one thread receives the messages of other threads and the launcher's events."""

import threading
import time
from collections.abc import Callable

from orchestrator.engine.supervisor.inbox import Inbox

HANG_SECONDS = 30.0


class StubLauncher:
    """A launcher that reports only the events of the test."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.wakes = 0
        self.waited: list[float | None] = []
        self.gathered: list[float] = []
        self.happens: Callable[[], None] = lambda: None

    def listen(self, seconds: float | None) -> bool:
        self.waited.append(seconds)
        self.happens()
        if seconds != 0:
            self.woken.wait(HANG_SECONDS if seconds is None else seconds)
        self.woken.clear()
        return True

    def gather(self, seconds: float) -> None:
        self.gathered.append(seconds)
        self.happens()
        self.woken.wait(seconds)

    def wake(self) -> None:
        self.wakes += 1
        self.woken.set()


def new_inbox() -> tuple[Inbox[str], StubLauncher]:
    launcher = StubLauncher()
    return Inbox(launcher), launcher


def test_existing_items_are_returned_in_order_without_waiting() -> None:
    inbox, launcher = new_inbox()
    for item in "abc":
        inbox.put(item)
    assert inbox.wait(None) == ["a", "b", "c"]
    assert launcher.waited == [0.0], "the launcher's events are still read"
    assert launcher.wakes == 0, "the inbox did not wait"


def test_a_put_from_another_thread_ends_the_wait() -> None:
    inbox, launcher = new_inbox()
    launcher.happens = threading.Thread(target=inbox.put, args=("a",)).start
    began = time.monotonic()
    assert inbox.wait(None) == ["a"]
    assert time.monotonic() - began < HANG_SECONDS


def test_reports_of_the_launcher_do_not_wake_it() -> None:
    inbox, launcher = new_inbox()
    launcher.happens = lambda: inbox.put("ended")
    assert inbox.wait(0.01) == ["ended"]
    assert launcher.wakes == 0


def test_the_wait_ends_when_its_time_is_over() -> None:
    inbox, launcher = new_inbox()
    assert inbox.wait(0.01) == []
    assert launcher.waited == [0.01]


def test_events_gather_before_the_launcher_is_listened_to() -> None:
    inbox, launcher = new_inbox()
    inbox.wait(0.0)
    assert inbox.wait(0.0, 0.5) == []
    (gathered,) = launcher.gathered
    assert 0 < gathered < 0.5, "the time since the last events counts"
    assert launcher.waited == [0.0, 0.0]


def test_nothing_gathers_if_the_work_on_the_last_events_took_long() -> None:
    inbox, launcher = new_inbox()
    inbox.wait(0.0)
    gather_seconds = 0.01
    time.sleep(gather_seconds)
    assert inbox.wait(0.0, gather_seconds) == []
    assert launcher.gathered == []


def test_a_put_from_another_thread_ends_the_gathering() -> None:
    inbox, launcher = new_inbox()
    inbox.wait(0.0)
    other = threading.Thread(target=inbox.put, args=("a",))
    launcher.happens = lambda: None if other.ident else other.start()
    began = time.monotonic()
    assert inbox.wait(0.0, HANG_SECONDS) == ["a"]
    assert time.monotonic() - began < HANG_SECONDS


def test_nothing_gathers_while_an_item_is_there() -> None:
    inbox, launcher = new_inbox()
    inbox.wait(0.0)
    inbox.put("a")
    assert inbox.wait(None, HANG_SECONDS) == ["a"]
    assert launcher.gathered == []


def test_nothing_is_lost_between_threads() -> None:
    inbox, _ = new_inbox()
    names = [f"{thread} {number}" for thread in range(4) for number in range(500)]

    def put(thread: int) -> None:
        for number in range(500):
            inbox.put(f"{thread} {number}")

    threads = [threading.Thread(target=put, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    received: list[str] = []
    deadline = time.monotonic() + HANG_SECONDS
    while len(received) < len(names) and time.monotonic() < deadline:
        received += inbox.wait(None)
    assert sorted(received) == sorted(names)
