"""``orchestrator triggers``: the list, and the result of an event in a file."""

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Orchestrator

LABELED = Path(__file__).parents[4] / "fixtures" / "github" / "issues.labeled.json"
SECRET = "a-secret-for-tests-only"


@pytest.fixture(autouse=True)
def settings(folder: Path) -> None:
    found = yaml.safe_load((folder / "config.yaml").read_text())
    found["triggers"] = {
        "issues": {
            "verify": "github",
            "secret": SECRET,
            "when": {"event": "issues", "$.label.name": "agent"},
            "request": "Fix issue {{number}}",
            "params": {"number": "$.issue.number"},
            "labels": {"issue": "{{number}}"},
        }
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(found))


def test_triggers_are_listed_without_secrets(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("triggers", "list", "--json") == 0
    text = capsys.readouterr().out
    assert [each["path"] for each in json.loads(text)] == ["/api/v1/triggers/issues"]
    assert SECRET not in text


def test_an_event_is_tried_without_a_server(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("triggers", "test", "issues", str(LABELED))
    assert orchestrator(*command, "--event", "issues", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["request"].startswith("Fix issue 7\n")
    assert found["labels"] == {"issue": "7"}

    assert orchestrator(*command) == 1
    assert "when.event is false; name the kind of the event" in capsys.readouterr().err
    assert orchestrator("triggers", "test", "none", str(LABELED)) == 3
    assert "known: issues" in capsys.readouterr().err
