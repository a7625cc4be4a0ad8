"""``orchestrator lock``, run as workers run it."""

import os
import subprocess
import sys
from pathlib import Path

import orchestrator.cli.lock as lock_module
from tests.unit.cli.fake_api import KEY, FakeApi


def test_it_speaks_in_its_own_name_while_no_server_answers(api: FakeApi) -> None:
    environ = {"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY}
    api.faults += [(503, {"detail": "busy"}, {"Retry-After": "2"}), (409, {"detail": "no"}, {})]

    done = subprocess.run(
        [sys.executable, "-S", "-E", str(Path(lock_module.__file__)), "lock", "x"],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    told = done.stderr.splitlines()
    assert told[0].startswith("orchestrator lock: the server does not answer"), told
    assert told[1:] == ["orchestrator lock: no"]
