"""Huey as a peer; see the package.

    benchmarks/.venv/bin/python -P -m queues.huey_peer DIRECTORY (synced | unsynced)

Four worker threads check for work every 5 to 20 ms, far more often than by default. The database
has the queue and the result of each command. The measured time ends when the last result is stored.
"""

import sys
import threading
from collections.abc import Sequence

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, unused-ignore"
from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE
from queues.work import SLOTS, run_true, serve


def main(directory: str, mode: str) -> None:
    # By default Huey uses SQLite's default, which waits for the disk.
    fsync = None if mode == "synced" else False
    huey = SqliteHuey("benchmark", filename=f"{directory}/huey.db", fsync=fsync)
    finished = threading.Semaphore(0)

    @huey.task()
    def run(path: str) -> dict[str, float]:
        return run_true(path)

    @huey.signal(SIGNAL_COMPLETE)
    def stored(signal: str, task: object) -> None:
        """True if the task's result is in the database."""
        finished.release()

    def run_all(paths: Sequence[str]) -> None:
        for path in paths:
            run(path)
        for _ in paths:
            finished.acquire()

    consumer = huey.create_consumer(
        workers=SLOTS,
        periodic=False,
        initial_delay=0.005,
        max_delay=0.02,
        check_worker_health=False,
    )
    consumer.start()
    serve(run_all)
    consumer.stop(graceful=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
