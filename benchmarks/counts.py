"""System calls, transactions, and wake-ups for each worker, of the server and its shims.

    python -m benchmarks.counts [--folder DIR] [--workers N]

``--folder`` is a checkout of another version of the product, to compare two versions. The number of
system calls is the difference of two runs, so it excludes the server's start. It includes those of
``/bin/true``, which are the same for all versions. Compare runs under the same load: on a busy
machine, more workers' ends share a transaction and a wake-up.
"""

import argparse
import json
import mmap
import os
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import server as servers
from benchmarks.figures import Figure, Findings
from benchmarks.jobs import run_job
from benchmarks.options import Options, place
from benchmarks.processes import children
from benchmarks.server import Server, running_server

SLOTS = 4
WARM_UP_WORKERS = 20
#: System calls that the table names.
NAMED = 8
#: Counts the transactions of every process that loads it, in a file of eight bytes.
_COUNTER = """
import os, mmap, sqlite3, sqlite3.dbapi2, struct
with open(os.environ["BENCHMARK_TRANSACTIONS"], "r+b") as _file:
    _count = mmap.mmap(_file.fileno(), 8)
def _noted(statement):
    if statement.lstrip().upper().startswith(("COMMIT", "END")):
        _count[:] = struct.pack("q", struct.unpack("q", _count[:])[0] + 1)
_connect = sqlite3.connect
def _traced(*given, **more):
    connection = _connect(*given, **more)
    connection.set_trace_callback(_noted)
    return connection
sqlite3.connect = sqlite3.dbapi2.connect = _traced
"""


@dataclass(frozen=True, slots=True)
class Traced:
    """Starts a program under strace; see ``accounts.Account.prefix``."""

    prefix: Sequence[str]

    def hold(self, pid: int) -> None:
        """Do nothing: strace follows all processes."""

    def seconds(self) -> float:
        return 0.0

    def pids(self) -> Sequence[int]:
        return ()


def measure(options: Options) -> Findings:
    return counted(servers.FOLDER, options.pick(500, 40))


def counted(folder: Path, workers: int) -> Findings:
    """Return the figures of the version in ``folder``."""
    servers.FOLDER = folder
    figures = [*_transactions_and_wake_ups(workers)]
    notes = []
    if shutil.which("strace") is None:
        notes.append("strace is not installed here, so system calls are not counted.")
    else:
        calls_of_few, calls_of_many = _calls(WARM_UP_WORKERS), _calls(WARM_UP_WORKERS + workers)
        calls = {
            name: (calls_of_many[name] - calls_of_few[name]) / workers for name in calls_of_many
        }
        figures.append(Figure(what="system calls", value=sum(calls.values()), unit="per worker"))
        for name in sorted(calls, key=lambda each: -calls[each])[:NAMED]:
            figures.append(Figure(what=f"of these, {name}", value=calls[name], unit="per worker"))
    return Findings(figures=figures, notes=notes)


def _transactions_and_wake_ups(workers: int) -> Sequence[Figure]:
    directory = place()
    (directory / "sitecustomize.py").write_text(_COUNTER)
    count_file = directory / "transactions"
    count_file.write_bytes(bytes(8))
    # Put the module into a directory in which the server searches for modules.
    os.environ["BENCHMARK_TRANSACTIONS"] = str(count_file)
    former_path, servers.EXTRA_PATH = servers.EXTRA_PATH, str(directory)
    try:
        with running_server(SLOTS) as server, closing(server.client()) as client:
            run_job(client, ["/bin/true"], WARM_UP_WORKERS, SLOTS)
            first_counts = _number(count_file), _wake_ups(server)
            run_job(client, ["/bin/true"], workers, SLOTS)
            last_counts = _number(count_file), _wake_ups(server)
    finally:
        servers.EXTRA_PATH = former_path
        del os.environ["BENCHMARK_TRANSACTIONS"]
    names = ("transactions", "wake-ups of the server and its shims")
    return [
        Figure(what=name, value=(after - first) / workers, unit="per worker")
        for name, first, after in zip(names, first_counts, last_counts, strict=True)
    ]


def _number(path: Path) -> int:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as count:
        return int(struct.unpack("q", count[:])[0])


def _wake_ups(server: Server) -> int:
    """Return the voluntary context switches of all threads of the server and of its descendants."""
    by_parent, unread, total = children(), [server.pid], 0
    while unread:
        pid = unread.pop()
        unread += by_parent.get(pid, ())
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            try:
                lines = status.read_text().splitlines()
            except OSError:
                continue  # the thread has ended
            switches = (line for line in lines if line.startswith("voluntary_ctxt_switches"))
            total += sum(int(line.split()[1]) for line in switches)
    return total


def _calls(workers: int) -> Counter[str]:
    """Return the number of a server's system calls from its start to its end, by name."""
    output = place() / "calls"
    command = ["strace", "-D", "-f", "-qq", "-c", "-U", "name,calls", "-o", str(output)]
    with (
        running_server(SLOTS, group=Traced(command)) as server,
        closing(server.client()) as client,
    ):
        run_job(client, ["/bin/true"], workers, SLOTS)
    calls: Counter[str] = Counter()
    for line in output.read_text().splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdecimal() and words[0] != "total":
            calls[words[0]] += int(words[1])
    return calls


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counts", description=__doc__)
    parser.add_argument("--folder", type=Path, default=servers.FOLDER, metavar="DIR")
    parser.add_argument("--workers", type=int, default=500, metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    findings = counted(arguments.folder.resolve(), arguments.workers)
    print(json.dumps(findings.to_json(), indent=2) if arguments.json else findings.to_markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
