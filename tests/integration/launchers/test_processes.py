"""Finding the processes of an attempt, whatever they are doing at that moment."""

import subprocess
from pathlib import Path

from orchestrator.launchers import processes


def test_a_process_that_becomes_another_program_keeps_its_mark(tmp_path: Path) -> None:
    script = tmp_path / "again.sh"
    script.write_text(f"exec /bin/sh '{script}'\n")
    env = {processes.MARKER: "a/b/1"}
    with subprocess.Popen(["/bin/sh", str(script)], env=env) as process:
        try:
            missed = sum(not processes.carries(process.pid, "a/b/1") for _ in range(30_000))
        finally:
            process.kill()
    assert missed == 0


def test_a_process_without_an_environment_is_nobodys() -> None:
    with subprocess.Popen(["sleep", "60"], env={}) as process:
        try:
            assert not processes.carries(process.pid, "a/b/1")
            assert processes.look_up(process.pid) is not None
        finally:
            process.kill()
