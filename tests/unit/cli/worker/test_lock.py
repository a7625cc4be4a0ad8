"""``orchestrator lock``, as workers run it."""

import os
import subprocess
import sys
from pathlib import Path

import orchestrator.cli.worker.lock as lock_module
from tests.unit.cli.fake_api import KEY, FakeApi


def ran(api: FakeApi, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}
    return subprocess.run(
        [sys.executable, "-S", "-E", str(Path(lock_module.__file__)), *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_outside_of_a_worker_the_error_says_how_to_lock_and_to_list_locks() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(Path(lock_module.__file__)), "lock", "src/", "a b"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "orchestrator lock: not in a worker: ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY are not "
        'set; outside of workers, add the lock to a task of a plan: locks: ["src/", "a b"]; '
        "or list locks: bin/orchestrator locks\n"
    )


def test_a_repeated_release_succeeds_if_the_first_answer_was_lost(api: FakeApi) -> None:
    api.faults += [(0, {}, {}), (404, {"detail": "worker_1 holds no lease on x"}, {})]

    assert ran(api, "unlock", "x").returncode == 0


def test_a_lock_that_was_never_held_cannot_be_released(api: FakeApi) -> None:
    api.faults += [(503, {"detail": "busy"}, {}), (404, {"detail": "it holds no lease on x"}, {})]

    done = ran(api, "unlock", "x")

    assert (done.returncode, "holds no lease on x" in done.stderr) == (3, True)


def test_messages_begin_with_the_name_of_the_command_while_no_server_answers(api: FakeApi) -> None:
    api.faults += [(503, {"detail": "busy"}, {"Retry-After": "2"}), (409, {"detail": "no"}, {})]

    done = ran(api, "lock", "x")

    lines = done.stderr.splitlines()
    assert lines[0].startswith("orchestrator lock: no answer from the server"), lines
    assert lines[1:] == ["orchestrator lock: no"]
