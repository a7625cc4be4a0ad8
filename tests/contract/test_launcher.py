"""The contract of launchers, tested with each launcher and real processes."""

import hashlib
import secrets
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Proof
from orchestrator.launchers.exit_record.exit_record import is_forged, read_exit
from tests.integration.launchers.conftest import (
    alive_escapees,
    all_escaped,
    escapees,
    wait_until,
)

from .launcher_adapters import ADAPTERS, LauncherSite

#: Prints "ready", and ignores SIGTERM.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture(params=["local", pytest.param("cluster", marks=pytest.mark.slow)])
def idle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LauncherSite]:
    """A launcher without a listening thread."""
    with ADAPTERS[request.param](tmp_path) as site:
        yield site


@pytest.fixture
def site(idle: LauncherSite) -> LauncherSite:
    idle.listen()
    return idle


def new_proof() -> Proof:
    secret = secrets.token_hex(16)
    return Proof(hashlib.sha256(secret.encode()).hexdigest(), secret)


def ready(site: LauncherSite, name: str) -> bool:
    return site.log(name).startswith("ready\n")


def test_a_start_and_an_end_are_reported_once(site: LauncherSite) -> None:
    ended = site.run("a", "echo out; echo err >&2; exit 3")
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 3)
    assert site.reports.pid("a") > 0
    assert site.log("a") == "out\nerr\n"
    assert ended.log_bytes == 8


def test_output_is_in_the_log_while_the_worker_runs(site: LauncherSite) -> None:
    site.start("a", _writer(site))
    wait_until(lambda: ready(site, "a"))
    assert "a" not in site.reports.exits
    (site.directory / "go").touch()
    assert site.reports.exit("a").code == 7


def test_output_is_appended_to_an_existing_log(site: LauncherSite) -> None:
    (site.directory / "a.log").write_text("of an earlier attempt\n")
    site.run("a", "echo more")
    assert site.log("a") == "of an earlier attempt\nmore\n"


def test_a_worker_without_output_has_an_empty_log(site: LauncherSite) -> None:
    assert site.run("a", "exit 0").log_bytes == 0
    assert (site.directory / "a.log").read_text() == ""


def test_much_output_arrives_whole_and_in_order(site: LauncherSite) -> None:
    site.run("a", "seq 1 60000")
    assert site.log("a") == "".join(f"{n}\n" for n in range(1, 60001))


def test_secrets_are_not_in_the_log(site: LauncherSite) -> None:
    site.run("a", "echo the key is hunter2hunter2", secrets=("hunter2hunter2",))
    assert site.log("a") == "the key is ***\n"


def test_environment_directory_and_input_are_those_of_the_launch(site: LauncherSite) -> None:
    (site.directory / "input").write_text("from the file\n")
    site.run(
        "a",
        "cat; echo $GREETING; pwd",
        env={"PATH": "/usr/bin:/bin", "GREETING": "hello"},
        stdin=str(site.directory / "input"),
        cwd=str(site.directory / "new"),
        make_cwd=True,
    )
    assert site.log("a") == f"from the file\nhello\n{site.directory / 'new'}\n"


def test_the_exit_record_has_the_proof_and_the_end(site: LauncherSite) -> None:
    proof = new_proof()
    ended = site.run("a", "exit 5", proof=proof)
    found = read_exit(site.exit_path("a"), proof.digest)
    assert found is not None
    assert (found.code, found.ended_by) == (5, ended.ended_by)
    assert not is_forged(site.exit_path("a"), proof.digest)
    assert site.launcher.determine_end(site.id("a"), site.exit_path("a"), proof.digest).code == 5


def test_a_program_that_does_not_exist_is_a_failed_start(site: LauncherSite) -> None:
    site.launcher.start(site.launch("a", "no-such-program"))
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.SPAWN_FAILED, ExitCause.PROGRAM)
    assert "no-such-program" in ended.error


def test_a_stop_is_polite_first_and_has_its_reason(site: LauncherSite) -> None:
    site.start("a", "trap 'echo saved; exit 3' TERM; echo ready; while :; do sleep 0.02; done")
    wait_until(lambda: ready(site, "a"))
    site.launcher.stop(site.id("a"), "cancel", "user", ExitCause.PAUSED)
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by, ended.cause) == (
        EndedBy.CANCEL,
        "user",
        ExitCause.PAUSED,
    )
    assert ended.code == 3
    assert site.log("a").endswith("saved\n")


def test_a_second_stop_changes_nothing(site: LauncherSite) -> None:
    site.start("a", STUBBORN, grace=0.3)
    wait_until(lambda: ready(site, "a"))
    site.launcher.stop(site.id("a"), "cancel", "user")
    site.launcher.stop(site.id("a"), "timeout", "another caller")
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by, ended.signal) == (EndedBy.CANCEL, "user", 9)


def test_a_stop_directly_after_the_start_ends_the_attempt(site: LauncherSite) -> None:
    site.start("a", "sleep 60")
    site.launcher.stop(site.id("a"), "cancel", "user")
    assert site.reports.exit("a").stopped_by == "user"


def test_calls_for_an_unknown_attempt_are_ignored(site: LauncherSite) -> None:
    site.launcher.stop("unknown/attempt", "cancel", "user")
    site.launcher.waiting("unknown/attempt", True)
    assert site.run("a", "exit 0").code == 0


def test_a_stop_leaves_no_process(site: LauncherSite) -> None:
    site.launcher.start(site.launch("a", *escapees(site.directory, "stay"), grace=0.2))
    wait_until(lambda: all_escaped(site.directory))
    site.launcher.stop(site.id("a"), "cancel", "user")
    site.reports.exit("a")
    assert alive_escapees(site.directory) == []


def test_a_timeout_ends_the_attempt(site: LauncherSite) -> None:
    ended = site.run("a", "sleep 60", timeout=0.3)
    assert (ended.ended_by, ended.cause) == (EndedBy.TIMEOUT, ExitCause.TASK_TIMEOUT)


def test_the_timeout_is_paused_while_the_attempt_waits(site: LauncherSite) -> None:
    # Long, because a loaded machine reports the wait late.
    site.start("a", "echo ready; sleep 4; echo done", timeout=3.0)
    site.launcher.waiting(site.id("a"), True)
    assert (site.reports.exit("a").code, site.log("a")) == (0, "ready\ndone\n")


def test_an_attempt_that_runs_is_adopted_by_the_next_launcher(site: LauncherSite) -> None:
    proof = new_proof()
    launch = site.start("a", _writer(site), proof=proof)
    wait_until(lambda: ready(site, "a"))
    site.close(stop=False)
    site.open()
    assert site.adopt("a", proof)
    site.listen()
    (site.directory / "go").touch()
    ended = site.reports.exit("a")
    assert (ended.code, site.log("a")) == (7, "ready\ngone on\n")
    assert launch.attempt_id == site.id("a")


def test_an_attempt_that_ended_without_a_launcher_has_its_end(site: LauncherSite) -> None:
    proof = new_proof()
    site.start("a", _writer(site), proof=proof)
    wait_until(lambda: ready(site, "a"))
    site.close(stop=False)
    (site.directory / "go").touch()
    wait_until(lambda: (site.directory / "gone").exists())
    site.open()
    if site.adopt("a", proof):
        site.listen()
        ended = site.reports.exit("a")
    else:
        ended = site.launcher.determine_end(site.id("a"), site.exit_path("a"), proof.digest)
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 7)
    assert site.log("a") == "ready\ngone on\n"


def test_an_adopted_attempt_can_be_stopped(site: LauncherSite) -> None:
    site.start("a", STUBBORN, grace=0.3)
    wait_until(lambda: ready(site, "a"))
    site.close(stop=False)
    site.open()
    assert site.adopt("a", Proof())
    site.listen()
    site.launcher.stop(site.id("a"), "cancel", "user", ExitCause.PAUSED)
    ended = site.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by, ended.cause) == (
        EndedBy.CANCEL,
        "user",
        ExitCause.PAUSED,
    )


def test_what_never_started_is_not_adopted_and_never_starts(site: LauncherSite) -> None:
    proof = new_proof()
    assert not site.launcher.adopt(site.id("a"), site.exit_path("a"), proof.digest)
    ended = site.launcher.determine_end(site.id("a"), site.exit_path("a"), proof.digest)
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.NEVER_BEGAN)
    again = site.launcher.determine_end(site.id("a"), site.exit_path("a"), proof.digest)
    assert again == ended
    site.start("a", "touch ran", proof=proof)
    assert site.reports.exit("a").ended_by is EndedBy.LOST
    assert site.run("b", "exit 0").code == 0
    assert not (site.directory / "ran").exists()


def test_close_stops_and_reports_what_runs(site: LauncherSite) -> None:
    site.start("a", STUBBORN, grace=0.2)
    wait_until(lambda: ready(site, "a"))
    site.close(stop=True)
    ended = site.reports.exit("a", within=0.0)
    assert (ended.ended_by, ended.cause) == (EndedBy.CANCEL, ExitCause.SHUTDOWN)
    site.close(stop=True)


def test_wake_makes_listen_return(idle: LauncherSite) -> None:
    idle.launcher.wake()
    began = time.monotonic()
    assert idle.launcher.listen(50.0)
    assert time.monotonic() - began < 40.0


def test_wake_makes_gather_return(idle: LauncherSite) -> None:
    idle.launcher.wake()
    began = time.monotonic()
    idle.launcher.gather(50.0)
    assert time.monotonic() - began < 40.0


def test_a_closed_launcher_has_no_events(idle: LauncherSite) -> None:
    idle.close()
    assert not idle.launcher.listen(50.0)
    idle.launcher.gather(50.0)
    idle.launcher.wake()


def test_a_launcher_names_its_containment(idle: LauncherSite) -> None:
    assert idle.launcher.containment
    assert isinstance(idle.launcher.limits_notice, str)


def _writer(site: LauncherSite) -> str:
    """Return a script that waits for a file of the test, and writes a file at its end."""
    program = (
        "import pathlib, sys, time\n"
        f"there = pathlib.Path({str(site.directory)!r})\n"
        "print('ready', flush=True)\n"
        "while not (there / 'go').exists(): time.sleep(0.02)\n"
        "print('gone on', flush=True)\n"
        "(there / 'gone').touch()\n"
        "sys.exit(7)\n"
    )
    script = site.directory / "writer.py"
    script.write_text(program)
    return f"exec {shlex.quote(sys.executable)} -S -E {script}"
