"""Huey as a peer: reads "count directory" lines, runs that many commands, answers each line.

    benchmarks/.venv/bin/python -P benchmarks/huey_peer.py DATABASE (synced | unsynced)

Four worker threads; they look for work every 5 to 20 ms, far more often than by default.
"""

import subprocess
import sys
import threading

from huey import SqliteHuey  # type: ignore[import-untyped, import-not-found, unused-ignore]

WORKERS = 4


def main(database: str, mode: str) -> None:
    huey = SqliteHuey("benchmark", filename=database, fsync=mode == "synced")
    finished = threading.Semaphore(0)

    @huey.task()  # type: ignore[untyped-decorator, unused-ignore]
    def run(path: str) -> None:
        with open(path, "wb") as output:
            subprocess.run(["/bin/true"], stdout=output, stderr=output, check=True)
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
