"""Gates that run their commands at once, in separate threads."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from orchestrator.core.gates.gate import Check, Gate, GateResult, GateStatus


class RunningGates:
    """Runs gates. Does not compare their findings with the base commit.

    A gate whose program is missing is broken.
    """

    def __init__(self) -> None:
        #: Checked commits, in order.
        self.seen: list[str] = []
        #: Note of gates whose commands fail: they count as broken. Empty: they count as failed.
        self.broken = ""
        self._running: dict[tuple[str, str], subprocess.Popen[str]] = {}

    def begin(self, check: Check, done: Callable[[Sequence[GateResult]], None]) -> None:
        self.seen.append(check.commit)
        threading.Thread(target=self._run, args=(check, done), daemon=True).start()

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        process = self._running.get((root_id, name))
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process is not None

    def _run(self, check: Check, done: Callable[[Sequence[GateResult]], None]) -> None:
        done([self._result(gate, check) for gate in check.gates])

    def _result(self, gate: Gate, check: Check) -> GateResult:
        process = subprocess.Popen(
            ["bash", "-c", gate.run],
            cwd=check.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running[check.root_id, check.name] = process
        printed, _ = process.communicate(timeout=gate.timeout)
        del self._running[check.root_id, check.name]
        status = GateStatus.FAILED if process.returncode else GateStatus.PASSED
        status = GateStatus.BROKEN if process.returncode == 127 else status
        output = printed if process.returncode else ""
        result = GateResult(name=gate.name, status=status, required=gate.required, output=output)
        if process.returncode and self.broken:
            return replace(result, status=GateStatus.BROKEN, note=self.broken)
        return result
