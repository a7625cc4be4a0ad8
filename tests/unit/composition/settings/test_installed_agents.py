"""Agents of installed packages."""

from pathlib import Path

import pytest

from orchestrator.composition.settings.agents import registry
from orchestrator.config import Settings

_AGENT = """
class Echo:
    name = "echo"
    check = command = evidence = None
"""


def test_an_installed_package_brings_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "echo" not in registry(tmp_path, Settings(), {}).names()
    (tmp_path / "echo_agent.py").write_text(_AGENT)
    metadata = tmp_path / "echo_agent-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-agent\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[orchestrator.agents]\necho = echo_agent:Echo\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert "echo" in registry(tmp_path, Settings(), {}).names()
