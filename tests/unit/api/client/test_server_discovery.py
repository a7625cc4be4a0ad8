"""The files in which a client finds the key of a folder."""

import json
from pathlib import Path

from orchestrator.api.client.server_discovery import KEY_FILE, configured_key

KEY = "a-key-of-16-characters-or-more"


def test_the_key_of_a_file_is_that_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("api:\n  api_key: another-key-of-the-folder\n")
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\n")

    assert configured_key(tmp_path, {KEY_FILE: str(secret)}) == KEY
    assert configured_key(tmp_path, {KEY_FILE: str(tmp_path / "missing")}) is None
    assert configured_key(tmp_path, {}) == "another-key-of-the-folder"


def test_the_key_is_found_in_one_line_of_json(tmp_path: Path) -> None:
    written = json.dumps({"orchestrator": {"api_key": 1}, "api": {"port": 1, "api_key": KEY}})
    (tmp_path / "config.yaml").write_text(written)

    assert configured_key(tmp_path, {}) == KEY
    (tmp_path / "config.yaml").write_text('{"api": {"api_key": null}}')
    assert configured_key(tmp_path, {}) is None
    (tmp_path / "config.yaml").write_text('{"api": 3}')
    assert configured_key(tmp_path, {}) is None
