"""Times of submissions and status reads while many clients poll one running job."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Figure, Findings, quantile
from benchmarks.jobs import body_of
from benchmarks.options import Options
from benchmarks.server import Client, Server, running_server

SLOTS = 16
SLEEPERS = 8
POLLS_PER_SECOND = 2
SUBMISSIONS_PER_SECOND = 5
SUBMIT_P99_MS, STATUS_P99_MS = 25.0, 15.0


@dataclass
class Caller:
    """Makes calls at a steady rate in a thread, and records the time of each call."""

    act: Callable[[Client], object]
    client: Client
    per_second: float
    delay_seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    error: Exception | None = None

    def run(self, until: float) -> None:
        try:
            self._run(until)
        except Exception as error:  # The main thread raises the error.
            self.error = error

    def _run(self, until: float) -> None:
        due = time.perf_counter() + self.delay_seconds
        while due < until:
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            self.act(self.client)
            self.milliseconds.append((time.perf_counter() - began) * 1000)
            due += 1 / self.per_second


def measure(options: Options) -> Findings:
    seconds, pollers = options.pick((40.0, 50), (1.5, 5))
    with running_server(SLOTS) as server:
        client = server.client()
        job_id = client.submit(body_of(["/bin/sleep", "600"], SLEEPERS, SLEEPERS))
        polls, submissions = _callers(server, job_id, pollers)
        call_all([*polls, submissions], seconds)
        client.cancel(job_id)
    status = [value for poll in polls for value in poll.milliseconds]
    return Findings(
        figures=[
            *_quantiles("submit", submissions.milliseconds, SUBMIT_P99_MS),
            *_quantiles("status", status, STATUS_P99_MS),
        ],
        notes=[
            f"{pollers} clients at {POLLS_PER_SECOND} Hz: {len(status)} reads of the status; "
            f"{len(submissions.milliseconds)} jobs with one worker each were submitted, and ended."
        ],
    )


def _callers(server: Server, job_id: str, pollers: int) -> tuple[list[Caller], Caller]:
    path, body = f"/api/v1/jobs/{job_id}/status", body_of(["/bin/true"], 1, 1)
    polls = [
        Caller(
            lambda client: client.call("GET", path),
            server.client(),
            POLLS_PER_SECOND,
            delay_seconds=number / pollers / POLLS_PER_SECOND,
        )
        for number in range(pollers)
    ]
    submit = Caller(lambda client: client.submit(body), server.client(), SUBMISSIONS_PER_SECOND)
    return polls, submit


def call_all(callers: Sequence[Caller], seconds: float) -> None:
    """Let all callers make calls for the given seconds. Raise the first error of a caller."""
    until = time.perf_counter() + seconds
    threads = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for caller in callers:
        if caller.error is not None:
            raise caller.error
        caller.client.close()


def _quantiles(what: str, milliseconds: Sequence[float], target: float) -> list[Figure]:
    return [
        Figure(what=f"{what}, p50", value=quantile(milliseconds, 0.5), unit="ms"),
        Figure(what=f"{what}, p99", value=quantile(milliseconds, 0.99), unit="ms", at_most=target),
    ]
