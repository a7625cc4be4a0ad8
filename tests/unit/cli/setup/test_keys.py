"""``orchestrator keys new``: the printed settings allow the new key."""

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.config import load
from orchestrator.security.secrets.api_keys import hash_key
from tests.unit.cli.conftest import Orchestrator


def test_a_new_key_is_printed_with_the_lines_that_permit_it(
    orchestrator: Orchestrator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("keys", "new", "ci", "--scope", "submit", "--scope", "read") == 0
    key, _, lines = capsys.readouterr().out.partition("\n")

    settings = yaml.safe_load((folder / "config.yaml").read_text())
    # In block style, as install.sh writes the file.
    text = yaml.safe_dump(settings, default_flow_style=False)
    assert text.count("api:\n") == 1
    (folder / "config.yaml").write_text(text.replace("api:\n", f"api:\n{lines}"))
    [entry] = load(folder, environ={}).settings.api.keys

    assert entry.name == "ci"
    assert entry.key_hash == hash_key(key)
    assert entry.scopes == ("submit", "read")
    assert len(key) >= 43
    assert key not in lines


def test_a_new_key_has_only_scope_read_by_default(
    orchestrator: Orchestrator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orchestrator("keys", "new", "eve", "--json") == 0
    made = json.loads(capsys.readouterr().out)

    assert made["scopes"] == ["read"]
    assert made["key_hash"] == hash_key(made["key"])


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "1st", "x" * 65, "é"])
def test_a_name_that_could_be_mistaken_is_refused(orchestrator: Orchestrator, name: str) -> None:
    assert orchestrator("keys", "new", "--", name) == 2
