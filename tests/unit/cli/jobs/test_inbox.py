"""``orchestrator inbox`` against a server."""

import json
from typing import Any

import pytest

from orchestrator.cli.output.exit_codes import ExitCode
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import AT, FakeApi

NEED = {
    "kind": "approval",
    "job_id": "abc",
    "root_job_id": "abc",
    "text": "plan waits for approval: build it",
    "since": AT,
    "command": "orchestrator approve abc",
    "links": {},
}


@pytest.fixture
def needs(served: FakeApi) -> list[dict[str, Any]]:
    return served.needs


def test_the_inbox_lists_each_need_with_its_command(
    needs: list[dict[str, Any]], orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.append(NEED)

    assert orchestrator("inbox") == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("approval  abc")
    assert first.endswith("plan waits for approval: build it")
    assert second.strip() == "orchestrator approve abc"


def test_a_wait_that_times_out_names_what_the_job_needs(
    needs: list[dict[str, Any]],
    served: FakeApi,
    orchestrator: Orchestrator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    needs += [NEED, {**NEED, "root_job_id": "j1", "command": "orchestrator approve abc ok"}]
    capsys.readouterr()

    assert orchestrator("wait", "j1", "--timeout", "0.2") == ExitCode.TIMED_OUT

    still, need, way = capsys.readouterr().err.splitlines()
    assert still == "job j1 is still running"
    assert need.startswith("approval  abc")
    assert way.strip() == "orchestrator approve abc ok"


def test_the_status_of_a_running_job_names_what_the_job_needs(
    needs: list[dict[str, Any]],
    served: FakeApi,
    orchestrator: Orchestrator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    needs += [NEED, {**NEED, "root_job_id": "j1", "command": "orchestrator approve abc ok"}]
    capsys.readouterr()

    assert orchestrator("status", "j1") == ExitCode.OK

    *_, need, way = capsys.readouterr().out.splitlines()
    assert need.startswith("approval  abc")
    assert way.strip() == "orchestrator approve abc ok"


def test_needs_of_a_job_are_found_among_many_needs_of_other_jobs(
    needs: list[dict[str, Any]],
    served: FakeApi,
    orchestrator: Orchestrator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served.end_at_once = False
    orchestrator("submit", "x")
    needs += [NEED] * 450 + [{**NEED, "job_id": "j1", "root_job_id": "j1"}]
    capsys.readouterr()

    assert orchestrator("status", "j1") == ExitCode.OK

    assert "approval  j1" in capsys.readouterr().out


def test_the_inbox_as_json_is_the_answer_of_the_server(
    needs: list[dict[str, Any]], orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.append(NEED)

    assert orchestrator("inbox", "--json") == 0

    assert json.loads(capsys.readouterr().out)["needs"] == [NEED]


def test_an_empty_inbox_has_a_message(
    needs: list[dict[str, Any]], orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("inbox") == 0

    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "no job waits for you\n")
