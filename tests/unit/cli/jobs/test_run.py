"""``orchestrator run`` as a program: its server, its progress, Ctrl-C."""

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.security.files.product_files import FOLDER
from tests.support.examples import nightly
from tests.unit.cli import fake_api
from tests.unit.cli.fake_api import KEY, FakeApi

#: A program that starts the fake server instead of the real server.
FAKE_SERVER = f"""
import json, os, signal, sys, threading, time
sys.path.insert(0, {str(FOLDER)!r})
from tests.unit.cli.fake_api import FakeApi, running

def serve(folder, *, environ, flags, any_port, on_ready, standby=False, spawner=None):
    if "broken" in os.environ.get("FAKE", ""):
        print("the database is on fire", file=sys.stderr)
        return 1
    record = folder / "workspace" / "server.json"
    if "overtaken" in os.environ.get("FAKE", ""):
        record.with_name("aside").rename(record)
        return 1
    port = flags.get("api.port") or os.environ["ORCHESTRATOR_API__PORT"]
    api = FakeApi(int(port))
    api.outcome = os.environ.get("OUTCOME", "completed")
    api.output = os.environ.get("OUTPUT", "as asked")
    api.end_at_once = "slow" not in os.environ.get("FAKE", "")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with running(api):
        entry = {{"url": api.url, "pid": os.getpid(), "started_at": time.time()}}
        record.write_text(json.dumps(entry))
        on_ready(api.url, folder.parent)
        while not stop.wait(0.1):  # the signal may reach another thread than this one
            pass
    record.unlink()
    return 0
"""

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    """Give commands the default action of SIGHUP, even if nohup runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Path]:
    """The product in its own folder, with the fake server, which is stopped at the end."""
    folder = tmp_path / "a copy"
    package = folder / "orchestrator"
    shutil.copytree(FOLDER / "orchestrator" / "cli", package / "cli")
    for part in (FOLDER / "orchestrator").iterdir():
        if part.name not in ("cli", "__pycache__"):
            (package / part.name).symlink_to(part)
    (folder / "orchestrator" / "cli" / "server" / "server_process.py").write_text(FAKE_SERVER)
    (folder / "workspace").mkdir()
    (folder / "config.yaml").write_text(f"api:\n  api_key: {KEY}\n")
    yield folder
    if record := server_of(folder):
        os.kill(record["pid"], signal.SIGKILL)


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def start(product: Path, port: int, environ: dict[str, str]) -> Run:
    def start(
        *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **extra: str
    ) -> Any:
        return subprocess.Popen(
            # -P, and from the copy's directory: otherwise the checkout would run instead of the
            # copy.
            [sys.executable, "-P", "-m", "orchestrator", *arguments],
            cwd=product,
            env={
                **environ,
                "PYTHONPATH": str(product),
                "ORCHESTRATOR_API__PORT": str(port),
                "ORCHESTRATOR_API__HOST": "127.0.0.1",
                **extra,
            },
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def server_of(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((folder / "workspace" / "server.json").read_text())
    except (OSError, ValueError):
        return None
    return record


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not true in time"
        time.sleep(0.02)


def test_a_server_is_started_and_stopped_again(product: Path, start: Run, port: int) -> None:
    code, out, err = finish(start("run", "Survey this"))

    assert code == ExitCode.OK
    assert f"started the server at http://127.0.0.1:{port}" in err
    assert "worker_1 started (shell)" in err
    assert "job j1: completed after 0.0 s; 1 worker, 1 succeeded" in out
    assert "Used:   2 steps, $0.5000\n" in out
    assert "Result:    /w/job_j1/FINAL_RESULT.md" in out
    assert server_of(product) is None, err
    assert "serving at" in (product / "logs" / "server.log").read_text()


def test_a_key_that_looks_like_an_example_is_warned_about(product: Path, start: Run) -> None:
    assert "published example" not in finish(start("run", "x"))[2]

    (product / "config.yaml").write_text("api:\n  api_key: your-secret-key-here\n")

    assert "api.api_key looks like a published example" in finish(start("run", "x"))[2]


@pytest.mark.parametrize(
    ("outcome", "code"), [("partial", 6), *nightly(("failed", 1), ("cancelled", 1))]
)
def test_run_exits_with_the_code_of_the_job(start: Run, outcome: str, code: int) -> None:
    assert finish(start("run", "x", OUTCOME=outcome))[0] == code


def test_json_goes_to_standard_output_and_progress_to_standard_error(start: Run) -> None:
    _, out, err = finish(start("run", "x", "--json"))

    assert json.loads(out)["job_id"] == "j1"
    assert "timed_out" not in json.loads(out)
    assert "worker_1" in err


@pytest.mark.nightly
def test_keep_server_leaves_the_server_for_the_next_run(product: Path, start: Run) -> None:
    first = finish(start("run", "x", "--keep-server"))
    record = server_of(product)
    second = finish(start("run", "y", "--keep-server"))

    assert first[0] == second[0] == ExitCode.OK
    assert record and record == server_of(product)
    assert f"kill {record['pid']}" in first[2]
    assert "started the server" not in second[2]


def test_wrong_settings_are_rejected_also_while_a_server_runs(product: Path, start: Run) -> None:
    config = product / "config.yaml"
    finish(start("run", "x", "--keep-server"))
    with config.open("a") as file:
        file.write("workrs: {max_workers: 2}\n")
    wrong = finish(start("run", "y", "--keep-server"))
    config.write_text(config.read_text().replace("workrs", "workers"))
    repaired = finish(start("run", "y", "--keep-server"))

    assert (wrong[0], wrong[1]) == (ExitCode.USAGE, "")
    assert "config.yaml:3:1: workrs: unknown section (did you mean 'workers'?)" in wrong[2]
    assert repaired[0] == ExitCode.OK
    assert "the running server still uses the previous config.yaml" in repaired[2]


def test_a_command_needs_no_variable_that_the_running_server_has(product: Path, start: Run) -> None:
    finish(start("run", "x", "--keep-server"))
    with (product / "config.yaml").open("a") as file:
        file.write("webhooks: {callback_secret: env:A_SECRET_OF_THE_SERVER}\n")

    assert finish(start("run", "y", "--keep-server"))[0] == ExitCode.OK


def test_a_port_in_use_is_reported_and_a_free_port_is_used(start: Run, port: int) -> None:
    with closing(socket.create_server(("127.0.0.1", port))):
        code, _, err = finish(start("run", "x"))

    assert code == ExitCode.OK
    assert f"port {port} is in use by another program" in err


def test_after_a_crash_the_configured_port_wins_over_the_one_the_server_had(
    product: Path, start: Run, port: int
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        had = other.getsockname()[1]
    stale = {"url": f"http://127.0.0.1:{had}", "pid": 2**22 + 1, "started_at": 1.0}
    record = product / "workspace" / "server.json"

    record.write_text(json.dumps(stale))
    _, _, free = finish(start("run", "x"))
    record.write_text(json.dumps(stale))
    with closing(socket.create_server(("127.0.0.1", port))):
        _, _, err = finish(start("run", "x"))

    assert f"started the server at http://127.0.0.1:{port}" in free
    assert f"started the server at http://127.0.0.1:{had}" in err


def test_a_failed_server_start_shows_the_end_of_its_log(product: Path, start: Run) -> None:
    log = product / "logs" / "server.log"
    log.parent.mkdir()
    log.write_text("of a server before this one\n")

    code, out, err = finish(start("run", "x", FAKE="broken"))

    assert (code, out) == (ExitCode.FAILED, "")
    assert "the database is on fire" in err and "server.log" in err
    assert "before this one" not in err


WRONG_PLAN = "request: x\ntasks:\n- agent: shell\n  comand: 'true'\n"


def test_the_server_checks_a_plan_before_it_starts(product: Path, start: Run) -> None:
    (product / "plan.yaml").write_text(WRONG_PLAN)

    code, out, err = finish(start("run", "--plan", "plan.yaml"))

    assert (code, out) == (ExitCode.USAGE, "")
    assert "plan.yaml:4" in err and "started the server" not in err
    assert "serving at" not in (product / "logs" / "server.log").read_text()


@pytest.mark.nightly
def test_a_plan_that_a_running_server_rejects_is_named_with_its_line(
    product: Path, start: Run
) -> None:
    (product / "plan.yaml").write_text(WRONG_PLAN)
    assert finish(start("run", "x", "--keep-server"))[0] == ExitCode.OK

    code, out, err = finish(start("run", "--plan", "plan.yaml"))

    assert (code, out) == (ExitCode.USAGE, "")
    assert "plan.yaml:4" in err
    assert server_of(product) is not None


def test_a_wrong_plan_creates_no_home(product: Path, start: Run, tmp_path: Path) -> None:
    (product / "plan.yaml").write_text(WRONG_PLAN)
    home = tmp_path / "home"

    code, _, err = finish(start("--home", str(home), "run", "--plan", "plan.yaml"))

    assert code == ExitCode.USAGE
    assert "plan.yaml:4" in err
    assert not home.exists()


def test_a_refused_request_stops_the_server_too(product: Path, start: Run) -> None:
    code, _, err = finish(start("run", "x", ORCHESTRATOR_API_KEY="wrong"))

    assert code == ExitCode.KEY_REFUSED
    assert server_of(product) is None, err


@pytest.mark.parametrize("number", [signal.SIGINT, *nightly(signal.SIGTERM, signal.SIGHUP)])
def test_the_first_ctrl_c_cancels_the_job_and_waits(
    product: Path, start: Run, number: signal.Signals
) -> None:
    process = start("run", "x", FAKE="slow")
    read_until(process, "worker_1 started")

    process.send_signal(number)
    code, out, err = finish(process)

    assert code == ExitCode.INTERRUPTED
    assert "stopping job j1" in err
    assert "job j1: cancelled" in out
    assert server_of(product) is None


def on_a_terminal(start: Run, until: bytes, **extra: str) -> tuple[subprocess.Popen[str], int]:
    """Start a run whose progress goes to a terminal; return the terminal showing ``until``."""
    ours, theirs = pty.openpty()
    process = start("run", "x", stderr=theirs, FAKE="slow", **({"CI": ""} | extra))
    os.close(theirs)
    shown = b""
    while until not in shown:
        shown += os.read(ours, 4096)
    return process, ours


def writes_nowhere(process: subprocess.Popen[str]) -> bool:
    return os.readlink(f"/proc/{process.pid}/fd/2") == os.devnull


def test_a_terminal_that_is_closed_is_written_to_no_more(product: Path, start: Run) -> None:
    process, terminal = on_a_terminal(start, b"1 running", TERM="xterm")

    process.send_signal(signal.SIGHUP)
    wait_until(lambda: writes_nowhere(process))
    # Both the kernel and the shell may send the signal.
    process.send_signal(signal.SIGHUP)
    os.close(terminal)
    code, out, _ = finish(process)

    assert code == ExitCode.INTERRUPTED and "job j1: cancelled" in out
    assert server_of(product) is None


@pytest.mark.parametrize(
    ("kind", "until"), [("xterm", b"1 running"), *nightly(("dumb", b"worker_1 started"))]
)
def test_a_terminal_that_ends_without_a_signal_is_a_hangup(
    product: Path, start: Run, kind: str, until: bytes
) -> None:
    process, terminal = on_a_terminal(start, until, TERM=kind)

    os.close(terminal)
    code, out, _ = finish(process)

    assert code == ExitCode.INTERRUPTED and "job j1: cancelled" in out
    assert server_of(product) is None


def test_a_run_exits_with_the_code_of_its_job_after_its_reader_has_exited(
    product: Path, start: Run
) -> None:
    process = start("run", "x", stderr=subprocess.STDOUT, FAKE="slow")
    assert process.stdout
    for line in process.stdout:
        if "worker_1 started" in line:
            break
    process.stdout.close()

    assert finish(start("cancel", "j1"))[0] == ExitCode.OK

    # Stopped by the other run: otherwise this run would report "interrupted".
    assert process.wait(60) == ExitCode.FAILED
    assert server_of(product) is None


def test_under_nohup_a_terminal_that_is_closed_stops_nothing(product: Path, start: Run) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process, terminal = on_a_terminal(start, b"worker_1 started", TERM="dumb")
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    os.close(terminal)
    wait_until(lambda: writes_nowhere(process))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)

    assert "job j1: cancelled" in finish(process)[1], "the first signal was ignored"


def test_the_second_ctrl_c_leaves_at_once(product: Path, start: Run) -> None:
    process = start("run", "x", FAKE="slow")
    read_until(process, "worker_1 started")
    record = server_of(product)
    assert record
    # A hanging server cannot stop the job.
    os.kill(record["pid"], signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    read_until(process, "stopping job j1")
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, out, err = finish(process)
    os.kill(record["pid"], signal.SIGCONT)

    assert (code, out) == (ExitCode.INTERRUPTED, "")
    assert "job j1 has not ended; show its status: bin/orchestrator status j1\n" in err
    assert time.monotonic() - began < 20
    wait_until(lambda: server_of(product) is None)


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it ended without printing {text!r}")


def test_the_server_keeps_running_for_the_jobs_of_others(product: Path, start: Run) -> None:
    process = start("run", "x", FAKE="slow")
    read_until(process, "worker_1 started")
    assert finish(start("submit", "of others"))[:2] == (0, "j2\n")

    assert finish(start("cancel", "j1"))[0] == ExitCode.OK
    _, _, err = finish(process)

    assert "server keeps running for 1 job; " in err
    assert server_of(product)


def test_the_last_run_that_uses_a_remaining_server_stops_it(product: Path, start: Run) -> None:
    first = start("run", "x", FAKE="slow")
    read_until(first, "worker_1 started")
    second = start("run", "of others")
    read_until(second, "worker_1 started")
    assert finish(start("cancel", "j1"))[0] == ExitCode.OK
    assert "server keeps running" in finish(first)[2]

    assert finish(start("cancel", "j2"))[0] == ExitCode.OK
    finish(second)

    assert server_of(product) is None


def test_the_server_of_a_killed_run_is_stopped_by_a_later_command(
    product: Path, start: Run
) -> None:
    process = start("run", "x", FAKE="slow")
    read_until(process, "worker_1 started")
    process.kill()
    finish(process)
    assert finish(start("cancel", "j1"))[0] == ExitCode.OK
    finish(start("wait", "j1"))
    second = start("run", "y")
    read_until(second, "worker_1 started")
    assert finish(start("cancel", "j2"))[0] == ExitCode.OK

    finish(second)

    assert server_of(product) is None
    assert not (product / "workspace" / "server.left").exists()


def test_the_server_of_a_command_that_still_runs_is_stopped_by_no_other(
    product: Path, start: Run
) -> None:
    server = start("serve")
    wait_until(lambda: server_of(product))
    record = server_of(product)
    assert record
    owner = f"{os.getpid()} {time.time()}"
    mark = product / "workspace" / "server.left"
    mark.write_text(f"{record['pid']} {record['started_at']} {owner}")

    assert finish(start("run", "x"))[0] == ExitCode.OK

    assert server_of(product) == record and mark.exists()
    server.terminate()
    finish(server)


def test_the_workspace_has_the_outcome_of_a_job_that_ended_just_before_its_server(
    product: Path, start: Run
) -> None:
    process = start("run", "x", FAKE="slow")
    read_until(process, "worker_1 started")
    (product / "workspace" / "job_j1").mkdir()
    status = {"job_id": "j1", "status": "partial", "seconds": 2, "counts": {"success": 1}}
    (product / "workspace" / "job_j1" / "status.json").write_text(json.dumps(status))
    record = server_of(product)
    assert record
    os.kill(record["pid"], signal.SIGKILL)

    code, out, _ = finish(process)
    (product / "workspace" / "server.json").unlink()

    assert code == ExitCode.PARTIAL
    assert "job j1: partial after 2.0 s" in out


@pytest.mark.nightly
def test_a_server_that_another_run_started_first_is_not_stopped(product: Path, start: Run) -> None:
    server = start("serve")
    wait_until(lambda: server_of(product))
    record = server_of(product)
    assert record
    workspace = product / "workspace"
    (workspace / "server.left").write_text(f"{record['pid']} {record['started_at']}")
    (workspace / "server.json").rename(workspace / "aside")

    code, _, err = finish(start("run", "x", FAKE="overtaken"))

    assert (code, "started the server" in err) == (ExitCode.OK, False)
    finish(server)  # the server that remains, because no other run used it


def test_run_does_not_stop_a_server_that_serve_started(product: Path, start: Run) -> None:
    server = start("serve")
    wait_until(lambda: server_of(product))

    assert finish(start("run", "x"))[0] == ExitCode.OK

    assert server_of(product) and server.poll() is None
    server.terminate()
    finish(server)


@pytest.mark.parametrize(
    ("extra", "is_live", "has_color"),
    [
        ({}, True, True),
        ({"TERM": "dumb"}, False, False),
        *nightly(({"NO_COLOR": "1"}, True, False), ({"CI": "true"}, False, True)),
    ],
    ids=["terminal", "dumb", "NO_COLOR", "CI"],
)
def test_on_a_terminal_running_workers_are_shown_in_place(
    start: Run, extra: dict[str, str], is_live: bool, has_color: bool
) -> None:
    ours, theirs = pty.openpty()
    process = start("run", "x", stderr=theirs, **({"TERM": "xterm", "CI": ""} | extra))
    os.close(theirs)
    shown = read_terminal(ours)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 0 and "completed" in out
    assert ("\x1b[J" in shown) is is_live
    assert ("\x1b[32m" in shown) is has_color
    assert ("worker_1 started (shell)" in shown) is not is_live


@pytest.mark.parametrize(
    "command", [["wait", "j1"], *nightly(["status", "j1", "--watch"])], ids=" ".join
)
def test_waiting_on_a_terminal_shows_progress_and_leaving_stops_nothing(
    start: Run, product: Path, command: list[str]
) -> None:
    server = start("serve", FAKE="slow")
    wait_until(lambda: server_of(product))
    assert finish(start("submit", "x"))[0] == ExitCode.OK
    for is_left in (True, False):
        ours, theirs = pty.openpty()
        process = start(*command, stdout=theirs, stderr=theirs, TERM="xterm", CI="")
        os.close(theirs)
        shown = ""
        while "1 running" not in shown:
            shown += os.read(ours, 4096).decode()
        if is_left:
            process.send_signal(signal.SIGINT)
        else:
            assert finish(start("cancel", "j1"))[0] == ExitCode.OK
        shown += read_terminal(ours)
        assert process.wait(30) == (ExitCode.INTERRUPTED if is_left else ExitCode.FAILED)
        assert shown.rpartition("\x1b[J")[2].count("running") == 0, "the progress line is cleared"
    assert "cancelled" in shown

    server.terminate()
    finish(server)


def test_a_watched_job_of_a_killed_server_stays_in_place(start: Run, product: Path) -> None:
    server = start("serve", FAKE="slow")
    wait_until(lambda: server_of(product))
    assert finish(start("submit", "x"))[0] == ExitCode.OK
    directory = product / "workspace" / "job_j1"
    directory.mkdir()
    job = {"job_id": "j1", "status": "running", "request": "x", "results": {"tasks": []}}
    (directory / "status.json").write_text(json.dumps(job))
    ours, theirs = pty.openpty()
    process = start("status", "j1", "--watch", stdout=theirs, stderr=theirs, TERM="xterm", CI="")
    os.close(theirs)
    shown = ""
    while "1 running" not in shown:
        shown += os.read(ours, 4096).decode()

    server.kill()
    finish(server)

    while "0 workers" not in shown:  # the status in the file
        assert select.select([ours], [], [], 10)[0], shown
        shown += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    read_terminal(ours)
    assert process.wait(30) == ExitCode.INTERRUPTED
    assert shown.count("no answer from") == 1
    assert "no server is running" not in shown
    (product / "workspace" / "server.json").unlink()


def read_terminal(terminal: int) -> str:
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return shown.decode()


def test_in_a_worker_its_own_server_is_used(start: Run, product: Path) -> None:
    api = FakeApi()
    with fake_api.running(api):
        known = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}
        code, _, err = finish(start("run", "x", **known))

    assert (code, server_of(product)) == (0, None)
    assert "started the server" not in err
