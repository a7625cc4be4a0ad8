"""A server that tests kill: starts one attempt, prints the keeper's pid, and keeps running."""

import os
import sys
import time

sys.path.insert(0, os.getcwd())

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.launcher import Launch
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from orchestrator.launchers.local.local_launcher import Listener, LocalLauncher


class LauncherListener:
    def __init__(self, launcher: LocalLauncher) -> None:
        self._launcher = launcher

    def started(self, attempt_id: str, pid: int) -> None:
        print(self._launcher.keeper_pid, flush=True)

    def begun(self, attempt_id: str, at: float) -> None:
        pass

    def returned(self, attempt_id: str) -> None:
        pass

    def ended(self, attempt_id: str, exit: Exit) -> None:
        pass


mode, attempt_id, directory, *argv = sys.argv[1:]
launcher = LocalLauncher(ContainmentSettings(mode=Mode(mode)))
launcher.open(LauncherListener(launcher))
launcher.start(
    Launch(
        attempt_id=attempt_id,
        argv=tuple(argv),
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        log=f"{directory}/a.log",
        exit_path=f"{directory}/a.json",
        lease_file=os.environ.get("LEASE_FILE", ""),
    )
)
with Listener(launcher):
    time.sleep(3600)
