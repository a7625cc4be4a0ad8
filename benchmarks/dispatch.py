"""Many short workers, durable and logged, against other programs that run many commands."""

import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import run_job
from benchmarks.options import SHARED_MEMORY, Options, place
from benchmarks.peers import HUEY, NOT_DURABLE, SLOTS, XARGS, Peer, left_out, peers
from benchmarks.server import Client, running_server

DISK, MEMORY = "temporary directory", "tmpfs"
#: Target shares of each peer's speed; a peer without an entry has the target 1, and None is no
#: target.
SHARES: Mapping[str, float | None] = {XARGS: 0.6, NOT_DURABLE: None}
#: In memory nothing survives a power loss, so waiting for the disk costs nothing.
SHARES_IN_MEMORY: Mapping[str, float | None] = {**SHARES, HUEY: None}
WORK, END = "ours, until the last worker ended", "ours, until the reports were written"
OURS = (WORK, END)
WARM_UP_WORKERS = 20

#: Wall seconds of each round, by program.
Walls = Mapping[str, Sequence[float]]


def measure(options: Options) -> Findings:
    figures = [figure for name, parent in _places() for figure in _at(name, parent, options)]
    return Findings(figures=figures, notes=left_out())


def _places() -> Iterator[tuple[str, Path]]:
    yield DISK, Path(tempfile.gettempdir())
    if SHARED_MEMORY.is_dir():
        yield MEMORY, SHARED_MEMORY


def _at(name: str, parent: Path, options: Options) -> list[Figure]:
    count = options.pick(500, 40)
    directory = place(parent)
    with peers(directory) as others, running_server(SLOTS, parent) as server:
        client = server.client()
        run_job(client, ["/bin/true"], WARM_UP_WORKERS, SLOTS)
        walls = _rounds(client, others, directory, count, options.rounds)
    return [*_costs(name, walls, count), *_ratios(name, walls)]


def _rounds(
    client: Client, others: Mapping[str, Peer], directory: Path, count: int, rounds: int
) -> Walls:
    walls: dict[str, list[float]] = {name: [] for name in (*OURS, *others)}
    for number in range(rounds):
        order = [WORK, *others]
        random.Random(number).shuffle(order)
        for name in order:
            if name in others:
                walls[name].append(_logged(others[name], directory / f"{number} {name}", count))
            else:
                run = run_job(client, ["/bin/true"], count, SLOTS)
                walls[WORK].append(run.work_seconds)
                walls[END].append(run.end_seconds)
    return walls


def _logged(peer: Peer, logs: Path, count: int) -> float:
    """A peer's time counts only when it left all its logs."""
    logs.mkdir()
    seconds = peer.run(logs, count)
    if (found := len(list(logs.iterdir()))) != count:
        raise RuntimeError(f"{logs.name}: {found} logs of {count}")
    return seconds


def _costs(place_name: str, walls: Walls, count: int) -> Iterator[Figure]:
    for name, seconds in walls.items():
        wall = statistics.median(seconds) / count * 1000
        yield Figure(what=f"{place_name}: {name}", value=wall, unit="ms a task")


def _ratios(place_name: str, walls: Walls) -> Iterator[Figure]:
    """Our tasks per second as a share of theirs: the median over the rounds."""
    shares = SHARES_IN_MEMORY if place_name == MEMORY else SHARES
    for peer in (name for name in walls if name not in OURS):
        bound = shares.get(peer, 1.0)
        for ours in OURS:
            pairs = zip(walls[peer], walls[ours], strict=True)
            yield Figure(
                what=f"{place_name}: {peer} = 1; {ours}",
                value=statistics.median(theirs / mine for theirs, mine in pairs),
                at_least=bound,
            )
