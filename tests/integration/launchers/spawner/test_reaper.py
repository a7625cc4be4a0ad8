"""The reaper lists each leftover process that it kills."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).absolute().parents[4]

#: A process of a dead shim. Its child is adopted between the listing and the kill.
ADOPTED_LATE = """
import json, os, signal, socket, sys, time
from orchestrator.system import process_table
from orchestrator.launchers.spawner.reaper import Reaper, ShimTable

control, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
table = ShimTable()
reaper = Reaper(control, {"mode": "subreaper"}, table)
shim = os.posix_spawnp("sh", ["sh", "-c", "sleep 60 & wait"], os.environ)
table.add(1)
reaper._shims[shim] = 1
reaper._stops[shim] = 0
while not (grandchildren := list(process_table.children(shim))):
    time.sleep(0.01)
listed = reaper._containment.unreaped

def list_then_adopt(spare):
    found = listed(spare)
    reaper._containment.unreaped = listed
    os.kill(shim, signal.SIGKILL)
    while grandchildren[0] not in process_table.children(os.getpid()):
        time.sleep(0.01)
    return found

reaper._containment.unreaped = list_then_adopt
while reaper._has_work:
    reaper._clean_up()
    time.sleep(0.2)
[killed] = json.loads(server.recv(65536))["strays"]
assert not os.path.exists(f"/proc/{grandchildren[0]}")
assert killed == {"pid": grandchildren[0], "command": "sleep 60"}, killed
"""

#: A process of a dead shim. It exits between the listing and its inspection. Its child is adopted
#: after the listing.
EXITS_WHILE_LISTED = """
import json, os, signal, socket, time
from orchestrator.system import process_table
from orchestrator.launchers.spawner.reaper import Reaper, ShimTable

control, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
table = ShimTable()
reaper = Reaper(control, {"mode": "subreaper"}, table)
leaves = "sh -c 'sleep 60 >/dev/null 2>&1 & wait' & wait"
shim = os.posix_spawnp("sh", ["sh", "-c", leaves], os.environ)
table.add(1)
reaper._shims[shim] = 1
reaper._stops[shim] = 0

def child_of(pid):
    while not (found := list(process_table.children(pid))):
        time.sleep(0.01)
    return found[0]

def wait_for_adoption(pid):
    while pid not in process_table.children(os.getpid()):
        time.sleep(0.01)

leftover = child_of(shim)
below = child_of(leftover)
os.kill(shim, signal.SIGKILL)
wait_for_adoption(leftover)
look_up = process_table.look_up

def exit_then_look_up(pid):
    process_table.look_up = look_up
    assert pid == leftover
    os.kill(leftover, signal.SIGKILL)
    wait_for_adoption(below)
    return look_up(pid)

process_table.look_up = exit_then_look_up
while reaper._has_work:
    reaper._clean_up()
    time.sleep(0.01)
assert not os.path.exists(f"/proc/{below}")
[killed] = json.loads(server.recv(65536))["strays"]
assert killed == {"pid": below, "command": "sleep 60"}, killed
"""


#: Some containers forbid pidfd_open.
WITHOUT_PIDFD = """
import errno, os

def refuse(*_):
    raise OSError(errno.ENOSYS, "not implemented")

os.pidfd_open = refuse
"""


@pytest.mark.parametrize("before", ["", WITHOUT_PIDFD], ids=["usual", "without pidfd"])
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no subreapers")
def test_a_process_that_is_adopted_after_the_listing_is_listed_in_the_next_pass(
    before: str,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", before + ADOPTED_LATE],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no subreapers")
def test_the_end_of_a_shim_is_not_reported_while_a_process_may_be_adopted() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXITS_WHILE_LISTED],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
