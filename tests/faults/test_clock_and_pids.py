"""Clocks that jump, reused process ids, and zombies that no process reaps."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from orchestrator.system import process_table
from tests.faults.zygote import REPOSITORY
from tests.integration.site import ServerProcess, shell, until
from tests.support.examples import nightly

#: Long timeout, because tests start up to three servers without the zygote.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HOUR = 3600

#: A server whose wall clock differs by the seconds in a file.
CLOCK = """
import sys, time
path, real = sys.argv.pop(1), time.time
def jumping():
    with open(path) as file:
        return real() + float(file.read())
time.time = jumping
from orchestrator.cli.command_line.main import main
main()
"""


class JumpingServer(ServerProcess):
    #: Time offset of the next server.
    begins_at = 0.0

    def popen(self, *arguments: str) -> "subprocess.Popen[bytes]":
        self.offset = self.folder / "offset"
        self.set(self.begins_at)
        with (self.folder / "server.out").open("ab") as output:
            argv = [sys.executable, "-c", CLOCK, str(self.offset), "serve", *arguments]
            return subprocess.Popen(
                argv, env=self.environment(), cwd=self.folder, stdout=output, stderr=output
            )

    def set(self, seconds: float) -> None:
        temporary = self.offset.with_suffix(".new")
        temporary.write_text(str(seconds))
        temporary.replace(self.offset)


@pytest.mark.parametrize("seconds", [-HOUR, *nightly(HOUR)], ids=["back", "ahead"])
def test_a_clock_that_jumps_ends_nothing_and_holds_nothing_up(
    tmp_path: Path, seconds: float
) -> None:
    workers = {"retry_backoff_seconds": 0.5, "default_timeout": 60}
    server = JumpingServer(tmp_path / "site", {"workers": workers})
    try:
        server.start()
        ready, gate = tmp_path / "ready", tmp_path / "gate"
        wait = f"touch {ready}; until [ -e {gate} ]; do sleep 0.05; done; echo held"
        again = "[ -e tried ] || { touch tried; exit 1; }; echo again"
        tasks = [shell(wait), shell(again, retries=1), shell("echo next", depends_on=["t1"])]
        tasks[0]["id"] = "t1"
        job = server.submit("x", tasks, max_wall_seconds=HOUR / 2)
        until(ready.exists, "it runs")
        server.set(seconds)
        other = server.run("begun after it", [shell("echo other")])
        gate.touch()

        ended = server.wait(job)

        outputs = [row["output"] for row in ended["results"]["tasks"]]
        assert (ended["status"], outputs) == ("completed", ["held", "again", "next"])
        assert other["status"] == "completed"
    finally:
        server.stop()


@pytest.mark.parametrize("seconds", [HOUR, *nightly(-HOUR)], ids=["ahead", "back"])
def test_a_clock_that_jumps_while_there_is_no_server_ends_nothing_either(
    tmp_path: Path, seconds: float
) -> None:
    workers = {"retry_backoff_seconds": 3.0, "default_timeout": 60}
    server = JumpingServer(tmp_path / "site", {"workers": workers})
    try:
        server.start()
        gate = tmp_path / "gate"
        wait = f"until [ -e {gate} ]; do sleep 0.05; done; echo held"
        again = "[ -e tried ] || { touch tried; exit 1; }; echo again"
        job = server.submit("x", [shell(wait), shell(again, retries=1)], max_wall_seconds=HOUR / 2)
        until(lambda: "retrying in" in str(server.get(f"/jobs/{job}")["workers"]), "it failed once")
        server.kill()
        server.begins_at = seconds
        server.start()
        gate.touch()

        ended = server.wait(job)

        outputs = [row["output"] for row in ended["results"]["tasks"]]
        assert (ended["status"], outputs) == ("completed", ["held", "again"])
        # Without running jobs, the clock decides the time.
        server.kill()
        server.start()
        after = server.get(f"/jobs/{server.submit('y', [shell('true')])}")["created_at"]
        assert abs(datetime.fromisoformat(after).timestamp() - time.time() - seconds) < HOUR / 2
    finally:
        server.stop()


#: Program in a separate PID namespace, in which two successive processes get the same pid.
SAME_PID = """
import os, signal, subprocess, sys
from orchestrator.launchers.process import process_control
from orchestrator.system import process_table
def sleeper():
    return subprocess.Popen(["sleep", "60"])
first = sleeper()
found = process_table.look_up(first.pid)
first.kill(); first.wait()
while process_table.look_up(found.pid) is not None: pass
# Ticks are hundredths of a second: the second process must not start in the same one.
def uptime(): return float(open("/proc/uptime").read().split()[0])
began = uptime()
while uptime() < began + 0.05: pass
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(found.pid - 1))
second = sleeper()
assert second.pid == found.pid, (second.pid, found.pid)
assert process_table.start_ticks(second.pid) != found.ticks
process_control.send_signal(found, signal.SIGKILL)
try:
    second.wait(0.5)
    print("killed")
except subprocess.TimeoutExpired:
    print("spared")
second.kill(); second.wait()
"""


def test_a_process_with_the_pid_of_a_dead_one_is_never_signalled() -> None:
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "--map-root-user"]
    if subprocess.run([*argv, "true"], capture_output=True).returncode != 0:
        pytest.skip("there are no user namespaces here")
    python = [sys.executable, "-c", SAME_PID]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run([*argv, *python], env=env, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("spared\n", 0), done.stderr


def test_a_zombie_that_no_process_reaps_is_dead() -> None:
    """The process that adopts orphans of the tests does not always reap them."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        found = process_table.look_up(pid)

        assert found is not None and found.state == "Z"
        assert not found.alive and process_table.start_ticks(pid) is None
    finally:
        os.waitpid(pid, 0)
