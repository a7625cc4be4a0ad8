"""Ranges of unused ports. One worker at a time uses a range."""

import socket

from orchestrator.engine.runtime.port_ranges import (
    FIRST_PORT,
    LAST_PORT,
    PORTS_PER_WORKER,
    PortRanges,
)


def test_no_two_workers_have_the_same_range() -> None:
    ranges = PortRanges()
    found = [ranges.take(f"a{number}", skip_used=False) for number in range(1000)]
    assert len(set(found)) == 1000
    assert all(
        FIRST_PORT <= each <= LAST_PORT - PORTS_PER_WORKER and not each % PORTS_PER_WORKER
        for each in found
    )


def test_a_released_port_range_is_assigned_again() -> None:
    ranges = PortRanges()
    for number in range(10_000):
        ranges.take(f"a{number}", skip_used=False)
        ranges.release(f"a{number}")
    assert ranges.take("last", skip_used=False) >= FIRST_PORT


def test_a_port_range_in_which_a_program_listens_is_omitted() -> None:
    ranges = PortRanges()
    before = ranges.take("before", skip_used=True)
    following = before + PORTS_PER_WORKER if before + PORTS_PER_WORKER < LAST_PORT else FIRST_PORT
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", following + 3))
        listener.listen()
        assert ranges.take("after", skip_used=True) != following


def test_a_range_in_use_is_skipped_when_all_ranges_were_allocated_once() -> None:
    ranges = PortRanges()
    in_use = ranges.take("running", skip_used=False)
    for number in range(2 * (LAST_PORT - FIRST_PORT) // PORTS_PER_WORKER):
        assert ranges.take(f"a{number}", skip_used=False) != in_use
        ranges.release(f"a{number}")
