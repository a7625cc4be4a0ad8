"""Huey as a peer: reads "count directory" lines, runs that many commands, answers each line.

    benchmarks/.venv/bin/python -P benchmarks/huey_peer.py DATABASE (synced | unsynced)

Four worker threads; they look for work every 5 to 20 ms, far more often than by default. The queue
and what became of each command are in the database; the clock stops when the last one is.
"""

import subprocess
import sys
import threading
import time

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, unused-ignore"
from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE

WORKERS = 4


def main(database: str, mode: str) -> None:
    # By default Huey uses SQLite's default, which waits for the disk.
    huey = SqliteHuey("benchmark", filename=database, fsync=None if mode == "synced" else False)
    finished = threading.Semaphore(0)

    @huey.task()
    def run(path: str) -> dict[str, float]:
        began = time.time()
        with open(path, "wb") as output:
            ended = subprocess.run(["/bin/true"], stdout=output, stderr=output, check=True)
        return {"code": ended.returncode, "started_at": began, "ended_at": time.time()}

    @huey.signal(SIGNAL_COMPLETE)
    def stored(signal: str, task: object) -> None:
        """Its result is in the database."""
        finished.release()

    consumer = huey.create_consumer(
        workers=WORKERS,
        periodic=False,
        initial_delay=0.005,
        max_delay=0.02,
        check_worker_health=False,
    )
    consumer.start()
    for line in sys.stdin:
        count, directory = line.rstrip("\n").split(" ", 1)
        for number in range(int(count)):
            run(f"{directory}/{number}")
        for _ in range(int(count)):
            finished.acquire()
        print("done", flush=True)
    consumer.stop(graceful=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
