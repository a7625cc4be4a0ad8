"""Compares the time of equal workers on some slots with the minimum time for these slots."""

import math

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import run_job
from benchmarks.options import Options
from benchmarks.server import running_server

TARGET = 0.95


def measure(options: Options) -> Findings:
    workers, slots, seconds = options.pick((40, 8, 1.0), (8, 4, 0.2))
    with running_server(slots) as server:
        run = run_job(server.client(), ["/bin/sleep", f"{seconds:g}"], workers, slots)
    ideal = math.ceil(workers / slots) * seconds
    what = f"{workers} workers of {seconds:g} s on {slots} slots"
    return Findings(
        figures=[
            Figure(
                what=f"{what}: ideal / until the last worker ended",
                value=ideal / run.work_seconds,
                at_least=TARGET,
            ),
            Figure(
                what=f"{what}: ideal / until the reports were written",
                value=ideal / run.end_seconds,
                at_least=TARGET,
            ),
        ]
    )
