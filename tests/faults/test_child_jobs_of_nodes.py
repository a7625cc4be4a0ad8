"""Faults while a child job starts from files of a worker on a node, and while the worker gets the
result. The node does not share the server's files.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from tests.faults.test_cuts_at_messages import CUTTER
from tests.faults.zygote import Zygote
from tests.integration.launchers.cluster.file_transfer.test_jobs_with_own_files import (
    ApartCluster,
    spawning,
)
from tests.integration.launchers.cluster.file_transfer.test_jobs_with_own_files import (
    pytestmark as apart,
)
from tests.integration.site import Answer, ServerProcess, until
from tests.support.cluster import NodeProcess
from tests.support.examples import nightly
from tests.support.machines import hiding_prefix, skip_or_fail
from tests.support.project import edit
from tests.support.soaking.disk import fill, mounted, unmount

pytestmark = apart
MIB = 1024 * 1024
MakeApart = Callable[..., ApartCluster]

#: Code for the node. It prints a line before and after it reads or changes the files of a running
#: worker, and waits until a file exists.
_PAUSED = """
import os, time
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
def paused(name, go):
    call = getattr(NodeFiles, name)
    def instead(self, *arguments):
        print("before", name, flush=True)
        found = call(self, *arguments)
        print("after", name, flush=True)
        while not os.path.exists(go): time.sleep(0.02)
        return found
    setattr(NodeFiles, name, instead)
paused({name!r}, {go!r})
"""


#: Methods of NodeFiles that the code pauses.
_SNAPSHOT, _CHANGE = NodeFiles.snapshot.__name__, NodeFiles.change_files.__name__


@pytest.fixture
def make_apart(tmp_path: Path, zygote: Zygote) -> Iterator[MakeApart]:
    made: list[ApartCluster] = []
    servers: list[ServerProcess] = []

    def make_server(**changes: dict[str, Any]) -> ServerProcess:
        servers.append(ServerProcess(tmp_path / "server", changes, zygote))
        servers[-1].start()
        return servers[-1]

    def make(before: str = "", **cluster: object) -> ApartCluster:
        code = f"exec({before!r}); " if before else ""
        made.append(ApartCluster(tmp_path, make_server, code, **cluster))
        return made[-1]

    yield make
    for each in made:
        each.node.end()
    for server in servers:
        server.stop()


def family(directory: Path, wait: str = ":", **more: object) -> Answer:
    """Return a worker that lets a child job do a part of its work. Each run writes a line.

    A second attempt continues with the files of the first attempt.
    """
    runs = directory / "runs"
    inner = [edit(f"echo child >> {runs}; cat loose; echo 3 >> app.py; rm b; echo c > c")]
    before = (
        f"echo parent >> {runs}; [ -e loose ] || echo 2 >> app.py;"
        f"git commit --allow-empty -qam own; echo l > loose; {wait}"
    )
    return edit(spawning(before, inner, "cat app.py; rm -f loose large; echo 4 >> app.py"), **more)


def check(found: ApartCluster, job: str, runs: str = "parent child") -> None:
    """Wait for the job of ``family``. Check that no work is lost, and that nothing ran twice."""
    ended = found.server.wait(job)
    log = found.server.log(job, "worker_1")
    assert ended["status"] == "completed", log
    assert (found.directory / "runs").read_text().split() == runs.split()
    assert "spawn: 0" in log
    result = f"orchestrator/{job}/result"
    assert found.project.files(result) == [".gitignore", "app.py", "c"], log
    assert found.project.show(result, "app.py") == "print(1)\n2\n3\n4"
    workers = [each["worker_id"] for each in ended["results"]["tasks"][0]["child_results"]]
    assert workers == ["worker_1_1"]


_CUTS = [
    ("up", "snapshot", "after"),
]
_MORE_CUTS = [
    ("down", "bring", "before"),
    ("up", "brought", "before"),
    ("down", "snapshot", "before"),
    ("down", "bring", "after"),
    ("down", "snapshot", "after"),
    ("up", "snapshot", "before"),
    ("down", "result", "before"),
    ("down", "result", "after"),
    ("down", "had", "before"),
    ("down", "had", "after"),
    ("up", "brought", "after"),
]


@pytest.mark.parametrize(("way", "kind", "moment"), [*_CUTS, *nightly(*_MORE_CUTS)])
def test_a_connection_that_ends_at_a_message_of_a_child_job_loses_and_doubles_nothing(
    make_apart: MakeApart, tmp_path: Path, way: str, kind: str, moment: str
) -> None:
    mark = tmp_path / "cut"
    found = make_apart(CUTTER.format(cut=(way, kind, moment, str(mark))), lease=30)
    job = found.server.submit("x", [family(tmp_path)])
    check(found, job)
    assert mark.exists()


@pytest.mark.parametrize("name", [_CHANGE, *nightly(_SNAPSHOT)])
def test_a_server_that_is_killed_between_two_steps_of_a_child_job_repeats_the_step(
    make_apart: MakeApart, tmp_path: Path, name: str
) -> None:
    go = tmp_path / "go"
    found = make_apart(_PAUSED.format(name=name, go=str(go)), lease=30)
    job = found.server.submit("x", [family(tmp_path)])
    until(lambda: f"after {name}" in found.node.output, "the node has done its step")
    found.server.kill()
    go.touch()
    found.server.start()
    check(found, job)


@pytest.mark.parametrize("name", [_SNAPSHOT, *nightly(_CHANGE)])
def test_a_killed_node_process_repeats_the_step_of_a_child_job(
    make_apart: MakeApart, tmp_path: Path, name: str
) -> None:
    go = tmp_path / "go"
    found = make_apart(_PAUSED.format(name=name, go=str(go)), lease=30)
    job = found.server.submit("x", [family(tmp_path)])
    until(lambda: f"after {name}" in found.node.output, "the node has done its step")
    os.kill(found.node.daemon, signal.SIGKILL)
    go.touch()
    check(found, job)


@pytest.mark.parametrize("moment", ["after", *nightly("before")])
def test_a_node_that_is_lost_while_it_gets_a_result_loses_no_result(
    make_apart: MakeApart, tmp_path: Path, moment: str
) -> None:
    go = tmp_path / "go"
    found = make_apart(_PAUSED.format(name=_CHANGE, go=str(go)))
    job = found.server.submit("x", [family(tmp_path, retries=1)])
    until(lambda: f"{moment} {_CHANGE}" in found.node.output, "the node changes the files")
    found.node.kill()
    go.touch()
    until(lambda: found.row["running"] + found.row["waiting"] == 0, "the node is given up")
    found.node = NodeProcess(
        found.cluster.directory / "n1.join",
        found.directory / "n1",
        prefix=hiding_prefix(found.server.folder, found.project.path),
        own_files=True,
    )
    check(found, job, "parent child parent")


def test_a_child_job_waits_for_space_on_the_disk_of_its_node(
    make_apart: MakeApart, tmp_path: Path
) -> None:
    if mounted(tmp_path / "n1") is None:
        skip_or_fail("this machine cannot mount a disk", OSError("only root mounts disks"))
    try:
        found = make_apart()
        go = tmp_path / "go"
        wait = f"head -c {2 * MIB} /dev/urandom > large; until [ -e {go} ]; do sleep 0.05; done"
        job = found.server.submit("x", [family(tmp_path, wait)])
        state = found.directory / "n1" / "files"
        until(lambda: list(state.glob("*/workspace/*/*/*/worktree/large")), "the worker has begun")
        filler = fill(found.directory / "n1", MIB)
        go.touch()
        until(
            lambda: "no answer from the server; retrying" in found.server.log(job, "worker_1"),
            "the call is repeated",
        )
        filler.unlink()
        check(found, job)
    finally:
        unmount(tmp_path / "n1")
