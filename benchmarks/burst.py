"""Many simultaneous submissions, each on its own connection."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import body_of
from benchmarks.options import Options
from benchmarks.server import KEY, Client, Server, running_server, until

SLOTS = 8
HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
RETRY_AFTER = re.compile(rb"\r\nRetry-After: \d+\r\n", re.IGNORECASE)
#: Rate limit of the second burst, as a share of its submissions.
SHARE = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to one submission. ``status``: 0 if there was no answer."""

    status: int
    seconds: float
    job_id: str = ""
    says_when: bool = False


def measure(options: Options) -> Findings:
    """Measure a burst within the default rate limit, and a burst above a lower limit."""
    count = options.pick(1000, 20)
    limit = round(count * SHARE)
    within, beyond = _burst(count, 6000), _burst(count, limit)
    return Findings(
        figures=[*_figures(f"{count:,} at once", *within), *_figures("beyond the limit", *beyond)],
        notes=[
            f"{count:,} submissions at once to a server with 8 threads and {SLOTS} slots: at the "
            f"default of 6,000 a minute, then at {limit} a minute. Lost: accepted, but the job did "
            "not come to its end. Failed: neither accepted nor 429 with Retry-After."
        ],
    )


def _burst(count: int, per_minute: int) -> tuple[Sequence[Answer], int]:
    """Submit all jobs. Return the answers, and the number of jobs that did not complete."""
    settings = {"API__THREADS": "8", "LIMITS__SUBMISSIONS_PER_MINUTE": str(per_minute)}
    with running_server(SLOTS, settings=settings) as server:
        answers = asyncio.run(_submit_all(server, count))
        accepted = {answer.job_id for answer in answers if answer.status == 202}
        client = server.client()
        until(lambda: _count_unfinished(client) == 0, "all jobs have ended", 300)
        completed = sum(_status(client, job_id) == "completed" for job_id in accepted)
    return answers, len(accepted) - completed


def _figures(when: str, answers: Sequence[Answer], lost: int) -> Sequence[Figure]:
    accepted = sum(answer.status == 202 for answer in answers)
    rejected = sum(answer.status == 429 and answer.says_when for answer in answers)
    slowest = max(answer.seconds for answer in answers)
    return [
        Figure(what=f"{when}: accepted", value=accepted),
        Figure(what=f"{when}: rejected with a time to retry (429)", value=rejected),
        Figure(what=f"{when}: failed", value=len(answers) - accepted - rejected, at_most=0),
        Figure(what=f"{when}: lost", value=lost, at_most=0),
        Figure(what=f"{when}: slowest answer", value=slowest, unit="s"),
    ]


async def _submit_all(server: Server, count: int) -> Sequence[Answer]:
    request = _request(urlsplit(server.url).netloc)
    return await asyncio.gather(*(_submit(server.url, request) for _ in range(count)))


def _request(host: str) -> bytes:
    body = body_of(["/bin/true"], 1, 1)
    head = (
        f"POST /api/v1/orchestrate HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\n"
        "Content-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _submit(url: str, request: bytes) -> Answer:
    address, began = urlsplit(url), time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        text = await asyncio.wait_for(reader.read(), 120)
        writer.close()
    except (OSError, TimeoutError):
        text = b""
    return _answer(text, time.perf_counter() - began)


def _answer(text: bytes, seconds: float) -> Answer:
    head = HEAD.match(text)
    status = int(head[1]) if head else 0
    body = text.partition(b"\r\n\r\n")[2]
    return Answer(
        status=status,
        seconds=seconds,
        job_id=json.loads(body)["job_id"] if status == 202 else "",
        says_when=RETRY_AFTER.search(text) is not None,
    )


def _count_unfinished(client: Client) -> int:
    jobs = client.get("/stats")["jobs"]
    return sum(int(jobs.get(status, 0)) for status in ("pending", "running"))


def _status(client: Client, job_id: str) -> str:
    return str(client.get(f"/jobs/{job_id}/status")["status"])
