"""The processes that the kernel kills first when memory runs out."""

import subprocess
import time
from pathlib import Path

from orchestrator.launchers.process import start


def score(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_what_a_worker_started_before_it_was_marked_is_marked_too() -> None:
    wanted = min(1000, score("self") + start.OOM_SCORE_ADDED)
    with subprocess.Popen(["bash", "-c", "(sleep 60; :) & wait"]) as worker:
        try:
            children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
            while not (found := children.read_text().split()):
                time.sleep(0.005)
            [child] = found
            grandchildren = Path(f"/proc/{child}/task/{child}/children")
            while not (found := grandchildren.read_text().split()):
                time.sleep(0.005)
            start.offer_to_oom_killer(worker.pid)
            pids = (worker.pid, int(child), int(found[0]))
            assert [score(pid) for pid in pids] == [wanted] * 3
        finally:
            worker.terminate()
            for pid in found:
                subprocess.run(["kill", pid], check=False)
