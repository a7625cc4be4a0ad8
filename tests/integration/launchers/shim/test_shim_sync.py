"""A shim waits for the disk only if no server stores the end that the shim reports."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.ports.launcher import Launch
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.local.shim_pool import ShimLink
from tests.integration.launchers.conftest import REPOSITORY, wait_until

#: A shim that prints a line when its record is on the disk.
SHIM = """
import json, os, socket, sys
from orchestrator.launchers.shim import shim

def fsync(descriptor, fsync=os.fsync):
    fsync(descriptor)
    print("synced", flush=True)

os.fsync = fsync
shim.serve(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]))
"""


class Forking:
    """A stand-in for the spawner."""

    def fork_shim(self, serial: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        containment = ContainmentSettings(mode=Mode.SUBREAPER).for_shims()
        with theirs:
            self.shim = subprocess.Popen(
                [sys.executable, "-c", SHIM, str(theirs.fileno()), containment],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                cwd=REPOSITORY,
            )
        return ours

    def output(self) -> bytes:
        """Return the whole output after the end of the shim."""
        return self.shim.communicate(timeout=60)[0]


@pytest.fixture
def forking() -> Iterator[Forking]:
    forking = Forking()
    yield forking
    forking.shim.kill()
    forking.shim.communicate()


@pytest.fixture
def link(forking: Any) -> ShimLink:
    return ShimLink(forking, 1)


def launch(directory: Path, script: str) -> Launch:
    return Launch(
        attempt_id="a",
        argv=("sh", "-c", script),
        cwd=str(directory),
        env={"PATH": "/usr/bin:/bin"},
        log=str(directory / "a.log"),
        exit_path=str(directory / "a.json"),
    )


def test_a_server_that_hears_of_the_end_stores_it(
    link: ShimLink, forking: Forking, tmp_path: Path
) -> None:
    link.start(launch(tmp_path, "true"))
    wait_until(lambda: "ended" in str(link.receive()))
    link.close()

    assert forking.output() == b""
    assert isinstance(exit_record.attempt_state(str(tmp_path / "a.json")), exit_record.EndedAttempt)


def test_without_a_server_the_record_is_on_the_disk_before_the_shim_ends(
    link: ShimLink, forking: Forking, tmp_path: Path
) -> None:
    link.start(launch(tmp_path, "touch begun; while [ ! -e gate ]; do sleep 0.01; done"))
    wait_until((tmp_path / "begun").exists)
    link.close()
    (tmp_path / "gate").touch()

    assert forking.output() == b"synced\n"
    assert isinstance(exit_record.attempt_state(str(tmp_path / "a.json")), exit_record.EndedAttempt)
