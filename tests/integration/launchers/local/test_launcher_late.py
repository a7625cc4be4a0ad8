"""If an attempt is started twice, the result of the first start is found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.exit_record import exit_record
from orchestrator.system import process_table

SHIM = Path(__file__).parents[3] / "fixtures" / "old_shim.py"
ENDED = {"attempt": "a", "ended_by": "exit", "code": 7}


def test_an_existing_result_is_accepted(stage: Any) -> None:
    (stage.directory / "a.json").write_text(json.dumps(ENDED) + "\n")

    ended = stage.run("a", "touch", "again")

    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 7)
    assert not (stage.directory / "again").exists()


def test_a_running_attempt_is_adopted_and_its_result_accepted(stage: Any) -> None:
    gate = stage.directory / "gate"
    path = str(stage.directory / "a.json")
    with subprocess.Popen(
        [sys.executable, SHIM, path, stage.id("a"), gate, "known"], stdout=subprocess.PIPE
    ) as shim:
        assert shim.stdout is not None and shim.stdout.readline() == b"ready\n"
        stage.start("a", "touch", "again")
        # This shim ends after the other shim was rejected, because one thread serves both.
        assert stage.shell("b", "exit 3").code == 3
        gate.touch()
        ended = stage.reports.exit("a")

    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 0)
    assert not (stage.directory / "again").exists()


def test_the_holder_of_a_lock_is_known_to_the_kernel(stage: Any) -> None:
    gate = stage.directory / "gate"
    path = str(stage.directory / "a.json")
    assert process_table.lock_holder(path) is None
    with subprocess.Popen(
        [sys.executable, SHIM, path, stage.id("a"), gate, "unknown"], stdout=subprocess.PIPE
    ) as shim:
        assert shim.stdout is not None and shim.stdout.readline() == b"ready\n"
        ticks = process_table.start_ticks(shim.pid)
        assert exit_record.attempt_state(path) == exit_record.LivingShim(
            shim_pid=shim.pid, start_ticks=ticks or 0
        )
        gate.touch()
