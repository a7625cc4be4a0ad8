"""``python -m tests.support.node_kills --nodes 3 --kills 200``: runs jobs while nodes are killed.

With ``--own-files``, the nodes do not share the server's files.

Each node has its own network and process namespaces (``tests.support.machines``). At random
times, one of these faults happens: a process of a node is killed or stopped; a node is switched off
or cut off from the server; the server is killed. The jobs have child jobs, worktrees, merges, and
gates.

Each run of a worker writes a line to a file ten times a second, also during a partition. Each line
has the time since boot, which is the same on all nodes. The lines show whether two runs of a worker
overlap, and whether a run continues after its job's end.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from orchestrator.core.events import EventKind
from orchestrator.system import process_table
from tests.faults.site import ENDED, FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import Answer, until, worker_processes
from tests.support import above
from tests.support.cluster import TestCluster
from tests.support.machines import Machine, Namespace, namespaces
from tests.support.project import Project, agents, edit

#: Number of parallel jobs, and number of workers per node.
AT_ONCE, SLOTS = 3, 2
#: Seconds between two kills.
PAUSES = (0.2, 1.5)
#: Short, so that lost nodes take seconds.
LEASE = 4.0
#: Seconds for which a node is cut off, or its own processes are stopped.
CUTS = (0.5, 2.0, 5.0, 9.0, 12.0, 14.0)
#: Seconds for which all processes of a node are stopped: less than the server waits after a lease.
FREEZE = 1.0
#: Minimum and maximum number of lines that a short or a long worker writes, and the share of long
#: workers. Long workers outlive the lease of a node that is cut off.
SHORT, LONG, SHARE_OF_LONG = (3, 25), (60, 110), 0.3
#: Seconds in which the remaining jobs must end after the last kill.
WITHIN = 300.0

#: First lines of each worker's script. All processes of the worker inherit the descriptor that
#: holds the lock.
WITNESS = """\
exec 9>>"{place}/lock.$ORCHESTRATOR_JOB_ID.$ORCHESTRATOR_WORKER_ID"
flock -n 9 || echo "overlap $ORCHESTRATOR_WORKER $ORCHESTRATOR_NODE" >> '{effects}'
echo "start $ORCHESTRATOR_WORKER $ORCHESTRATOR_NODE" >> '{effects}'
for n in $(seq {count}); do
    echo "line $n"
    echo "$ORCHESTRATOR_WORKER $(cut -d ' ' -f 1 /proc/uptime)" >> '{signs}'
    sleep 0.1
done
"""
#: For nodes with their own files: writes a file that is slow to transfer, and prints its digest.
LARGE = """\
head -c 3000000 /dev/urandom > "$ORCHESTRATOR_WORKER_DIR/large"
echo "digest $(sha256sum < "$ORCHESTRATOR_WORKER_DIR/large" | cut -c 1-64)"
"""
#: Files that a job adds to the project, and the file that its child job adds.
RESULT = {"above.txt", "again.txt", "first.txt", "last.txt"}
CHILD_FILE = "below.txt"


class Victim(StrEnum):
    #: The serving process of a node.
    DAEMON = "daemon"
    SHIM = "shim"
    SPAWNER = "spawner"
    #: All processes of a node.
    NODE = "node"
    #: The network of a node, in both directions.
    LINK = "link"
    #: The network of a node, in one direction.
    ONE_WAY = "one way"
    #: The node's own processes are stopped, but not its shims and workers.
    STOP = "stop"
    #: All processes of a node are stopped.
    FREEZE = "freeze"
    SERVER = "server"


_WEIGHTS = {
    Victim.DAEMON: 20,
    Victim.SHIM: 18,
    Victim.SPAWNER: 8,
    Victim.NODE: 12,
    Victim.LINK: 16,
    Victim.ONE_WAY: 12,
    Victim.STOP: 12,
    Victim.FREEZE: 4,
    Victim.SERVER: 10,
}


@dataclass
class Figures:
    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)
    #: Reasons of failed attempts that a kill caused, such as a failed call of the API.
    failures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {times}" for kind, times in sorted(self.kills.items()))
        failures = "; ".join(f"{why}: {times}" for why, times in self.failures.most_common())
        return (
            f"kills survived {self.kills.total()} ({kinds}); jobs run {self.jobs}, runs of workers "
            f"{self.runs}, lost {self.lost}, doubled {self.doubled}, otherwise wrong "
            f"{len(self.wrong)}; failed attempts: {failures or 'none'}"
        )


class NodeKills:
    """A server that runs all workers on nodes, and the faults of these nodes."""

    def __init__(
        self,
        folder: Path,
        zygote: Zygote,
        seed: int,
        networks: list[Namespace],
        own_files: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._random = random.Random(seed)
        self._own_files = own_files
        # Outside the server's folder, because some nodes cannot see that folder.
        self._folder, self._signs, self._effects = folder, folder / "signs", folder / "effects"
        self._signs.touch()
        self._effects.touch()
        self._cluster = TestCluster(folder, host="0.0.0.0")
        self._project = Project(folder / "project").begin({"README.md": "x\n"})
        self._site = FaultSite(
            folder / "site",
            zygote,
            orchestrator={"project_root": str(self._project.path)},
            agents=agents(folder),
            cluster={
                "listen": f"0.0.0.0:{self._cluster.port}",
                "certificates": str(self._cluster.certificates),
                "slots_here": 0,
                "lease": LEASE,
            },
            workers={
                "max_retries": 6,
                "retry_backoff_seconds": 0.05,
                "max_workers": SLOTS * len(networks),
            },
        )
        self._site.most_starts = sys.maxsize
        self._machines = [self._machine(f"n{n}", each) for n, each in enumerate(networks, 1)]
        self._jobs: list[str] = []
        self._submitted = 0
        #: Time and action that end the disturbance of a machine; time at which the server restarts.
        self._pending: dict[Machine, tuple[float, Callable[[], None]]] = {}
        self._server_back_at = 0.0
        self._first = self._random.sample(list(Victim), len(Victim))
        self.figures = Figures()

    def _machine(self, name: str, network: Namespace) -> Machine:
        join_file = self._cluster.add(name, host=network.server)
        apart = (self._site.folder, self._project.path) if self._own_files else ()
        return Machine(name, network, join_file, self._folder / name, apart)

    def run(self, kills: int, seconds: float = 3600.0) -> Figures:
        """Cause faults until their number is ``kills`` or ``seconds`` have passed."""
        ends = time.monotonic() + seconds
        try:
            self._site.ensure()
            for machine in self._machines:
                machine.boot()
            until(lambda: self._count_up() == len(self._machines), "the nodes are up")
            while self.figures.kills.total() < kills and time.monotonic() < ends:
                self._fill()
                time.sleep(self._random.uniform(*PAUSES))
                self._kill()
                self._restore()
                self._collect()
            self._finish()
        finally:
            for machine in self._machines:
                machine.off()
            self._site.end()
        return self.figures

    def _count_up(self) -> int:
        rows = self._site.insist(lambda: self._site.call("GET", "/nodes"))["nodes"]
        return sum(row["state"] == "up" for row in rows)

    # Jobs

    def _fill(self) -> None:
        if self._is_away():
            return
        while len(self._jobs) < AT_ONCE:
            self._submitted += 1
            name = f"job {self._submitted}"
            gate = "test -e README.md && sleep 0.1"
            self._jobs.append(self._site.submit_once(self._tasks(), name, gates=[gate]))

    def _tasks(self) -> list[Answer]:
        """Tasks with a child job, a failure, and a dependency."""
        children = self._folder / f"children_{self._submitted}.json"
        below = self._witnessed(f"echo x > {CHILD_FILE}")
        children.write_text(json.dumps([edit(below, retries=50)]))
        spawn = f"orchestrator spawn child --tasks '{children}' --wait >/dev/null"
        again = f"{self._folder}/tried.$ORCHESTRATOR_JOB_ID"
        return [
            self._task("echo x > first.txt", "first"),
            self._task(f"{spawn}\necho x > above.txt", "parent"),
            self._task(
                f"[ -e {again} ] || {{ touch {again}; exit 9; }}\necho x > again.txt", "again"
            ),
            self._task("echo x > last.txt", "last", depends_on=["first", "again"]),
        ]

    def _task(self, script: str, name: str, **more: object) -> Answer:
        return edit(self._witnessed(script), id=name, retries=50, **more)

    def _witnessed(self, script: str) -> str:
        count = self._random.randint(*(LONG if self._random.random() < SHARE_OF_LONG else SHORT))
        witness = WITNESS.format(
            place=self._folder, effects=self._effects, signs=self._signs, count=count
        )
        large = LARGE if self._own_files else ""
        return f"{witness}{large}echo 'all {count}'\n{script}"

    def _collect(self) -> None:
        if self._is_away():
            return
        self._site.ensure()
        for job in list(self._jobs):
            answer = self._site.insist(
                lambda job=job: self._site.call("GET", f"/jobs/{job}/status")
            )
            if answer["status"] in ENDED:
                # Listed at once: no process of an ended job may run, even on a cut-off node.
                alive = worker_processes(job)
                self._jobs.remove(job)
                self.figures.jobs += 1
                self._judge(job, answer, alive)

    def _finish(self) -> None:
        """End all disturbances, and wait for the jobs and the nodes."""
        self._server_back_at = 0.0
        for machine in list(self._pending):
            self._restore_now(machine)
        deadline = time.monotonic() + WITHIN
        while self._jobs and time.monotonic() < deadline:
            self._collect()
            time.sleep(0.05)
        for job in self._jobs:
            self.figures.lost += 1
            answer = self._site.get(f"/jobs/{job}")
            self.figures.wrong.append(f"{job} has not ended: {answer}")
        until(lambda: self._count_up() == len(self._machines), "the nodes are back")
        directories = [self._folder / each.name / "attempts" for each in self._machines]
        if self._own_files:
            directories += [self._folder / each.name / "files" for each in self._machines]
        until(
            lambda: not any(list(each.iterdir()) for each in directories),
            "the nodes have deleted their attempts and files",
        )
        until(lambda: not self._project.worktrees(), "no worktree remains")

    # Kills

    def _kill(self) -> None:
        kind = self._next_kind()
        if kind is Victim.SERVER:
            if not self._is_away():
                self._kill_server()
            return
        free = [each for each in self._machines if each not in self._pending]
        if not free or (kind not in (Victim.DAEMON, Victim.SHIM, Victim.SPAWNER) and len(free) < 2):
            # At least one node keeps working.
            return
        machine = self._random.choice(free)
        with suppress(ProcessLookupError):
            if self._disturb(machine, kind):
                self.figures.kills[kind] += 1

    def _next_kind(self) -> Victim:
        """Choose each kind once before any kind is repeated; then choose by weight."""
        if self._first:
            return self._first.pop()
        return self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]

    def _kill_server(self) -> None:
        self._site.kill()
        self.figures.kills[Victim.SERVER] += 1
        if self._random.random() < 0.4:
            # Sometimes for longer than the lease.
            self._server_back_at = time.monotonic() + self._random.uniform(0.5, 8.0)

    def _is_away(self) -> bool:
        return time.monotonic() < self._server_back_at

    def _disturb(self, machine: Machine, kind: Victim) -> bool:
        network, cut = machine.network, self._random.choice(CUTS)
        match kind:
            case Victim.DAEMON | Victim.SHIM | Victim.SPAWNER:
                pid = _find(machine, kind, self._random)
                if not pid:
                    return False
                os.kill(pid, signal.SIGKILL)
            case Victim.NODE:
                if self._random.random() < 0.5:
                    # Cut off first, so that no peer gets the last packets of its connections.
                    network.cut()
                machine.off()
                self._later(machine, self._random.uniform(0.0, 8.0), lambda: _boot(machine))
            case Victim.LINK:
                network.cut()
                self._later(machine, cut, network.reconnect)
            case Victim.ONE_WAY:
                to = self._random.choice(("node", "server"))
                network.cut_one_way(to)
                self._later(machine, cut, lambda: network.reconnect_one_way(to))
            case Victim.STOP:
                pids = machine.node_pids()
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                self._later(machine, cut, lambda: _continue(pids))
            case Victim.FREEZE:
                machine.signal_all(signal.SIGSTOP)
                self._later(machine, FREEZE, lambda: machine.signal_all(signal.SIGCONT))
                # Ended here, because the next kill may be later.
                time.sleep(FREEZE)
                self._restore_now(machine)
        return True

    def _later(self, machine: Machine, seconds: float, action: Callable[[], None]) -> None:
        self._pending[machine] = time.monotonic() + seconds, action

    def _restore(self) -> None:
        for machine, (at, _) in list(self._pending.items()):
            if time.monotonic() >= at:
                self._restore_now(machine)

    def _restore_now(self, machine: Machine) -> None:
        _, action = self._pending.pop(machine)
        action()

    # Invariants

    def _judge(self, job: str, answer: Answer, alive: list[int]) -> None:
        try:
            self._check(job, answer, alive)
        except AssertionError as error:
            finding = f"{job}: {error}"
            self.figures.lost += answer["status"] != "completed"
            self.figures.doubled += "twice" in finding or "overlap" in finding
            self.figures.wrong.append(finding)

    def _check(self, job: str, answer: Answer, alive: list[int]) -> None:
        assert not alive, (
            f"processes of an ended job: {[process_table.command_line(p) for p in alive]}"
        )
        assert answer["status"] == "completed", answer
        rows = answer["results"]["tasks"]
        for row in rows:
            assert row["status"] in ("success", "recursive_success"), row
            _check_output(row["output"])
            if self._own_files:
                _check_large(
                    self._site.directory(job) / "depth_0" / row["worker_id"], row["output"]
                )
        starts = [each for each in self._lines(self._effects) if f" {job}/" in each]
        assert not [each for each in starts if each.startswith("overlap")], starts
        attempts = Counter(each.split()[1] for each in starts)
        assert max(attempts.values()) == 1, f"an attempt ran twice: {starts}"
        self._check_signs(job)
        self.figures.runs += len(starts)
        events = self._site.events_of(job)
        _check_events(events)
        directory = self._site.directory(job)
        # A server that was killed just after the job's end renders the report after its restart.
        until((directory / "FINAL_RESULT.md").exists, "FINAL_RESULT.md exists")
        runs = list((directory / "attempts").glob("*.run"))
        assert not runs, f"attempts are still recorded as running: {runs}"
        files = set(self._project.files(f"orchestrator/{job}/result"))
        assert files == {"README.md", *RESULT, CHILD_FILE}, files
        self._count_failures(job)

    def _check_signs(self, job: str) -> None:
        """Check that no two runs of a worker overlap."""
        runs: dict[str, list[float]] = defaultdict(list)
        for line in self._lines(self._signs):
            attempt, _, at = line.partition(" ")
            if attempt.startswith(f"{job}/"):
                runs[attempt].append(float(at))
        by_worker: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for attempt, times in runs.items():
            by_worker[attempt.rpartition("/")[0]].append((min(times), max(times), attempt))
        for spans in by_worker.values():
            spans.sort()
            for (_, ended, one), (began, _, two) in pairwise(spans):
                assert began >= ended, f"{one} and {two} overlap by {ended - began:.2f} s"

    def _count_failures(self, job: str) -> None:
        workers = self._site.insist(lambda: self._site.call("GET", f"/jobs/{job}"))["workers"]
        for worker in workers:
            for attempt in worker["attempts"]:
                if attempt.get("exit_code") not in (0, 9):
                    self.figures.failures[str(attempt["reason"])[:60]] += 1

    def _lines(self, path: Path) -> list[str]:
        return path.read_bytes().rpartition(b"\n")[0].decode().splitlines()


def _check_output(output: str) -> None:
    lines = [each for each in output.splitlines() if each.startswith(("line ", "all "))]
    assert lines and lines[-1].startswith("all "), f"the log is incomplete: {output}"
    count = int(lines[-1].removeprefix("all "))
    assert lines[:-1] == [f"line {n}" for n in range(1, count + 1)], f"log: {output}"


def _check_large(directory: Path, output: str) -> None:
    [line] = [each for each in output.splitlines() if each.startswith("digest ")]
    found = hashlib.sha256((directory / "large").read_bytes()).hexdigest()
    assert line == f"digest {found}", f"{directory}: the file is damaged or from another attempt"


def _check_events(events: list[Answer]) -> None:
    """Check that the events have no gap, and that each job and each worker ended once."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), "a gap of events"
    ends = Counter(
        (event["job_id"], event.get("worker_id"))
        for event in events
        if event["kind"] in (EventKind.JOB_ENDED, EventKind.WORKER_ENDED)
    )
    assert max(ends.values()) == 1, f"an end was reported twice: {ends}"


def _boot(machine: Machine) -> None:
    machine.network.reconnect()
    machine.boot()


def _continue(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _find(machine: Machine, kind: Victim, rng: random.Random) -> int:
    """Return the pid of a process of this kind; 0 if no such process exists."""
    daemon = machine.daemon
    if kind is Victim.DAEMON or not daemon:
        return daemon
    keepers = above.keepers(daemon)
    if kind is Victim.SPAWNER:
        return next((found for each in keepers if (found := above.spawner(each))), 0)
    shims = [shim for each in keepers for shim in above.shims(each) if process_table.children(shim)]
    return rng.choice(shims) if shims else 0


def kill_nodes(
    folder: Path, zygote: Zygote, seed: int, kills: int, nodes: int = 3, own_files: bool = False
) -> Figures:
    with namespaces(nodes) as networks:
        return NodeKills(folder, zygote, seed, networks, own_files).run(kills)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--own-files", action="store_true", help="nodes do not share the server's files"
    )
    parser.add_argument("--directory", type=Path, help="directory in which the files remain")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        zygote = Zygote()
        try:
            folder = options.directory or Path(place)
            settings = options.seed, options.kills, options.nodes, options.own_files
            figures = kill_nodes(folder / "site", zygote, *settings)
        finally:
            zygote.close()
    print(f"seed {options.seed}: {figures}")
    for finding in figures.wrong:
        print(finding, file=sys.stderr)
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
