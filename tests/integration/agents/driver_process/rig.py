"""The driver without a server, with its control directory and a stand-in for the agent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.agents.activity import log_writers
from orchestrator.agents.activity.agent_events import AgentOutcome
from orchestrator.agents.driver_process import result_file, spec_file
from orchestrator.agents.driver_process.spec_file import Spec
from tests.integration.site import complete_lines

REPOSITORY = Path(__file__).resolve().parents[4]


@dataclass
class Rig:
    """A test rig: ``start`` runs the driver. All directories are below ``folder``."""

    folder: Path
    spec: Spec

    @property
    def control(self) -> Path:
        return self.folder / "control"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def start(
        self, stand_in: str = "answers", environ: Mapping[str, str] | None = None, **changes: Any
    ) -> subprocess.Popen[str]:
        self.control.mkdir(exist_ok=True)
        self.work.mkdir(exist_ok=True)
        self.spec = replace(self.spec, **changes)
        (self.control / spec_file.NAME).write_text(spec_file.to_json(self.spec))
        (self.work / "prompt.md").write_text("Build it")
        spec = {
            "STAND_IN": stand_in,
            "ORCHESTRATOR_WORKER_DIR": str(self.work),
            spec_file.VARIABLE: str(self.control),
        }
        with (self.work / "prompt.md").open() as prompt:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator.agents.driver_process"],
                stdin=prompt,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.work,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **spec, **(environ or {})},
            )

    def run(self, stand_in: str = "answers", **changes: Any) -> tuple[int, str, AgentOutcome]:
        """Run the driver; return exit code, log, and outcome."""
        process = self.start(stand_in, **changes)
        return self.end(process)

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, AgentOutcome]:
        try:
            log, _ = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            if self.has_begun():
                os.kill(self.recorded()["pid"], signal.SIGKILL)
            process.communicate()
            raise
        return process.returncode, log, self.outcome()

    def outcome(self) -> AgentOutcome:
        return result_file.from_json((self.control / result_file.NAME).read_bytes())

    def recorded(self) -> dict[str, Any]:
        """Return the stand-in's record of its input.

        Raise OSError or ValueError if the record is not yet written.
        """
        found: dict[str, Any] = json.loads((self.work / "given.json").read_text())
        return found

    def stream(self) -> str:
        """Return the complete lines that the driver has read so far."""
        return "\n".join(complete_lines(self.control / log_writers.STREAM_NAME))

    def has_begun(self) -> bool:
        try:
            return bool(self.recorded())
        except (OSError, ValueError):
            return False

    def agent_runs(self) -> bool:
        """True if the agent has written its pid and has not exited."""
        return self.has_begun() and is_alive(self.recorded()["pid"])

    def release_stand_in(self) -> None:
        """Let a stand-in that waits for the file ``go`` continue."""
        (self.work / "go").touch()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
