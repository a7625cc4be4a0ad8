"""RQ with Redis as a peer; see the package.

    benchmarks/.venv/bin/python -P -m queues.rq_peer DIRECTORY

Redis holds the queue and the results. There are four workers, as ``rq worker-pool -n 4`` starts
them. Each worker forks a process for a job.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from queues.redis_server import redis_server
from queues.work import SLOTS, run_true, serve

# mypy: disable-error-code="import-untyped, import-not-found, unused-ignore"
from redis import Redis
from rq import Queue

POLL_SECONDS = 0.02


def main(directory: str) -> None:
    with redis_server(directory) as socket:
        connection = Redis(unix_socket_path=socket)
        queue = Queue("benchmark", connection=connection)
        finished_jobs = queue.finished_job_registry

        def run_all(paths: Sequence[str]) -> None:
            finished_before = finished_jobs.get_job_count(cleanup=False)
            queue.enqueue_many([Queue.prepare_data(run_true, (path,)) for path in paths])
            while finished_jobs.get_job_count(cleanup=False) < finished_before + len(paths):
                time.sleep(POLL_SECONDS)

        program = "import sys; from rq.cli import main; sys.exit(main())"
        command = [sys.executable, "-P", "-c", program, "worker-pool", "benchmark", "-q"]
        command += ["-n", str(SLOTS), "-u", f"unix://{socket}"]
        workers = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
        try:
            run_all([f"{directory}/first"])
            serve(run_all)
        finally:
            # An idle pool takes a long time to end after SIGTERM.
            os.killpg(workers.pid, signal.SIGKILL)
            workers.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
