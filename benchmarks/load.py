"""Measures a server with few threads: hundreds of watchers, and 1,000 submissions at once."""

import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from benchmarks import burst, streams
from benchmarks.figures import Figure, Findings, quantile
from benchmarks.jobs import body_of, run_job
from benchmarks.options import Options
from benchmarks.processes import memory
from benchmarks.server import Client, Server, running_server, until

SETTINGS = {"API__THREADS": "8"}
SUBMISSIONS_PER_SECOND = 5
POST_P99_MS = 25.0
MOST_GROWTH_MIB = 10_000_000 / 2**20
MIB = 1024 * 1024
#: Slots for the watched job and for later submissions, in addition to the child jobs' slots.
FREE_SLOTS = 4


@dataclass
class Posts:
    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(options: Options) -> Findings:
    waiting, at_once = _waiting_workers(options), burst.measure(options)
    return Findings(
        figures=[*waiting.figures, *at_once.figures], notes=[*waiting.notes, *at_once.notes]
    )


def _waiting_workers(options: Options) -> Findings:
    waiting_count = options.pick(100, 3)
    with running_server(waiting_count + FREE_SLOTS, settings=SETTINGS) as server:
        client = server.client()
        _warm_up(server, client)
        at_rest = memory(server.pid).rss
        job_id = _start_waiting(client, waiting_count)
        with_waiting = memory(server.pid).rss
        figures, notes = _watch(server, options)
        growth = (memory(server.pid).rss - at_rest) / MIB
        lost = waiting_count - _count_waiting(client)
        client.cancel(job_id)
    return Findings(
        figures=[
            *figures,
            Figure(what="waiting workers that failed", value=lost, at_most=0),
            Figure(what="growth of the server", value=growth, unit="MiB", at_most=MOST_GROWTH_MIB),
        ],
        notes=[
            *notes,
            f"{waiting_count} workers wait by `orchestrator spawn --wait` all the time, "
            f"for as many child jobs; they alone are {(with_waiting - at_rest) / MIB:.1f} MiB "
            "of the growth.",
        ],
    )


def _warm_up(server: Server, client: Client) -> None:
    """Make each measured call once, so that the loading of modules does not count as growth."""
    run_job(client, ["/bin/true"], 4, 4)
    job_id = _start_waiting(client, 1)
    streams.delays_at(server, 2, 1)
    client.cancel(job_id)
    until(lambda: _count_waiting(client) == 0, "nobody waits", 60)


def _start_waiting(client: Client, count: int) -> str:
    """Start a job whose workers each wait for a child job that does not end."""
    tasks = json.dumps([{"agent": "shell", "command": ["/bin/sleep", "3600"]}])
    spawn = (
        f"printf %s '{tasks}' > tasks.json; "
        'exec orchestrator spawn "of $ORCHESTRATOR_WORKER_ID" --tasks tasks.json --wait'
    )
    job_id = client.submit(body_of(["/bin/bash", "-c", spawn], count, count))
    until(lambda: _count_waiting(client) == count, f"{count} workers wait", 180)
    return job_id


def _count_waiting(client: Client) -> int:
    return int(client.get("/stats")["workers"].get("waiting", 0))


def _watch(server: Server, options: Options) -> tuple[Sequence[Figure], Sequence[str]]:
    """Measure events to many watchers during submissions, then events to even more watchers."""
    seconds, count, larger_count = options.pick((30.0, 300, 500), (2.0, 6, 10))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        posts_future = executor.submit(submit_steadily, server.url, seconds)
        first = streams.findings(streams.delays_at(server, count, seconds), f" of {count}")
    second = streams.findings(
        streams.delays_at(server, larger_count, seconds / 3), f" of {larger_count}"
    )
    posts, events_of_more = _posts(posts_future), second.figures
    return [*first.figures, *posts, *events_of_more], [
        f"8 threads; {count} watchers of one job with ten events a second, then "
        f"{larger_count} of another; beside the first, "
        f"{SUBMISSIONS_PER_SECOND} submissions a second from another process."
    ]


def _posts(future: "Future[Posts]") -> Sequence[Figure]:
    posts = future.result()
    return [
        Figure(what="POST, p50", value=quantile(posts.milliseconds, 0.5), unit="ms"),
        Figure(
            what="POST, p99",
            value=quantile(posts.milliseconds, 0.99),
            unit="ms",
            at_most=POST_P99_MS,
        ),
        Figure(what="POSTs that failed", value=len(posts.failures), at_most=0),
    ]


def submit_steadily(url: str, seconds: float) -> Posts:
    """Submit jobs of one worker at an even rate, on one connection."""
    client, body, posts = Client(url), body_of(["/bin/true"], 1, 1), Posts()
    due = time.perf_counter()
    deadline = due + seconds
    while due < deadline:
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        try:
            client.submit(body)
        except (OSError, RuntimeError) as error:
            posts.failures.append(str(error))
            client = Client(url)
        posts.milliseconds.append((time.perf_counter() - began) * 1000)
        due += 1 / SUBMISSIONS_PER_SECOND
    return posts
