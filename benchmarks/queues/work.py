"""The work of every queue system: one command with a log file."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

SLOTS = 4


def run_true(path: str) -> dict[str, float]:
    """Run /bin/true with its output in ``path``. Return the exit code, the start, and the end."""
    began = time.time()
    with open(path, "wb") as output:
        completed = subprocess.run(["/bin/true"], stdout=output, stderr=output, check=True)
    return {"code": completed.returncode, "started_at": began, "ended_at": time.time()}


def serve(run_all: Callable[[Sequence[str]], None]) -> None:
    """Answer each line of standard input. ``run_all`` returns when every result is stored."""
    print("ready", flush=True)
    for line in sys.stdin:
        count, directory = line.rstrip("\n").split(" ", 1)
        run_all([f"{directory}/{number}" for number in range(int(count))])
        print("done", flush=True)
