"""Capacity of the machine for one more worker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.model.machines import Shortage
from orchestrator.core.model.states import WaitKind
from orchestrator.engine.runtime.machine_headroom import (
    FRESH_SECONDS,
    MIB,
    SETTLE_SECONDS,
    Bounds,
    DiskReserve,
    Headroom,
    Readings,
    available_memory_bytes,
    free_disk_bytes,
    memory_pressure_percent,
)

BOUNDS = Bounds(least_memory_bytes=100 * MIB, least_disk_bytes=10 * MIB, most_pressure=40.0)


class FakeMachine:
    def __init__(self) -> None:
        self.memory: int | None = 1000 * MIB
        self.pressure: float | None = 0.0
        self.disk: int | None = 1000 * MIB
        self.moved = ""
        self.now = 0.0

    def headroom(
        self, directory: Path, forecast: Callable[[str], int] = lambda agent: 300 * MIB
    ) -> Headroom:
        readings = Readings(
            memory=lambda: self.memory,
            pressure=lambda: self.pressure,
            disk=lambda _: self.disk,
            clock=lambda: self.now,
        )
        reserve = DiskReserve(directory, size=8192)
        return Headroom(
            directory, BOUNDS, forecast, reserve, readings, moved_error=lambda: self.moved
        )


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def headroom(machine: FakeMachine, tmp_path: Path) -> Headroom:
    return machine.headroom(tmp_path)


def test_workers_that_have_just_started_count_with_what_they_are_expected_to_need(
    machine: FakeMachine, headroom: Headroom
) -> None:
    room = headroom.capacity()

    assert [room.shortage("a") is None for _ in range(4)] == [True, True, True, False]
    assert headroom.held_back
    machine.now += SETTLE_SECONDS
    assert headroom.capacity().shortage("a") is None
    assert not headroom.held_back


def test_expected_memory_of_a_worker_is_free_after_its_end(
    machine: FakeMachine, headroom: Headroom
) -> None:
    room = headroom.capacity()
    assert [room.shortage("a") is None for _ in range(4)] == [True, True, True, False]

    headroom.worker_ended("a", SETTLE_SECONDS)  # no memory is reserved for the worker any more
    assert room.shortage("a") is not None
    headroom.worker_ended("a", 0.1)
    assert [room.shortage("a") is None for _ in range(2)] == [True, False]


def test_an_end_frees_nothing_that_others_are_expected_to_need(
    machine: FakeMachine, tmp_path: Path
) -> None:
    needs = {"small": 100 * MIB, "large": 800 * MIB}
    headroom = machine.headroom(tmp_path, needs.__getitem__)
    room = headroom.capacity()
    assert room.shortage("large") is None

    headroom.worker_ended("small", 0.1)
    assert room.shortage("large") is not None


def test_a_lack_names_its_setting(machine: FakeMachine, headroom: Headroom) -> None:
    machine.memory = 399 * MIB

    assert headroom.capacity().shortage("a") == Shortage(
        WaitKind.MEMORY,
        "waiting for memory: needs 300 MiB plus a reserve of 100 MiB "
        "(workers.min_available_memory_bytes), 399 MiB available",
    )


def test_nothing_starts_while_processes_wait_for_memory(
    machine: FakeMachine, headroom: Headroom
) -> None:
    machine.pressure = 41.0

    shortage = headroom.capacity().shortage("a")

    assert shortage is not None and "memory pressure 41 %" in shortage.reason


def test_a_machine_without_readings_holds_no_start_back(
    machine: FakeMachine, headroom: Headroom
) -> None:
    machine.memory = machine.pressure = machine.disk = None

    room = headroom.capacity()

    assert (room.paused, room.shortage("a")) == (None, None)


def test_a_reading_is_good_for_a_while(machine: FakeMachine, headroom: Headroom) -> None:
    headroom.capacity()
    machine.disk = 0

    assert headroom.capacity().paused is None
    machine.now += FRESH_SECONDS
    paused = headroom.capacity().paused
    assert paused is not None and paused.kind is WaitKind.DISK
    assert paused.reason.startswith("waiting for disk space: 0 MiB free under ")


def test_a_full_disk_pauses_and_room_on_it_resumes(
    machine: FakeMachine, headroom: Headroom, caplog: pytest.LogCaptureFixture
) -> None:
    machine.disk = 9 * MIB
    assert headroom.capacity().paused is not None
    assert "10 MiB needed (workers.min_free_disk_bytes)" in headroom.paused
    assert headroom.held_back

    machine.disk, machine.now = 10 * MIB, FRESH_SECONDS
    assert headroom.capacity().paused is None
    assert [record.message for record in caplog.records][-1].startswith("disk space is free again")


def test_a_project_that_was_moved_and_moved_back_is_no_lack_of_disk_space(
    machine: FakeMachine, headroom: Headroom, caplog: pytest.LogCaptureFixture
) -> None:
    machine.moved = "/w was moved"
    assert headroom.capacity().paused is not None

    machine.moved, machine.now = "", FRESH_SECONDS
    assert headroom.capacity().paused is None
    assert "in place again" in caplog.records[-1].message


def test_disk_space_is_reserved_for_the_last_state_and_released_for_it(
    machine: FakeMachine, headroom: Headroom, tmp_path: Path
) -> None:
    reserve = tmp_path / ".disk-reserve"
    headroom.capacity()
    assert reserve.stat().st_size == 8192

    headroom.store_failed()
    assert not reserve.exists()
    headroom.capacity()
    assert headroom.held_back, "the scheduler checks again although no event may follow"

    machine.disk, machine.now = 0, FRESH_SECONDS
    headroom.capacity()
    assert not reserve.exists()
    machine.disk, machine.now = 1000 * MIB, 2 * FRESH_SECONDS
    headroom.capacity()
    assert not headroom.held_back
    assert reserve.stat().st_blocks * 512 >= 8192

    headroom.close()
    assert not reserve.exists()


def test_a_reserve_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "nowhere")

    reserve.hold()

    assert not reserve.release()


def test_memory_pressure_and_disk_are_read_from_the_kernel(tmp_path: Path) -> None:
    available, pressure = available_memory_bytes(), memory_pressure_percent()

    assert available is not None
    assert 2**20 < available < 2**50
    assert pressure is None or 0.0 <= pressure <= 100.0
    assert free_disk_bytes(tmp_path)
    assert free_disk_bytes(tmp_path / "missing") is None
