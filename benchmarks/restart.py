"""Measures the time until a killed server is ready again, with finished and running workers."""

import json
import time

from benchmarks.figures import Figure, Findings
from benchmarks.options import Options
from benchmarks.processes import cpu_seconds
from benchmarks.server import Client, Server, running_server, until

#: Maximum seconds from the process's start until the server answers and has adopted the workers.
MOST_SECONDS = 2.0
#: Seconds after which every worker with a stored start has begun.
BEGUN_SECONDS = 2.0


def measure(options: Options) -> Findings:
    finished, running = options.pick((1_000, 200), (20, 4))
    with running_server(running) as server:
        client = server.client()
        job_id = client.submit(_body(finished, running))
        until(lambda: _count_finished(client) == finished, "the short ones have ended", 300)
        until(lambda: _count_running(client) == running, "the long ones run", 60)
        # A start is stored before the worker starts. A worker that has not started at the kill does
        # not count as running.
        time.sleep(BEGUN_SECONDS)
        client.close()
        restarts = [_restart(server) for _ in range(options.pick(5, 1))]
        client = server.client()
        adopted = _count_running(client)
        client.cancel(job_id)
    seconds, cpu = zip(*restarts, strict=True)
    return Findings(
        figures=[
            Figure(what="ready: median", value=sorted(seconds)[len(seconds) // 2], unit="s"),
            Figure(what="ready: slowest", value=max(seconds), unit="s", at_most=MOST_SECONDS),
            Figure(what="CPU until ready: most", value=max(cpu), unit="s"),
            Figure(what="workers adopted", value=adopted, at_least=running),
        ],
        notes=[f"{finished:,} workers of the job had ended and {running:,} ran at each kill -9"],
    )


def _body(finished: int, running: int) -> bytes:
    commands = [["/bin/true"]] * finished + [["/bin/sleep", "600"]] * running
    tasks = [{"agent": "shell", "command": command} for command in commands]
    config = {"max_workers": running, "max_retries": 0}
    return json.dumps({"request": "restart", "tasks": tasks, "config": config}).encode()


def _count_finished(client: Client) -> int:
    return int(client.get("/stats")["workers"].get("success", 0))


def _count_running(client: Client) -> int:
    return int(client.get("/stats")["slots"]["running"])


def _restart(server: Server) -> tuple[float, float]:
    """Return the wall and CPU seconds from a kill -9 of the server until a new server is ready."""
    server.kill()
    began = time.perf_counter()
    server.restart()
    server.wait_until_ready()
    client = server.client()
    client.call("GET", "/health")
    seconds = time.perf_counter() - began
    client.close()
    return seconds, cpu_seconds(server.pid)
