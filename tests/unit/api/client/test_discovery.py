"""Where a client finds the key of a folder."""

from pathlib import Path

from orchestrator.api.client.discovery import KEY_FILE, configured_key

KEY = "a-key-of-16-characters-or-more"


def test_the_key_of_a_file_is_that_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("api:\n  api_key: another-key-of-the-folder\n")
    secret = tmp_path / "secret"
    secret.write_text(f"{KEY}\n")

    assert configured_key(tmp_path, {KEY_FILE: str(secret)}) == KEY
    assert configured_key(tmp_path, {KEY_FILE: str(tmp_path / "missing")}) is None
    assert configured_key(tmp_path, {}) == "another-key-of-the-folder"
