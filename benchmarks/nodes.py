"""Compares nodes of a cluster with the local launcher, on one machine, in one run.

    python -m benchmarks.nodes [--quick] [--rounds N]

prints the table of docs/cluster.md. The nodes are processes of this machine, so they share its
processors with the server.
"""

import argparse
import logging
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from benchmarks.cluster import Cluster, Site, launch
from benchmarks.figures import Figure, Findings, quantile
from benchmarks.jobs import run_job
from benchmarks.options import Options, place
from benchmarks.processes import children, memory_of
from benchmarks.server import FOLDER, Client, running_server, until
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.node.file_growth import FileGrowthWatch
from orchestrator.launchers.local.local_launcher import LocalLauncher

MIB = 1024 * 1024
#: Workers of a node at the same time.
SLOTS = 4
NODES = ("n1", "n2", "n3")
#: Minimum throughput of one node, as a share of the local launcher's.
DISPATCH_SHARE = 0.6
#: A command that prints the time of day fifty times a second.
PRINTER = """
import sys, time
for n in range(int(sys.argv[1])):
    print(time.time(), flush=True)
    time.sleep(0.02)
"""
#: Six processes of five kinds, all with one unusual argument.
ESCAPEES = (
    "setsid sleep {n} & (sleep {n} &) & env -i sleep {n} & nohup sleep {n} >/dev/null & "
    "(setsid setsid sleep {n} &) & echo ready; exec sleep {n}"
)


def measure(options: Options) -> Findings:
    figures = [
        *_launchers(options),
        *_partitions(options),
        *_members(options),
        *_servers(options),
    ]
    return Findings(figures=figures)


# The launcher alone


def _launchers(options: Options) -> Iterator[Figure]:
    """Measure dispatch, age of log lines, cancel, and memory, alternating between local and
    nodes.
    """
    with _sites() as (cluster, local, nodes):
        yield from _dispatch(local, nodes, options)
        yield from _ages(local, nodes, options)
        yield from _cancels(local, nodes, options)
        yield from _memory(cluster, nodes)


@contextmanager
def _sites() -> Iterator[tuple[Cluster, Site, Site]]:
    cluster = Cluster()
    local, nodes = Site(LocalLauncher()), Site(cluster.launcher())
    try:
        for name in NODES:
            cluster.join(name, SLOTS)
        nodes.wait_for(*NODES)
        yield cluster, local, nodes
    finally:
        cluster.close()
        nodes.close()
        local.close()


def _dispatch(local: Site, nodes: Site, options: Options) -> Iterator[Figure]:
    count = options.pick(500, 40)
    kinds: dict[str, tuple[Site, Sequence[str]]] = {
        "local launcher": (local, ("",)),
        "1 node": (nodes, NODES[:1]),
        "2 nodes": (nodes, NODES[:2]),
        "3 nodes": (nodes, NODES),
    }
    for site, names in kinds.values():
        _run_many(site, names, 20)
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(options.rounds):
        order = list(kinds)
        for name in order[number % 4 :] + order[: number % 4]:
            rates[name].append(_run_many(*kinds[name], count))
    for name in kinds:
        what = f"dispatch of /bin/true, {name}"
        yield Figure(what=what, value=statistics.median(rates[name]), unit="a second")
    for name in list(kinds)[1:]:
        pairs = zip(rates[name], rates["local launcher"], strict=True)
        yield Figure(
            what=f"dispatch, {name} / local launcher",
            value=statistics.median(ours / theirs for ours, theirs in pairs),
            at_least=DISPATCH_SHARE if name == "1 node" else None,
        )


_runs = 0


def _run_many(site: Site, names: Sequence[str], count: int) -> float:
    """Run workers with ``SLOTS`` slots for each node. Return the workers per second."""
    global _runs
    _runs += 1
    directory, done, lock = place(), threading.Event(), threading.Lock()
    remaining, running, failures = count, 0, 0

    def start(node: str) -> None:
        nonlocal remaining
        remaining -= 1
        site.launcher.start(launch(directory, f"{_runs}-{remaining}", node, "/bin/true"))

    nodes: dict[str, str] = {}

    def on_end(attempt_id: str, exit: Exit) -> None:
        nonlocal running, failures
        with lock:
            failures += exit.code != 0
            if remaining:
                node = nodes.pop(attempt_id)
                nodes[f"bench/{_runs}-{remaining - 1}/1"] = node
                start(node)
            else:
                running -= 1
                if not running:
                    done.set()

    site.on_end = on_end
    began = time.perf_counter()
    with lock:
        for node in [each for each in names for _ in range(SLOTS)]:
            nodes[f"bench/{_runs}-{remaining - 1}/1"] = node
            running += 1
            start(node)
    if not done.wait(300):
        raise RuntimeError("not all workers have ended")
    seconds = time.perf_counter() - began
    site.on_end = lambda attempt_id, exit: None
    if failures:
        raise RuntimeError(f"{failures} workers failed")
    return count / seconds


def _ages(local: Site, nodes: Site, options: Options) -> Iterator[Figure]:
    lines = options.pick(250, 10)
    kinds = {"local launcher": (local, ("", "")), "3 nodes": (nodes, NODES)}
    ages: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(min(options.rounds, 3)):
        for name, (site, names) in kinds.items():
            ages[name] += _age_of_lines(site, names, lines, f"{number}")
    for name, values in ages.items():
        for share in (0.5, 0.99):
            what = f"age of a log line in the server's file, 6 workers, {name}, p{share * 100:.0f}"
            yield Figure(what=what, value=quantile(values, share) * 1000, unit="ms")


def _age_of_lines(site: Site, names: Sequence[str], lines: int, run: str) -> list[float]:
    directory = place()
    watch, ages, incomplete = FileGrowthWatch(), [], {}
    watch.add(str(directory))
    workers = [names[n % len(names)] for n in range(6)]
    attempts = []
    for number, node in enumerate(workers):
        argv = (sys.executable, "-S", "-E", "-c", PRINTER, str(lines))
        attempt = launch(directory, f"age-{run}-{number}", node, *argv)
        attempts.append(attempt)
        incomplete[attempt.log] = b""
        site.exits.pop(attempt.attempt_id, None)
        site.launcher.start(attempt)
    offsets = dict.fromkeys(incomplete, 0)
    deadline = time.monotonic() + 120
    while len(ages) < lines * len(workers):
        if time.monotonic() > deadline:
            raise RuntimeError("not all lines have come")
        watch.grown()
        for log in incomplete:
            with suppress(OSError), open(log, "rb", buffering=0) as file:
                file.seek(offsets[log])
                data = file.read()
                now = time.time()
                offsets[log] += len(data)
                *complete, incomplete[log] = (incomplete[log] + data).split(b"\n")
                ages += [now - float(line) for line in complete]
        time.sleep(0.001)
    for attempt in attempts:
        site.exit(attempt.attempt_id)
    return ages


def _cancels(local: Site, nodes: Site, options: Options) -> Iterator[Figure]:
    for name, site, node in (("local launcher", local, ""), ("1 node", nodes, "n1")):
        seconds, survivor_count = [], 0
        for number in range(options.pick(5, 1)):
            duration, survivors = _cancel(site, node, f"cancel-{number}")
            seconds.append(duration)
            survivor_count += survivors
        what = f"cancel of 6 processes of 5 kinds, {name}"
        yield Figure(
            what=f"{what}: until none is alive", value=max(seconds) * 1000, unit="ms", at_most=300
        )
        yield Figure(what=f"{what}: survivors", value=survivor_count, at_most=0)


def _cancel(site: Site, node: str, name: str) -> tuple[float, int]:
    argument = f"{86_400 + time.time() % 1000:.3f}"
    directory = place()
    attempt = launch(directory, name, node, "bash", "-c", ESCAPEES.format(n=argument))
    site.exits.pop(attempt.attempt_id, None)
    site.launcher.start(attempt)
    until(lambda: len(_with_argument(argument)) == 6, "all six processes run")
    began = time.perf_counter()
    site.launcher.stop(attempt.attempt_id, "cancel", "benchmark")
    while _with_argument(argument) and time.perf_counter() - began < 10:
        time.sleep(0.002)
    seconds = time.perf_counter() - began
    site.exit(attempt.attempt_id)
    return seconds, len(_with_argument(argument))


def _with_argument(argument: str) -> list[int]:
    """Return the running processes of ``sleep`` with this argument."""
    pids = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_bytes().split(b"\0")
            if words[:2] == [b"sleep", argument.encode()]:
                pids.append(int(directory.name))
    return pids


def _memory(cluster: Cluster, nodes: Site) -> Iterator[Figure]:
    by_parent = children()
    parent = cluster.processes["n1"].pid
    daemons = list(by_parent.get(parent, ()))
    grandchildren = [child for each in daemons for child in by_parent.get(each, ())]
    figures = {
        "its two processes": [parent, *daemons],
        "keeper and spawner": _descend(by_parent, grandchildren),
    }
    for name, pids in figures.items():
        what = f"memory of a node at rest (PSS), {name}"
        yield Figure(what=what, value=memory_of(pids).pss / MIB, unit="MiB")


def _descend(of: object, pids: Sequence[int]) -> list[int]:
    by_parent = children()
    return [*pids, *(child for each in pids for child in by_parent.get(each, ()))]


# Loss of a node


def _partitions(options: Options) -> Iterator[Figure]:
    cluster = Cluster()
    nodes = Site(cluster.launcher())
    try:
        cluster.join("n1", SLOTS)
        nodes.wait_for("n1")
        yield from _lost_silently(cluster, nodes)
        yield from _lost_with_its_connection(cluster, nodes)
    finally:
        cluster.close()
        nodes.close()


def _lost_silently(cluster: Cluster, nodes: Site) -> Iterator[Figure]:
    """Suspend all processes of a node: the node sends nothing, but its connection stays open."""
    argument, attempt_id = _start_sleeper(nodes, "silent")
    parent = cluster.processes["n1"].pid
    pids = [parent, *children().get(parent, ())]
    began = time.perf_counter()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    noticed_after = _seconds_until(began, lambda: nodes.nodes()["n1"].state == "unreachable")
    dead_after = _seconds_until(began, lambda: not _with_argument(argument))
    exit = nodes.exit(attempt_id, 60)
    lost_after = time.perf_counter() - began
    if exit.cause is not ExitCause.NODE_LOST:
        raise RuntimeError(f"the node was not lost: {exit}")
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    back_after = _seconds_until(time.perf_counter(), lambda: nodes.nodes()["n1"].state == "up")
    what = "partition"
    yield Figure(what=f"{what}: noticed", value=noticed_after, unit="s")
    yield Figure(what=f"{what}: all workers dead", value=dead_after, unit="s", at_most=10)
    yield Figure(what=f"{what}: they start anew elsewhere", value=lost_after, unit="s", at_most=15)
    yield Figure(what=f"{what}: the node works again after its end", value=back_after, unit="s")


def _lost_with_its_connection(cluster: Cluster, nodes: Site) -> Iterator[Figure]:
    parent = cluster.processes["n1"].pid
    pids = [parent, *children().get(parent, ())]
    began = time.perf_counter()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    noticed_after = _seconds_until(began, lambda: nodes.nodes()["n1"].state == "unreachable")
    cluster.processes.pop("n1").wait()
    yield Figure(
        what="loss of a node whose connection ends: noticed",
        value=noticed_after,
        unit="s",
        at_most=1,
    )


def _start_sleeper(nodes: Site, name: str) -> tuple[str, str]:
    """Start a worker that only sleeps. Return an argument that no other process has, and its id."""
    argument = f"{86_400 + time.time() % 1000:.3f}"
    attempt = launch(place(), name, "n1", "sleep", argument)
    nodes.launcher.start(attempt)
    until(lambda: bool(_with_argument(argument)), "the worker runs")
    return argument, attempt.attempt_id


def _seconds_until(began: float, condition: Callable[[], bool]) -> float:
    while not condition():
        if time.perf_counter() - began > 60:
            raise RuntimeError("it did not happen within 60 s")
        time.sleep(0.005)
    return time.perf_counter() - began


# Many nodes


def _members(options: Options) -> Iterator[Figure]:
    count, seconds = options.pick((1000, 20.0), (20, 1.0))
    cluster = Cluster()
    for number in range(count):
        cluster.add(f"m{number}")
    server = Site(cluster.launcher())
    argv = [sys.executable, "-P", "-m", "benchmarks.members"]
    argv += [str(cluster.directory), str(count), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    members = subprocess.Popen(
        argv, cwd=cluster.directory, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        terms, share = NodeLeaseTerms(), 5 * count / 1000
        yield from _beats(members, f"{count:,} simulated nodes without workers", count,
                          count / terms.idle_beat, share)  # fmt: skip
        yield from _beats(members, f"{count:,} simulated nodes with workers", count,
                          count / terms.beat)  # fmt: skip
    finally:
        members.kill()
        members.wait()
        server.close()


def _beats(
    members: "subprocess.Popen[str]", what: str, count: int, rate: float, most: float | None = None
) -> Iterator[Figure]:
    """Return the CPU time of this process, which answers ``rate`` heartbeats per second."""
    assert members.stdout is not None
    if members.stdout.readline() not in ("up\n", "beating\n"):
        raise RuntimeError("the simulated nodes did not connect")
    cpu, began = time.process_time(), time.perf_counter()
    answered = int(members.stdout.readline())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    if answered < 0.5 * rate * wall:
        raise RuntimeError(f"only {answered} beats were answered")
    yield Figure(what=f"{what}: CPU of the server", value=cpu / wall * 100, unit="% of a core",
                 at_most=most)  # fmt: skip
    yield Figure(what=f"{what}: CPU per node", value=cpu / wall / count * 1e6, unit="µs a second")
    yield Figure(what=f"{what}: CPU per beat", value=cpu / answered * 1e6, unit="µs")
    yield Figure(what=f"{what}: answered beats", value=answered / wall, unit="a second")


# With the server


def _servers(options: Options) -> Iterator[Figure]:
    task_count = options.pick(10_000, 40)
    sleepers, seconds = options.pick((60, 1.0), (12, 0.2))
    for names in (("local",), NODES[:1], NODES):
        slots = SLOTS * len(names)
        cluster = Cluster()
        is_local = names == ("local",)
        limits = {"LIMITS__MAX_TASKS_PER_JOB": "20000", "LIMITS__MAX_REQUEST_BYTES": "100000000"}
        settings = {**({} if is_local else cluster.settings), **limits}
        label = "local launcher" if is_local else f"{len(names)} node{'s' * (len(names) > 1)}"
        with running_server(slots, settings=settings) as server:
            try:
                client = server.client()
                for name in () if is_local else names:
                    cluster.join(name, SLOTS)
                if not is_local:
                    until(partial(_are_up, client, len(names)), "the nodes are up")
                run = run_job(client, ["/bin/sleep", f"{seconds:g}"], sleepers, slots)
                ideal = -(-sleepers // slots) * seconds
                what = f"{sleepers} workers of {seconds:g} s on {slots} slots, {label}"
                yield Figure(
                    what=f"{what}: ideal / measured",
                    value=ideal / run.work_seconds,
                    at_least=0.95,
                )
                if names == NODES[:1]:
                    continue
                run = run_job(client, ["/bin/true"], task_count, slots)
                what = f"{task_count:,} tasks of /bin/true, {label}"
                yield Figure(what=what, value=run.end_seconds, unit="s")
            finally:
                cluster.close()


def _are_up(client: Client, count: int) -> bool:
    rows = client.get("/nodes")["nodes"]
    return sum(row["state"] == "up" and bool(row["agents"]) for row in rows) == count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    # The benchmark loses nodes on purpose.
    logging.disable(logging.WARNING)
    load = os.getloadavg()
    print(f"load average at the start: {load[0]:.1f}; {os.cpu_count()} processors", flush=True)
    options = Options(quick=arguments.quick, rounds=1 if arguments.quick else arguments.rounds)
    print(measure(options).to_markdown())
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
