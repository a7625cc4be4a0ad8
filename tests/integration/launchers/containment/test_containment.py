"""The guarantees of each containment mode, and the message for an unavailable mode."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.containment import cgroup
from orchestrator.launchers.containment.containment_settings import (
    ContainmentSettings,
    Mode,
    Sandbox,
)
from orchestrator.launchers.local import containment_selection
from orchestrator.launchers.process import process_control
from orchestrator.system import process_table
from tests.integration.launchers.conftest import (
    IN_NAMESPACE,
    Stage,
    alive_escapees,
    open_stage,
    start_escapees,
)

#: test_launcher_stops.py tests the default mode in every run.
pytestmark = pytest.mark.slow

BEAT = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def basic(tmp_path: Path) -> Iterator[Stage]:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.BASIC))
    yield stage
    stage.close()


def test_a_worker_runs_as_ever(contained: Any) -> None:
    (contained.directory / "question").write_text("what?")
    stdin = str(contained.directory / "question")
    ended = contained.shell("a", "cat; echo $WORD; id -u; echo x > made; exit 3", stdin=stdin)
    assert (ended.ended_by, ended.code, ended.strays) == (EndedBy.EXIT, 3, ())
    assert contained.log("a").decode().split() == ["what?", str(os.getuid())]
    assert (contained.directory / "made").read_text() == "x\n"
    assert ended.containment == contained.launcher.containment == contained.containment.mode


def test_the_signal_of_a_worker_is_reported(contained: Any) -> None:
    assert contained.shell("a", "kill -SEGV $$").signal == 11


def test_one_shim_serves_one_attempt_after_the_other(contained: Any) -> None:
    assert [contained.shell(name, f"exit {number}").code for number, name in enumerate("abcd")] == [
        0,
        1,
        2,
        3,
    ]


def test_a_polite_stop_reaches_the_worker(contained: Any, until: Callable[..., None]) -> None:
    script = "trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.02; done"
    contained.start("a", "sh", "-c", script)
    until(lambda: contained.is_ready("a"))
    contained.stop("a", "cancel", "user")
    ended = contained.reports.exit("a")
    assert (ended.ended_by, ended.code) == (EndedBy.CANCEL, 3)
    assert contained.log("a").endswith(b"saved\n")


def test_a_missing_program_is_a_failed_start(contained: Any) -> None:
    ended = contained.run("a", "no-such-program")
    assert ended.ended_by is EndedBy.SPAWN_FAILED and "command not found" in ended.error
    assert contained.shell("b", "exit 4").code == 4


def test_nothing_escapes_a_stop(contained: Any, until: Callable[..., None]) -> None:
    start_escapees(contained, until, "stay")
    contained.stop("a", "cancel", "user")
    assert contained.reports.exit("a").ended_by is EndedBy.CANCEL
    assert alive_escapees(contained.directory) == []


def test_nothing_escapes_a_normal_end_and_all_are_named(
    contained: Any, until: Callable[..., None]
) -> None:
    start_escapees(contained, until, "leave")
    ended = contained.reports.exit("a")
    assert alive_escapees(contained.directory) == []
    assert ended.code == 0 and len(ended.strays) == 6
    assert all("escapees.py" in stray.command for stray in ended.strays)


def end_all(directory: Path) -> None:
    """Kill the escapees of a test that a mode does not contain, found by their directory."""
    for process in process_table.living_processes():
        if str(directory) in process_table.command_line(process.pid):
            process_control.send_signal(process, 9)


def test_processes_of_others_are_never_touched(contained: Any) -> None:
    stranger = subprocess.Popen(["sleep", "31"], start_new_session=True)
    try:
        contained.shell("a", "sleep 31 & true")
        contained.start("b", "sleep", "31")
        contained.reports.pid("b")
        os.kill(contained.shim(), 9)
        contained.reports.exit("b")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_runs_is_adopted(contained: Any, until: Callable[..., None]) -> None:
    contained.start("a", "sh", "-c", BEAT, grace=0.1)
    until(lambda: contained.is_ready("a"))
    contained.reports.pid("a")
    contained.reopen()
    assert contained.adopt("a")
    contained.stop("a", "cancel", "user")
    ended = contained.reports.exit("a")
    assert (ended.ended_by, ended.signal) == (EndedBy.CANCEL, 9)


@pytest.mark.parametrize("mode", IN_NAMESPACE)
def test_in_a_namespace_a_worker_sees_no_other_process(tmp_path: Path, mode: Mode) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=mode))
    stage.shell("a", "ls -d /proc/[0-9]* | wc -l; kill -9 -1; echo here")
    assert int(stage.log("a").split()[0]) <= 5
    assert b"here" not in stage.log("a") or stage.log("a").endswith(b"here\n")
    stage.close()


def test_a_group_is_removed_when_its_attempt_is_over(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.CGROUP))
    own = "sed -n s/^0:://p /proc/self/cgroup"
    stage.shell("a", f"{own}; sleep 32 & exit 0")
    stage.start("b", "sh", "-c", f"{own}; exec sleep 60")
    stage.reports.pid("b")
    until(lambda: stage.log("b").endswith(b"\n"))
    os.kill(stage.shim(), 9)
    stage.reports.exit("b")
    mount = stage.launcher.containment_settings.cgroup
    for name in "ab":
        group = stage.log(name).decode().strip().rpartition("/")[2]
        assert group.startswith("orchestrator-worker-")
        assert stage.id(name).replace("/", ".") in group
        assert not os.path.exists(f"{mount}/{group}")
    stage.close()


def test_a_group_is_taken_only_from_an_attempt_s_own_record() -> None:
    own = b'{"worker": 5, "cgroup": "/sys/fs/cgroup/x/orchestrator-worker-r.w.1"}\n'
    assert cgroup.find_group(own, "r/w/1").endswith("orchestrator-worker-r.w.1")
    for forged in (own.replace(b"r.w.1", b"r.w.2"), own.replace(b"/sys", b"/tmp"), b"{}", b""):
        assert cgroup.find_group(forged, "r/w/1") == ""


def test_in_the_sandbox_the_host_is_read_only(tmp_path: Path) -> None:
    stage = open_stage(tmp_path, ContainmentSettings(mode=Mode.SANDBOX))
    # Not below /tmp, because a sandbox has its own /tmp.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as host:
        ended = stage.shell("a", f"echo in > inside; echo out > {host}/outside")
        assert ended.code != 0 and os.listdir(host) == []
    assert (stage.directory / "inside").read_text() == "in\n"
    stage.close()


def test_in_the_sandbox_tmp_is_private_and_paths_are_hidden_or_writable(tmp_path: Path) -> None:
    hidden, writable, key = tmp_path / "hidden", tmp_path / "writable", tmp_path / "key"
    for place in (hidden, writable):
        place.mkdir()
        (place / "secret").write_text("secret")
    key.write_text("secret")
    sandbox = Sandbox(hide=(str(hidden), str(key)), writable=(str(writable),))
    stage = open_stage(tmp_path / "worker", ContainmentSettings(mode=Mode.SANDBOX, sandbox=sandbox))
    script = f"echo x > /tmp/orchestrator-x; cat {hidden}/secret {key}; echo new > {writable}/new"
    assert stage.shell("a", script).code == 0
    assert b"secret\n" not in stage.log("a")
    assert (writable / "new").exists() and not Path("/tmp/orchestrator-x").exists()
    stage.close()


def test_in_the_sandbox_the_network_is_there_unless_it_is_switched_off(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        codes = []
        for network in (True, False):
            containment = ContainmentSettings(mode=Mode.SANDBOX, sandbox=Sandbox(network=network))
            stage = open_stage(tmp_path / str(network), containment)
            codes.append(stage.run("a", sys.executable, "-S", "-E", "-c", call).code)
            stage.close()
    assert codes == [0, 1]
    assert any("child jobs" in each for each in containment.weaknesses())


def test_basic_holds_what_keeps_its_group_or_its_marker(
    basic: Any, until: Callable[..., None]
) -> None:
    start_escapees(basic, until, "leave")
    ended = basic.reports.exit("a")
    assert alive_escapees(basic.directory) == ["beat-daemon"]
    assert ended.code == 0 and len(ended.strays) == 5
    end_all(basic.directory)


def test_basic_names_what_it_does_not_contain() -> None:
    [note] = ContainmentSettings(mode=Mode.BASIC).weaknesses()
    assert "processes that leave their group and clear their environment" in note


def test_basic_never_touches_others(basic: Any) -> None:
    stranger = subprocess.Popen(["sleep", "31"], start_new_session=True)
    try:
        assert basic.shell("a", "sleep 31 & true").strays
        basic.start("b", "sleep", "31")
        basic.reports.pid("b")
        basic.stop("b", "cancel", "user")
        assert basic.reports.exit("b").signal == 15
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_unavailable_mode_is_rejected_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainmentUnavailable, match="apt-get install bubblewrap"):
        Stage(tmp_path, ContainmentSettings(mode=Mode.SANDBOX))


def test_a_trial_that_fails_names_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'no permission to make a namespace' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ContainmentUnavailable, match="no permission to make a namespace"):
        Stage(tmp_path, ContainmentSettings(mode=Mode.SANDBOX))


def test_auto_chooses_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.launcher.containment in (Mode.CGROUP, Mode.SUBREAPER)
    stage.close()


def test_only_a_group_that_is_meant_for_this_server_is_taken_by_auto(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    group = tmp_path / "group"
    group.mkdir()
    monkeypatch.setattr(containment_selection, "_own_group", lambda: str(group))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert containment_selection._strongest_first() == (Mode.SUBREAPER,), (
        "root may write to every control group"
    )
    monkeypatch.setattr(os, "getxattr", lambda path, name: b"1", raising=False)
    assert containment_selection._strongest_first() == (Mode.CGROUP, Mode.SUBREAPER)
    monkeypatch.setattr(containment_selection, "_mount_point", lambda: str(group))
    assert containment_selection._strongest_first() == (Mode.SUBREAPER,)
