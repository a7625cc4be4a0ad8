"""A worker's memory: its share of mapped memory, and its files in /dev/shm."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    WorkerLimits,
)
from orchestrator.launchers.process.worker_limits import LimitWatch, Memory
from orchestrator.system import process_table
from tests.integration.launchers.conftest import open_stage
from tests.support.examples import nightly

MIB = 1024 * 1024
PYTHON = (sys.executable, "-S", "-E", "-c")
#: Program that uses MIBS of one kind of memory, and keeps running.
FILE = "import os; file = open('/dev/shm/' + NAME, 'wb', 0); os.unlink(file.name); "
USES = {
    "shared map": "import mmap; kept = mmap.mmap(-1, MIBS << 20); "
    "kept[::4096] = b'x' * (MIBS << 8); ",
    "file in /dev/shm": FILE + "[file.write(MIB) for _ in range(MIBS)]; ",
    "memfd": "import os; f = os.memfd_create('m'); [os.write(f, MIB) for _ in range(MIBS)]; ",
}
NAME = f"orchestrator-test-{uuid.uuid4().hex}"


def script(use: str, mibs: int, after: str = "") -> str:
    return f"NAME, MIBS, MIB = {NAME!r}, {mibs}, b'x' * (1 << 20); {USES[use]}{after}"


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("mode", [*nightly(Mode.SUBREAPER, Mode.PIDNS), Mode.SANDBOX, Mode.BASIC])
def test_shared_memory_counts(mode: Mode, use: str, tmp_path: Path) -> None:
    stage = open_stage(
        tmp_path, ContainmentSettings(mode=mode, limits=WorkerLimits(memory=100 * MIB))
    )
    ended = stage.run("a", *PYTHON, script(use, 150, "import time; time.sleep(60)"))
    assert ended.ended_by is EndedBy.LIMIT
    assert ended.error == "killed: used more than 100 MiB of memory (workers.limits.memory)"
    stage.close()


@pytest.fixture
def begin() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Yield a function that starts a Python program, and returns when it has written a line."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(text: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([*PYTHON, text], stdin=pipe, stdout=pipe)
        begun.append(process)
        step(process, b"")
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def step(process: subprocess.Popen[bytes], line: bytes = b"\n") -> None:
    """Let a program continue until it writes its next line."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"


WAIT = "print('ready', flush=True); input(); "


def used(memory: Memory, *pids: int) -> int:
    """Return the memory in MiB, rounded down to tens, because the interpreter uses some MiB."""
    found = [member for pid in pids for member in (process_table.look_up(pid),) if member]
    found += [member for pid in pids for member in process_table.descendants(pid)]
    assert not memory.exceeds(10**12, found)
    least, most = 0, 10**9
    while most - least > MIB:
        middle = (least + most) // 2
        least, most = (middle, most) if memory.exceeds(middle, found) else (least, middle)
    return least // MIB // 10 * 10


def test_what_processes_share_counts_once(begin: Callable[..., subprocess.Popen[bytes]]) -> None:
    text = f"""import os
{script("shared map", 100)}
done, touched = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        kept[::4096]
        os.write(touched, b"x")
        os.read(0, 1)
        os._exit(0)
for _ in range(3):
    os.read(done, 1)
{WAIT}"""
    assert used(Memory(), begin(text).pid) in (100, 110, 120)


def test_a_file_that_is_held_and_mapped_counts_once(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    text = f"import mmap, os; NAME = {NAME!r}; " + FILE.replace("'wb'", "'w+b'")
    text += "file.truncate(100 << 20); kept = mmap.mmap(file.fileno(), 0); "
    text += "half = b'x' * (50 << 20); kept[:50 << 20] = half; "
    text += "os.pwrite(file.fileno(), half, 50 << 20); del half; "
    assert used(Memory(), begin(text + WAIT).pid) in (100, 110)


def test_a_file_counts_after_its_writer_closed_and_renamed_it(
    begin: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    place = f"/dev/shm/{NAME}"
    text = f"import os; place = {place!r}; file = open(place, 'wb', 0); " + WAIT
    text += "[file.write(b'x' * (1 << 20)) for _ in range(100)]; file.close(); "
    text += "os.rename(place, place + '.1'); " + WAIT
    text += "os.unlink(place + '.1'); " + WAIT
    process, memory = begin(text), Memory()
    try:
        assert used(memory, process.pid) in (0, 10)
        step(process)
        assert used(memory, process.pid) in (100, 110)
        assert used(Memory(), process.pid) in (0, 10), "was not seen to write it"
        step(process)
        assert used(memory, process.pid) in (0, 10)
    finally:
        for each in (place, f"{place}.1"):
            Path(each).unlink(missing_ok=True)


def test_a_file_of_another_that_is_only_read_does_not_count(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    place = Path(f"/dev/shm/{NAME}")
    try:
        place.write_bytes(b"x" * 50 * MIB)
        process = begin(f"file = open({str(place)!r}, 'rb'); file.read(9); " + WAIT)
        assert used(Memory(), process.pid) in (0, 10)
    finally:
        place.unlink()


def test_a_mapped_file_on_disk_does_not_count(
    begin: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(b"x" * 50 * MIB)
    text = f"import mmap; file = open({str(tmp_path / 'large')!r}, 'rb'); "
    text += "kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); kept[::4096]; "
    assert used(Memory(), begin(text + WAIT).pid) in (0, 10)


def test_memory_that_a_group_limits_is_not_watched() -> None:
    assert LimitWatch({"memory": 100 * MIB}, enforced=["memory"]).due is None
