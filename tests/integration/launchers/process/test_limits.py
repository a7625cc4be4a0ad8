"""Limits of one worker: they are enforced, and the worker's end names the reached limit."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.containment import cgroup
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    WorkerLimits,
)
from orchestrator.launchers.local.containment_selection import select_containment
from orchestrator.system import process_table
from tests.integration.launchers.conftest import Stage, open_stage

MIB = 1024 * 1024
LIMITS = WorkerLimits(memory=200 * MIB, processes=20, file_size=MIB, open_files=64)
PYTHON = (sys.executable, "-S", "-E", "-c")


@pytest.fixture(params=list(Mode)[1:])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A launcher with limits, in every containment mode."""
    stage = open_stage(tmp_path, ContainmentSettings(mode=request.param, limits=LIMITS))
    yield stage
    stage.close()


def test_what_stays_below_its_limits_is_left_alone(limited: Any) -> None:
    ended = limited.shell("a", "sleep 0.5 & head -c 1000 /dev/zero > file; wait; exit 3")
    assert (ended.ended_by, ended.code, ended.error) == (EndedBy.EXIT, 3, "")


def test_too_much_memory_ends_a_worker_with_all_it_started(limited: Any) -> None:
    script = "import time; kept = bytearray(300 << 20); kept[::4096] = b'x' * len(kept[::4096]); "
    started = time.monotonic()
    ended = limited.run("a", "sh", "-c", '"$0" "$@" & wait', *PYTHON, f"{script}time.sleep(60)")
    assert ended.ended_by is EndedBy.LIMIT
    assert ended.error == "killed: used more than 200 MiB of memory (workers.limits.memory)"
    assert time.monotonic() - started < 30
    assert process_table.marked(limited.id("a")) == []


def test_too_many_processes_end_a_worker(limited: Any) -> None:
    script = "for i in $(seq 1 40); do sleep 60 & done; wait"
    ended = limited.shell("a", script)
    assert ended.ended_by is EndedBy.LIMIT
    reason = "needed more than 20 processes and threads (workers.limits.processes)"
    assert ended.error == reason
    assert process_table.marked(limited.id("a")) == []


def test_too_large_a_file_ends_its_writer(limited: Any) -> None:
    for name, script in (("a", "exec head -c 3000000 /dev/zero > file"), ("b", "yes > file")):
        ended = limited.shell(name, script)
        assert ended.ended_by is EndedBy.LIMIT
        assert ended.error == "killed: wrote a file larger than 1 MiB (workers.limits.file_size)"
    assert (limited.directory / "file").stat().st_size == MIB


def test_the_log_is_bounded_by_its_own_limit_alone(limited: Any) -> None:
    ended = limited.shell("a", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert (ended.code, ended.log_bytes) == (0, 3_000_000)


def test_the_limit_on_open_files_cannot_be_raised(limited: Any) -> None:
    ended = limited.shell("a", "ulimit -n; ulimit -Hn; ulimit -n 65")
    assert limited.log("a").startswith(b"64\n64\n") and ended.code != 0


def test_without_a_limit_sigxfsz_is_an_ordinary_signal(stage: Any) -> None:
    ended = stage.shell("a", "kill -XFSZ $$")
    assert (ended.ended_by, ended.signal) == (EndedBy.EXIT, 25)


def test_a_log_keeps_its_beginning_and_its_end(stage: Any) -> None:
    ended = stage.shell("a", "seq 1 100000", log_limit_bytes=64 * 1024)
    log = stage.log("a")
    assert ended.log_truncated and len(log) < 70 * 1024
    assert log.startswith(b"1\n2\n3\n") and log.endswith(b"\n100000\n")
    assert b"bytes dropped" in log


def test_limits_become_files_of_the_worker_s_group() -> None:
    limits = {"cpu": 0.5, "memory": 1000, "processes": 20}
    assert cgroup.control_files(limits, ("cpu", "memory", "pids")) == {
        "cpu.max": "50000 100000",
        "memory.max": "1000",
        "memory.oom.group": "1",
        "pids.max": "20",
    }
    assert cgroup.control_files(limits, ()) == {}


def test_the_counters_of_a_group_name_the_exceeded_limit(tmp_path: Path) -> None:
    limits = {"memory": 512 * MIB, "processes": 20}
    assert cgroup.limit_hit(str(tmp_path), limits) == ""
    (tmp_path / "memory.events").write_text("low 0\noom 0\noom_kill 1\n")
    assert cgroup.limit_hit(str(tmp_path), limits) == "", "the machine had no memory left"
    (tmp_path / "pids.events").write_text("max 3\n")
    reason = "needed more than 20 processes and threads (workers.limits.processes)"
    assert cgroup.limit_hit(str(tmp_path), limits) == reason
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    reason = "killed: used more than 512 MiB of memory (workers.limits.memory)"
    assert cgroup.limit_hit(str(tmp_path), limits) == reason


@pytest.mark.parametrize("mode", list(Mode)[1:])
def test_limits_that_a_mode_does_not_enforce_exactly_are_named(mode: Mode) -> None:
    containment = ContainmentSettings(
        mode=mode, limits=WorkerLimits(cpu=0.5, memory=MIB, processes=5, open_files=64)
    )
    notes = "\n".join(containment.weaknesses())
    for name in ("cpu", "memory", "processes"):
        assert f"workers.limits.{name} " in notes
    assert "open_files" not in notes
    assert containment.exact_limits() == ["open_files"]


def test_a_group_with_its_controllers_holds_all() -> None:
    limits = WorkerLimits(cpu=0.5, memory=MIB, processes=5)
    containment = ContainmentSettings(
        mode=Mode.CGROUP, limits=limits, controllers=("cpu", "memory", "pids")
    )
    assert list(containment.weaknesses()) == []
    assert containment.exact_limits() == ["cpu", "memory", "processes"]


def test_limits_that_are_not_held_exactly_are_named_in_one_line() -> None:
    limits = WorkerLimits(cpu=0.5, memory=MIB, file_size=9)
    assert ContainmentSettings(mode=Mode.SUBREAPER, limits=limits).notice() == (
        "this machine does not enforce these limits exactly: workers.limits.cpu (not at all), "
        "workers.limits.memory; see: bin/orchestrator doctor"
    )
    assert ContainmentSettings(mode=Mode.SUBREAPER, limits=WorkerLimits(file_size=9)).notice() == ""


def test_a_strict_limit_that_is_not_held_exactly_is_refused_with_what_to_do() -> None:
    containment = ContainmentSettings(
        mode=Mode.SUBREAPER, strict=True, limits=WorkerLimits(cpu=0.5, memory=MIB, file_size=9)
    )
    with pytest.raises(ContainmentUnavailable) as refused:
        select_containment(containment)
    message = refused.value.message
    assert message.startswith(
        "workers.limits.strict is true, but this machine does not enforce these limits exactly: "
        "workers.limits.cpu (not at all), workers.limits.memory (an exact limit needs "
        "workers.containment: cgroup, not subreaper); "
    )
    assert "start the server in a delegated control group: systemd-run" in message
    assert "set workers.containment: auto" in message
    assert message.endswith("; or set workers.limits.strict: false")


def test_strict_limits_that_the_kernel_holds_are_accepted() -> None:
    limits = WorkerLimits(file_size=MIB, open_files=64)
    assert select_containment(ContainmentSettings(strict=True, limits=limits)).limits == limits
    assert select_containment(ContainmentSettings(strict=True)).strict


def test_watching_many_idle_workers_costs_little(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.SUBREAPER, limits=LIMITS))
    stage.start("a", "sleep", "60")
    stage.reports.pid("a")
    shim = stage.shim()
    before = _cpu_ticks(shim)
    time.sleep(2.0)
    assert _cpu_ticks(shim) - before < 0.1 * 2.0 * os.sysconf("SC_CLK_TCK")
    stage.close()


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
