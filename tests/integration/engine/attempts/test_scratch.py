"""Each attempt has its own ports, and its own temporary directory with a short path."""

import os
import sys
from pathlib import Path

import pytest

from orchestrator.composition import JobManager
from orchestrator.config import load
from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.engine.runtime.port_ranges import PORTS_PER_WORKER
from orchestrator.security.files import scratch_directory
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import shell, until
from tests.support.crashing import Crash, crash_at
from tests.support.examples import nightly
from tests.support.project import EDITOR, Project, agents, edit

BIND = (
    "python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); "
    's.bind(os.environ["TMPDIR"] + "/" + 40 * "s"); print("bound")\''
)
#: Command that prints its environment, and runs until a second worker has begun.
TELL = 'env > "$ORCHESTRATOR_WORKER_DIR/env"; until [ -e "$OTHER" ]; do sleep 0.02; done'


def environment_of(directory: Path, worker: str) -> dict[str, str]:
    lines = (directory / "depth_0" / worker / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_workers_have_ports_and_temporary_files_of_their_own(
    make_site: MakeSite, tmp_path: Path
) -> None:
    deep = tmp_path / ("deep" * 20)
    project = Project(deep / "project").begin({"README.md": ""})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    (one, other) = (str(tmp_path / each) for each in ("one", "other"))
    tasks = [
        edit(f"{BIND}; touch {one}; {TELL}; echo x > x", env={"OTHER": other}),
        edit(f"{BIND}; touch {other}; {TELL}; echo y > y", env={"OTHER": one}),
    ]

    ended = site.run("x", tasks, gates=[{"name": "bind", "run": BIND, "baseline": "none"}])

    assert ended["status"] == "completed", ended
    directory = site.directory(ended["job_id"])
    first, second = (environment_of(directory, each) for each in ("worker_1", "worker_2"))
    ports = sorted(int(each["ORCHESTRATOR_PORT"]) for each in (first, second))
    assert ports[1] - ports[0] >= PORTS_PER_WORKER
    assert first["TMPDIR"] != second["TMPDIR"]
    for each in (first, second):
        until(lambda each=each: not os.path.exists(each["TMPDIR"]), "it is removed")
    prefix = os.path.basename(first["TMPDIR"]).rpartition("-")[0]
    left = [each for each in os.listdir(os.path.dirname(first["TMPDIR"])) if prefix in each]
    assert left == []


def test_a_plain_command_has_ports_and_no_directory(make_site: MakeSite) -> None:
    site = make_site()

    ended = site.run("x", [shell("env > env")])

    found = environment_of(site.directory(ended["job_id"]), "worker_1")
    assert int(found["ORCHESTRATOR_PORT"]) > 1024
    assert scratch_directory.PREFIX not in found.get("TMPDIR", "")


@pytest.mark.parametrize("how", ["kill", *nightly("terminate")])
def test_directories_of_a_killed_server_are_removed_by_the_next(
    how: str, make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(agents=agents(tmp_path))
    left = Path(scratch_directory.directory_of(server.workspace, "a/b/1"))
    left.mkdir()
    (left / "file").touch()
    go = tmp_path / "go"
    script = f"env > e; mv e env; until [ -e {go} ]; do sleep 0.02; done; touch $TMPDIR/still"
    job = server.submit("x", [edit(script)])
    env = server.directory(job) / "depth_0" / "worker_1" / "env"
    until(env.exists, "it has begun")
    own = environment_of(server.directory(job), "worker_1")["TMPDIR"]

    server.kill() if how == "kill" else server.terminate()
    server.start()

    assert not left.exists()
    if how == "kill":  # the worker continues with its directory
        assert os.path.isdir(own)
    go.touch()
    assert server.wait(job)["status"] == "completed"
    until(lambda: not os.path.exists(own), "it is removed")


def test_directories_of_a_killed_server_are_removed_before_attempts_continue(
    make_server: MakeServer, tmp_path: Path
) -> None:
    """A gate may start as soon as its attempt is adopted. Its new directory must not be removed."""
    server = make_server(agents=agents(tmp_path))
    go, begun = tmp_path / "go", tmp_path / "begun"
    job = server.submit("x", [edit(f"touch {begun}; until [ -e {go} ]; do sleep 0.02; done")])
    until(begun.exists, "it has begun")
    server.kill()
    left = Path(scratch_directory.directory_of(server.workspace, "a/b/1"))
    left.mkdir()

    manager = JobManager(server.folder, load(server.folder, environ={}).settings)
    manager.open()
    try:
        with crash_at(1, "recovery: attempt adopted"), pytest.raises(Crash):
            manager.start("http://127.0.0.1:1")
        assert not left.exists()
    finally:
        manager.stop()
    go.touch()
    server.start()
    assert server.wait(job)["status"] == "completed"


def test_a_cancelled_attempt_leaves_nothing(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(agents=agents(tmp_path))
    job = site.submit("x", [edit("env > e; mv e env; touch $TMPDIR/file; sleep 600")])
    env = site.directory(job) / "depth_0" / "worker_1" / "env"
    until(env.exists, "it has begun")
    own = environment_of(site.directory(job), "worker_1")["TMPDIR"]

    site.call("POST", f"/jobs/{job}/cancel", {})

    assert site.wait(job)["status"] == "cancelled"
    until(lambda: not os.path.exists(own), "it is removed")


def test_in_a_sandbox_the_temporary_directory_is_writable(make_site: MakeSite) -> None:
    try:
        # The script is an argument, not a file: the sandbox has its own /tmp.
        agent = {"command": [sys.executable, "-c", EDITOR]}
        site = make_site(workers={"containment": "sandbox"}, agents={"editor": agent})
    except ContainmentUnavailable as error:
        pytest.skip(error.message)

    ended = site.run("x", [edit(f"env > env; {BIND}; ls $TMPDIR")])

    assert "bound" in site.log(ended["job_id"], "worker_1")


def test_the_prompt_states_how_the_result_is_checked(make_site: MakeSite, tmp_path: Path) -> None:
    project = Project(tmp_path / "project").begin({"test_a.py": "def test_a(): pass\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    gates = ["auto", "test -s README.md"]

    ended = site.run("x", [edit("echo x > README.md; true")], gates=gates)

    place = site.directory(ended["job_id"]) / "depth_0" / "worker_1"
    prompt = (place / "prompt.md").read_text()
    checked = prompt.split("## How your result is checked", 1)[1]
    assert "test -s README.md" in checked
    assert "pytest -q" in checked
    assert "ORCHESTRATOR_GATE_REPORT" not in checked
