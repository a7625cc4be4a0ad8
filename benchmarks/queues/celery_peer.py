"""Celery with Redis as a peer; see the package.

    benchmarks/.venv/bin/python -P -m queues.celery_peer DIRECTORY

Redis holds the queue and the results. A worker has four processes, as ``celery worker -c 4``
starts them.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, unused-ignore"
from celery import Celery, group
from queues.redis_server import redis_server
from queues.work import SLOTS, run_true, serve

READY_SECONDS = 60.0
SOCKET = "BENCHMARK_REDIS_SOCKET"

path_of_socket = os.environ.get(SOCKET, "")
app = Celery(broker=f"redis+socket://{path_of_socket}", backend=f"redis+socket://{path_of_socket}")


@app.task(name="run")
def run(path: str) -> dict[str, float]:
    return run_true(path)


def run_all(paths: Sequence[str]) -> None:
    group(run.s(path) for path in paths).apply_async().get()


def _worker() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "celery", "-A", "queues.celery_peer", "worker"]
    return subprocess.Popen(
        [*command, "-c", str(SLOTS), "-l", "WARNING"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
    )


def _serve(directory: str) -> None:
    worker = _worker()
    try:
        run.delay(str(Path(directory) / "first")).get(timeout=READY_SECONDS)
        serve(run_all)
    finally:
        worker.terminate()
        worker.wait()


def main(directory: str) -> None:
    if path_of_socket:
        _serve(directory)
        return
    with redis_server(directory) as socket:
        # The application reads the socket when its module is loaded.
        command = [sys.executable, "-P", "-m", "queues.celery_peer", directory]
        subprocess.run(command, env={**os.environ, SOCKET: socket}, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
