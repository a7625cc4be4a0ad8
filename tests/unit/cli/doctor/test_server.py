"""Doctor's checks of the running server, and of a cluster's nodes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator import __version__
from orchestrator.cli.doctor.server import node_checks
from orchestrator.cli.offline import server_liveness
from orchestrator.cli.output.exit_codes import ExitCode
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import FakeApi

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("version", "changed", "is_older"),
    [(__version__, +9.0, True), ("0.0.9", -9.0, True), (__version__, -9.0, False)],
)
def test_a_server_that_runs_older_code_is_named(
    served: FakeApi,
    folder: Path,
    orchestrator: Orchestrator,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    changed: float,
    is_older: bool,
) -> None:
    module = folder / "orchestrator" / "cli" / "status.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(server_liveness, "FOLDER", folder)
    record = folder / "workspace" / "server.json"
    facts = {"version": version, "started_at": module.stat().st_ctime - changed}
    record.write_text(json.dumps({**json.loads(record.read_text()), **facts}))
    monkeypatch.setattr(server_liveness, "SLACK_SECONDS", 1e9)

    orchestrator("doctor", "--json")

    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert ("server code" in checks) == is_older
    if is_older:
        check = checks["server code"]
        assert check["ok"] is False
        assert check["message"] == "the running server still uses the previous code"
        assert (
            check["fix"] == f"restart the server: kill {os.getpid()}; then: bin/orchestrator serve"
        )
    assert orchestrator("submit", "x") == ExitCode.OK
    warning = "the running server still uses the previous code"
    assert (warning in capsys.readouterr().err) == is_older


def node(name: str, state: str, **fields: Any) -> dict[str, Any]:
    usual = {"slots": 4, "clock_skew_seconds": 0.1, "seen_seconds": 0.2, "notice": ""}
    return {"name": name, "state": state, **usual, **fields}


def test_nodes_that_work_have_one_line() -> None:
    [check] = node_checks([node("n1", "up"), node("n2", "up"), node("n3", "drained")])

    assert (check.ok, check.message) == (True, "2 of 3 nodes get workers; slots: 8")


def test_without_a_working_node_the_line_is_a_note() -> None:
    [check] = node_checks([node("n1", "unknown", seen_seconds=None)])

    assert (check.ok, check.message) == (None, "0 of 1 nodes get workers; slots: 0")


def test_each_node_with_a_problem_is_named_with_its_fix() -> None:
    nodes = [
        node("n1", "unreachable", seen_seconds=41.0),
        node("n2", "rejected", notice="n2 has version 1, the server 2"),
        node("n3", "up", clock_skew_seconds=-2.04),
    ]

    _, away, rejected, slow = node_checks(nodes)

    assert {each.ok for each in (away, rejected, slow)} == {False}
    assert (away.name, away.message) == ("node n1", "unreachable for 41 s")
    assert "nodes forget n1" in away.fix
    assert rejected.message == "n2 has version 1, the server 2"
    assert slow.message == "the node's clock is 2.0 s behind"
    assert "clock of n3" in slow.fix
