"""A server to be killed: starts one attempt, says the pid of its keeper, and stays."""

import os
import sys
import time

sys.path.insert(0, os.getcwd())

from orchestrator.core.evidence import Exit
from orchestrator.core.launching import Launch
from orchestrator.launchers.listener import Listener
from orchestrator.launchers.local import LocalLauncher
from orchestrator.launchers.plan import Mode, Plan


class Ears:
    def __init__(self, launcher: LocalLauncher) -> None:
        self._launcher = launcher

    def started(self, attempt_id: str, pid: int) -> None:
        print(self._launcher.keeper_pid, flush=True)

    def ended(self, attempt_id: str, exit: Exit) -> None:
        pass


mode, attempt_id, directory, *argv = sys.argv[1:]
launcher = LocalLauncher(Plan(mode=Mode(mode)))
launcher.open(Ears(launcher))
launcher.start(
    Launch(
        attempt_id=attempt_id,
        argv=tuple(argv),
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        log=f"{directory}/a.log",
        exit_path=f"{directory}/a.json",
    )
)
with Listener(launcher):
    time.sleep(3600)
