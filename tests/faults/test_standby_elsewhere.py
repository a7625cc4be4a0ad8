"""A standby server on another machine, with PostgreSQL and a server lease."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.contract.store_adapters import database
from tests.faults.gateway import Gateway
from tests.faults.site import check_events_once
from tests.integration.site import Answer, ServerProcess, complete_lines, shell, until
from tests.support.cluster import NodeProcess, TestCluster
from tests.support.machines import skip_or_fail
from tests.support.ports import free_port
from tests.support.server_machines import ServerMachine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LEASE = 3.0
#: Seconds from the last renewal of the lease until another server may start workers.
FENCED = LEASE * 1.01 + 2.5

#: A worker's script: it holds a lock, and writes the time since boot ten times a second.
WITNESS = """\
exec 9>>"{place}/lock.$ORCHESTRATOR_WORKER_ID"
flock -n 9 || echo "overlap $ORCHESTRATOR_WORKER 0" >> '{signs}'
until [ -e '{gate}' ]; do
    echo "$ORCHESTRATOR_WORKER $(cut -d ' ' -f 1 /proc/uptime)" >> '{signs}'
    sleep 0.1
done
echo result
"""


class TwoMachines:
    """Two machines with one workspace and one PostgreSQL database."""

    def __init__(self, tmp_path: Path, stack: ExitStack, **cluster: object) -> None:
        try:
            subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            skip_or_fail("this machine cannot create PID namespaces", error)
        url = stack.enter_context(database("postgresql", tmp_path))
        server = make_url(url)
        self.gateways = [Gateway(server.host or "127.0.0.1", server.port or 5432) for _ in range(2)]
        for gateway in self.gateways:
            stack.callback(gateway.close)
        ways = [server.set(host="127.0.0.1", port=each.port) for each in self.gateways]
        changes: dict[str, dict[str, object]] = {
            "store": {"url": url},
            "cluster": {"server_lease": LEASE, **cluster},
            "workers": {"max_retries": 0, "retry_backoff_seconds": 0.05},
        }
        self.shared = ServerProcess(tmp_path / "site", changes)
        self.first, self.second = self.machines = [
            ServerMachine(
                name, self.shared, tmp_path / name, way.render_as_string(hide_password=False)
            )
            for name, way in zip(("first", "second"), ways, strict=True)
        ]
        stack.callback(self.second.stop)
        stack.callback(self.first.stop)
        self.gate, self.signs = tmp_path / "gate", tmp_path / "signs"
        self.signs.touch()
        self._place = tmp_path

    def task(self, **more: object) -> Answer:
        script = WITNESS.format(place=self._place, signs=self.signs, gate=self.gate)
        return shell(script, **more)

    def start(self, tasks: int = 2) -> str:
        """Start both servers, and a job of one finished and some running workers."""
        self.first.start()
        assert self.first.run("done", [shell("echo one")])["status"] == "completed"
        job = self.first.submit("x", [shell("echo early"), *[self.task()] * tasks])
        until(lambda: len(self.runs()) == tasks, "all run")
        early = self.first.directory(job) / "attempts"
        until(lambda: list(early.glob("worker_1.*.json")), "the first worker has ended")
        self.wait_on(self.second)
        return job

    def wait_on(self, machine: ServerMachine) -> None:
        machine.boot("--standby")
        until(lambda: "standby: waiting" in machine.output(), f"the standby {machine.name} waits")

    def has_runs(self, count: int) -> bool:
        return len(self.runs()) == count

    def runs(self) -> dict[str, list[float]]:
        """Return the written times, by attempt."""
        found: dict[str, list[float]] = defaultdict(list)
        for line in complete_lines(self.signs):
            attempt, _, at = line.rpartition(" ")
            found[attempt].append(float(at))
        return found

    def finish(self, job: str) -> Answer:
        """Let the workers end on the second machine, and check that no run overlapped another."""
        self.second.until_serving()
        until(lambda: self.has_all_twice(job), "all run again", 60)
        self.gate.touch()
        ended = self.second.wait(job)
        outputs = [row["output"].strip() for row in ended["results"]["tasks"]]
        assert (ended["status"], outputs) == ("completed", ["early", "result", "result"]), ended
        self.check_runs()
        check_events_once(self.events(job), self.second.output())
        assert not list((self.second.directory(job) / "attempts").glob("*.run"))
        return ended

    def has_all_twice(self, job: str) -> bool:
        return len([each for each in self.runs() if each.startswith(f"{job}/")]) == 4

    def forget_locks(self) -> None:
        """Let new workers lock new files, because stopped processes keep their locks."""
        for each in self._place.glob("lock.*"):
            each.unlink()

    def events(self, job: str) -> list[Answer]:
        path = f"/jobs/{job}/events"
        text = self.second.call("GET", path).text
        return [json.loads(data) for data in re.findall(r"^data: (.*)$", text, re.MULTILINE)]

    def check_runs(self, runs: int = 2) -> None:
        workers: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for attempt, times in self.runs().items():
            assert not attempt.startswith("overlap"), self.signs.read_text()
            workers[attempt.rpartition("/")[0]].append((min(times), max(times)))
        for spans in workers.values():
            spans.sort()
            assert len(spans) == runs
            assert all(after[0] >= before[1] for before, after in pairwise(spans)), spans


@pytest.fixture
def two(tmp_path: Path) -> Iterator[TwoMachines]:
    with ExitStack() as stack:
        yield TwoMachines(tmp_path, stack)


def test_a_standby_replaces_a_lost_machine(two: TwoMachines) -> None:
    job = two.start()
    lost_at = time.monotonic()

    two.first.off()

    two.second.until_serving()
    # The last renewal was at most a part of the lease earlier.
    assert time.monotonic() - lost_at > FENCED - LEASE / 4
    ended = two.finish(job)
    rows = ended["results"]["tasks"]
    assert [row["attempts"] for row in rows] == [1, 2, 2]


def test_a_server_without_its_database_stops_before_it_is_replaced(two: TwoMachines) -> None:
    job = two.start()

    with two.gateways[0].closed(), ThreadPoolExecutor() as threads:
        answer = threads.submit(two.first.post, "z", [shell("echo one")])
        until(lambda: two.first.exit_code is not None, "the first server has exited", 60)
        assert two.first.exit_code == 1
        assert "the server's lease (cluster.server_lease: 3) ended" in two.first.output()
        assert answer.result().status_code == 503
        two.finish(job)


@pytest.mark.nightly
def test_a_server_that_hangs_is_killed_before_it_is_replaced(two: TwoMachines) -> None:
    job = two.start()
    pid = two.first.server_pid

    two.first.signal_server(signal.SIGSTOP)

    until(lambda: two.first.exit_code == 137, "the first server is killed", 60)
    assert not os.path.exists(f"/proc/{pid}")
    two.finish(job)


def test_a_machine_that_wakes_after_its_lease_writes_nothing(two: TwoMachines) -> None:
    job = two.start()
    two.first.signal_all(signal.SIGSTOP)
    two.second.until_serving()
    until(lambda: two.has_all_twice(job), "all run again", 60)

    two.first.signal_all(signal.SIGCONT)

    until(lambda: two.first.exit_code is not None, "the first server has exited", 60)
    assert two.first.exit_code in (1, 137)
    two.gate.touch()
    ended = two.second.wait(job)
    assert ended["status"] == "completed"
    assert [row["attempts"] for row in ended["results"]["tasks"]] == [1, 2, 2]
    check_events_once(two.events(job), two.second.output())


@pytest.mark.nightly
def test_a_standby_starts_at_once_after_an_orderly_stop(two: TwoMachines) -> None:
    job = two.start()

    two.first.signal_server(signal.SIGTERM)
    until(lambda: two.first.exit_code == 0, "the first server has exited")

    two.finish(job)
    assert "standby" in two.second.output()


def test_a_standby_adopts_the_workers_of_nodes(tmp_path: Path) -> None:
    cluster = TestCluster(tmp_path)
    ports = (cluster.port, free_port())
    cluster.registry.init(*(f"127.0.0.1:{port}" for port in ports))
    with ExitStack() as stack:
        two = TwoMachines(
            tmp_path,
            stack,
            certificates=str(cluster.certificates),
            listen=f"127.0.0.1:{ports[0]}",
            slots_here=0,
            lease=30,
        )
        environ = {each: v for each, v in os.environ.items() if "ORCHESTRATOR" not in each}
        node = NodeProcess(cluster.add("n1"), tmp_path / "n1", environ=environ)
        stack.callback(node.end)
        two.first.start()
        job = two.first.submit("x", [two.task()])
        until(lambda: len(two.runs()) == 1, "it runs")
        two.shared.change(cluster={"listen": f"127.0.0.1:{ports[1]}"})
        two.wait_on(two.second)

        two.first.off()

        two.second.until_serving()
        until(lambda: two.second.get("/nodes")["nodes"][0]["state"] == "up", "the node is back")
        two.gate.touch()
        [row] = two.second.wait(job)["results"]["tasks"]
        assert (row["status"], row["attempts"]) == ("success", 1)
        assert list(two.runs()) == [f"{job}/worker_1/1"]


@pytest.mark.nightly
def test_a_standby_elsewhere_is_refused_without_a_lease(tmp_path: Path) -> None:
    with ExitStack() as stack:
        two = TwoMachines(tmp_path, stack)
        lease = {"cluster": {"server_lease": None}}
        two.shared.change(**lease)
        two.first.start()
        two.shared.change(cluster={"server_lease": LEASE})

        two.second.boot("--standby")

        until(lambda: two.second.exit_code, "it ends")
        assert "restart the running server with the setting" in two.second.output()
        assert two.first.run("y", [shell("echo one")])["status"] == "completed"


class Fault(StrEnum):
    #: All processes of the machine are killed.
    OFF = "off"
    #: The server is stopped.
    HANG = "hang"
    #: All processes of the machine are stopped, and never continue.
    FREEZE = "freeze"
    #: All connections to the database are closed, and new connections are refused.
    CUT = "cut"
    #: The server gets SIGTERM.
    STOP = "stop"


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_servers_that_replace_each_other_double_and_lose_nothing(tmp_path: Path) -> None:
    """Each kind of fault meets each machine."""
    seed = int(os.environ.get("ORCHESTRATOR_TEST_SEED", "1"))
    faults = random.Random(seed).sample(list(Fault), len(Fault))
    with ExitStack() as stack:
        two = TwoMachines(tmp_path, stack)
        serving, waiting = 0, 1
        two.machines[serving].start()
        job = two.first.submit("x", [two.task()] * 3)
        for turn, fault in enumerate([*faults, *reversed(faults)], 1):
            until(partial(two.has_runs, 3 * turn), f"all run, before {fault}")
            two.wait_on(two.machines[waiting])
            strike(two, serving, fault)
            two.machines[waiting].until_serving()
            two.machines[serving].off()
            two.gateways[serving].open()
            two.machines[serving].forget_output()
            serving, waiting = waiting, serving
        turns = 2 * len(faults) + 1
        until(partial(two.has_runs, 3 * turns), "all run")
        two.gate.touch()

        ended = two.machines[serving].wait(job)

        rows = ended["results"]["tasks"]
        assert [(row["status"], row["attempts"]) for row in rows] == [("success", turns)] * 3
        two.check_runs(turns)
        two.second = two.machines[serving]
        check_events_once(two.events(job), two.second.output())


def strike(two: TwoMachines, number: int, fault: Fault) -> None:
    machine = two.machines[number]
    match fault:
        case Fault.OFF:
            machine.off()
        case Fault.HANG:
            machine.signal_server(signal.SIGSTOP)
        case Fault.FREEZE:
            machine.signal_all(signal.SIGSTOP)
            two.forget_locks()
        case Fault.CUT:
            two.gateways[number].shut()
        case Fault.STOP:
            machine.signal_server(signal.SIGTERM)
