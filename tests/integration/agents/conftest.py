"""Job managers whose AI agents are stand-ins."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import InProcess

STAND_IN = Path(__file__).with_name("stand_in.py")
KEY = "sk-the-secret-of-the-user"


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home directory of a user without logins."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The stand-in as a separate program."""
    path = tmp_path / "bin" / "stand-in"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def site(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    """A site where ``claude`` is the stand-in, with a key."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    yield make_site(orchestrator={"claude_command": str(program)})
