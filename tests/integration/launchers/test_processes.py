"""Finding the processes of an attempt, in any state."""

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.system import process_table


def test_a_process_that_becomes_another_program_keeps_its_mark(tmp_path: Path) -> None:
    script = tmp_path / "again.sh"
    script.write_text(f"exec /bin/sh '{script}'\n")
    env = {process_table.MARKER: "a/b/1"}
    with subprocess.Popen(["/bin/sh", str(script)], env=env) as process:
        try:
            missed = sum(
                not process_table.pids_with_marker([process.pid], "a/b/1") for _ in range(10_000)
            )
        finally:
            process.kill()
    assert missed == 0


def test_a_process_without_an_environment_is_nobodys() -> None:
    with subprocess.Popen(["sleep", "60"], env={}) as process:
        try:
            assert not process_table.pids_with_marker([process.pid], "a/b/1")
            assert process_table.look_up(process.pid) is not None
        finally:
            process.kill()


def test_many_processes_without_an_environment_cost_one_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        # Its output shows that the process has become its program.
        started = [
            stack.enter_context(
                subprocess.Popen(["/bin/sh", "-c", "echo; read x"], env={}, stdin=-1, stdout=-1)
            )
            for _ in range(20)
        ]
        assert [each.stdout.readline() for each in started if each.stdout] == [b"\n"] * 20
        pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", pauses.append)
        assert process_table.pids_with_marker([each.pid for each in started], "a/b/1") == []
        assert len(pauses) == 1
