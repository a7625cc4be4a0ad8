"""Starts wait while the server has few free descriptors."""

import os
import resource
from pathlib import Path

from orchestrator.core.model.states import WaitKind
from orchestrator.engine.runtime import machine_headroom
from orchestrator.engine.runtime.machine_headroom import (
    LEAST_DESCRIPTORS,
    Bounds,
    DiskReserve,
    Headroom,
    Readings,
)


def test_each_start_takes_one_and_some_are_kept(tmp_path: Path) -> None:
    readings = Readings(
        memory=lambda: None,
        pressure=lambda: None,
        disk=lambda _: None,
        descriptors=lambda: LEAST_DESCRIPTORS + 2,
        clock=lambda: 0.0,
    )
    bounds = Bounds(least_memory_bytes=0, least_disk_bytes=0)
    reserve = DiskReserve(tmp_path, size=8192)
    room = Headroom(tmp_path, bounds, lambda agent: 0, reserve, readings).capacity()

    lacks = [room.shortage("shell") for _ in range(3)]

    assert lacks[:2] == [None, None]
    assert lacks[2] is not None and lacks[2].kind is WaitKind.DESCRIPTORS


def test_free_descriptors_are_read_from_the_kernel() -> None:
    before = machine_headroom.free_descriptors()
    opened = os.open(os.devnull, os.O_RDONLY)
    after = machine_headroom.free_descriptors()
    os.close(opened)

    assert before is not None and after == before - 1
    assert 0 < before < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
