"""Reading processes: their open files, their directories, and their start times."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.system import process_table

#: Linux has no larger process id.
NOBODY = 4194305


def command_of(pid: int) -> str:
    process = process_table.look_up(pid)
    return process.command if process else ""


@contextmanager
def sleeping(directory: Path, program: str = "sleep") -> Iterator[int]:
    with subprocess.Popen([program, "60"], cwd=directory) as process:
        try:
            give_up_at = time.monotonic() + 10
            # The kernel sets a program's name shortly after the exec has closed descriptors.
            while command_of(process.pid) != os.path.basename(program):
                assert time.monotonic() < give_up_at
                time.sleep(0.001)
            yield process.pid
        finally:
            process.kill()


def test_an_open_file_is_found_by_its_link(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w"):
        links = process_table.open_files(os.getpid())
        assert os.path.realpath(path) in map(os.path.realpath, links)
    links = process_table.open_files(os.getpid())
    assert os.path.realpath(path) not in map(os.path.realpath, links)
    assert process_table.open_files(NOBODY) == []


def test_a_process_has_a_directory_until_it_has_exited(tmp_path: Path) -> None:
    with sleeping(tmp_path) as pid:
        assert process_table.working_directory(pid) == os.path.realpath(tmp_path)
    assert process_table.working_directory(pid) == ""


def test_a_program_is_found_in_a_directory_and_below_it(tmp_path: Path) -> None:
    # The name is unique, so that no process of another test has it.
    program = tmp_path / f"s{os.getpid()}"
    shutil.copy(shutil.which("sleep") or "", program)
    place, inner = tmp_path / "place", tmp_path / "place" / "inner"
    inner.mkdir(parents=True)
    name = program.name.encode()

    with sleeping(inner, str(program)):
        assert process_table.may_run_in(str(place), name)
        assert process_table.may_run_in(str(inner), name[:-1])
        assert not process_table.may_run_in(str(tmp_path / "pla"), name)
        assert not process_table.may_run_in(str(place), name + b"x")
    assert not process_table.may_run_in(str(place), name)


def test_a_process_in_an_unreadable_directory_may_run_in_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / f"u{os.getpid()}"
    shutil.copy(shutil.which("sleep") or "", program)

    def refuse(path: str) -> str:
        raise PermissionError(path)

    with sleeping(tmp_path, str(program)):
        monkeypatch.setattr(os, "readlink", refuse)
        assert process_table.may_run_in("/nowhere", program.name.encode())
        assert not process_table.may_run_in("/nowhere", b"u-not-a-program")


def test_a_program_is_found_by_its_name_and_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sleeping(tmp_path) as pid:
        assert process_table.is_own_program(pid, "sl")
        assert not process_table.is_own_program(pid, "sleeper")
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert not process_table.is_own_program(pid, "sl")
    assert not process_table.is_own_program(pid, "sl")


def test_the_start_of_a_process_is_a_time_of_the_wall_clock(tmp_path: Path) -> None:
    before = time.time()
    with sleeping(tmp_path) as pid:
        process = process_table.look_up(pid)
        assert process is not None
        started = process_table.start_time(process)
    # The kernel counts whole seconds at boot, and ticks after the boot.
    assert started is not None and abs(started - before) < 2.0


def test_processes_of_one_container_have_the_same_pid_namespace() -> None:
    assert process_table.pid_namespace() == os.stat("/proc/self/ns/pid").st_ino


def test_usable_processors_are_counted_with_and_without_an_affinity_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert process_table.usable_processors() == 3

    # macOS has no affinity masks.
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert process_table.usable_processors() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert process_table.usable_processors() == 1
