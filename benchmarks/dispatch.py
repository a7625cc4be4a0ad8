"""Compares many short workers with other programs that run the same commands."""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.accounts import Account, account, method
from benchmarks.figures import Figure, Findings, Row
from benchmarks.jobs import run_job
from benchmarks.options import SHARED_MEMORY, Options, place
from benchmarks.peers import (
    HUEY,
    NOT_DURABLE,
    SETTLE_SECONDS,
    SLOTS,
    WARM_UP_TASKS,
    XARGS,
    Peer,
    Run,
    peers,
)
from benchmarks.server import Client, running_server

DISK, MEMORY = "disk", "tmpfs"
OURS, WORK = "orchestrator", "orchestrator, until the last worker ended"
#: Columns of the table.
WALL, RATE, CPU_TIME = "wall, ms a task", "tasks a second", "CPU, ms a task"
THEIR_WALL, OUR_CPU = f"its wall / {OURS}", f"CPU of {OURS} / its"
#: Minimum ratio of a peer's wall time to ours. A peer without an entry has the target 1. None:
#: no target.
FASTER: Mapping[str, Mapping[str, float | None]] = {
    DISK: {XARGS: 1.05, NOT_DURABLE: None},
    # In memory, waiting for the disk costs nothing.
    MEMORY: {XARGS: 0.95, NOT_DURABLE: None, HUEY: None},
}
#: Maximum ratio of our CPU time to a peer's.
CPU: Mapping[str, Mapping[str, float]] = {DISK: {XARGS: 1.0}}

#: The rounds of each program.
Runs = Mapping[str, Sequence[Run]]


def measure(options: Options) -> Findings:
    count = options.pick(500, 100)
    rows: list[Row] = []
    figures: list[Figure] = []
    notes: dict[str, None] = {}
    for name, parent in _places():
        runs, peer_notes = _measure_at(parent, count, options)
        rows += _rows(name, runs, count)
        figures += _ratios(name, runs)
        notes.update(dict.fromkeys(peer_notes))
    counts = f"Tasks: {count}; rounds: {options.rounds}."
    notes[f"CPU time of all processes is measured with {method()}. {counts}"] = None
    return Findings(rows=rows, figures=figures, notes=list(notes))


def _places() -> Iterator[tuple[str, Path]]:
    yield DISK, Path(tempfile.gettempdir())
    if SHARED_MEMORY.is_dir():
        yield MEMORY, SHARED_MEMORY


def _measure_at(parent: Path, count: int, options: Options) -> tuple[Runs, Sequence[str]]:
    directory = place(parent)
    with (
        account() as group,
        peers(directory, quick=options.quick) as (others, omitted),
        running_server(SLOTS, parent, group=group) as server,
    ):
        runs, failures = _rounds(server.client(), group, others, directory, count, options.rounds)
    return runs, [*omitted, *failures]


def _rounds(
    client: Client,
    group: Account,
    others: Mapping[str, Peer],
    directory: Path,
    count: int,
    rounds: int,
) -> tuple[Runs, Sequence[str]]:
    """Run all programs in each round, in random order. A peer that fails is omitted."""
    runs: dict[str, list[Run]] = {name: [] for name in (OURS, WORK, *others)}
    notes = []
    for number in range(rounds):
        order = [OURS, *(name for name in others if name in runs)]
        random.Random(number).shuffle(order)
        for name in order:
            if name == OURS:
                whole, work = _ours(client, group, count)
                runs[OURS].append(whole)
                runs[WORK].append(work)
                continue
            try:
                runs[name].append(_run_logged(others[name], directory / f"{number} {name}", count))
            except RuntimeError as error:
                notes.append(f"{name} is omitted: {error}")
                del runs[name]
    return runs, notes


def _ours(client: Client, group: Account, count: int) -> tuple[Run, Run]:
    """Return the run until all reports are written, and the run until the last worker's end."""
    run_job(client, ["/bin/true"], WARM_UP_TASKS, SLOTS)
    time.sleep(SETTLE_SECONDS)
    own_cpu, group_cpu = time.process_time(), group.seconds()

    def on_end() -> None:
        nonlocal own_cpu, group_cpu
        own_cpu = time.process_time() - own_cpu
        time.sleep(SETTLE_SECONDS)
        group_cpu = group.seconds() - group_cpu

    job = run_job(client, ["/bin/true"], count, SLOTS, on_end)
    return Run(job.end_seconds, group_cpu + own_cpu), Run(job.work_seconds, group_cpu + own_cpu)


def _run_logged(peer: Peer, logs: Path, count: int) -> Run:
    """Run a peer once. Raise RuntimeError if the peer did not write all logs."""
    logs.mkdir()
    run = peer.run(logs, count)
    if (log_count := len(list(logs.iterdir()))) != count:
        raise RuntimeError(f"{logs.name}: {log_count} logs of {count}")
    return run


def _rows(place_name: str, runs: Runs, count: int) -> Iterator[Row]:
    for name, program_runs in runs.items():
        wall = statistics.median(run.wall for run in program_runs) / count
        yield {
            "on": place_name,
            "program": name,
            WALL: wall * 1000,
            RATE: 1 / wall,
            CPU_TIME: statistics.median(run.cpu for run in program_runs) / count * 1000,
            THEIR_WALL: _median(runs, name, lambda run: run.wall, ours_first=False),
            OUR_CPU: _median(runs, name, lambda run: run.cpu, ours_first=True),
        }


def _median(runs: Runs, name: str, value_of: Callable[[Run], float], *, ours_first: bool) -> float:
    """Return the median over the rounds of the ratio to our run in the same round."""
    ratios = (
        value_of(ours) / value_of(its) for ours, its in zip(runs[OURS], runs[name], strict=True)
    )
    return statistics.median(each if ours_first else 1 / each for each in ratios)


def _ratios(place_name: str, runs: Runs) -> Iterator[Figure]:
    for name in runs:
        if name in (OURS, WORK):
            continue
        yield Figure(
            what=f"{place_name}: wall of {name} / {OURS}",
            value=_median(runs, name, lambda run: run.wall, ours_first=False),
            at_least=FASTER[place_name].get(name, 1.0),
        )
        yield Figure(
            what=f"{place_name}: CPU of {OURS} / {name}",
            value=_median(runs, name, lambda run: run.cpu, ours_first=True),
            at_most=CPU.get(place_name, {}).get(name),
        )
