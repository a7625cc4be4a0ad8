"""The service manager of a user. Programs of the tests replace systemd's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.server.systemd import manager
from orchestrator.cli.server.systemd.manager import Manager

Install = Callable[[str], CliContext]


@pytest.fixture
def with_systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a program ``systemd-run``. The user's service manager seems to run."""

    def install(script: str) -> CliContext:
        (tmp_path / "systemd").mkdir()
        for name in ("systemctl", "systemd-run"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        return CliContext(folder=tmp_path, environ={"XDG_RUNTIME_DIR": str(tmp_path)})

    monkeypatch.setattr(manager, "BOOTED", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return install


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", True),
        # The directory is writable, because the manager ignores ProtectHome.
        ("exit 1", False),
        # The manager cannot start a service with an option (EXIT_CAPABILITIES).
        ("exit 218", False),
    ],
)
def test_a_manager_restricts_files_if_a_short_service_shows_it(
    with_systemd_run: Install, script: str, expected: bool
) -> None:
    context = with_systemd_run(script)

    assert Manager(of_user=True).can_restrict_files(context) is expected


def test_the_machines_manager_always_restricts_files(with_systemd_run: Install) -> None:
    assert Manager(of_user=False).can_restrict_files(with_systemd_run("exit 1"))


def test_a_manager_that_does_not_run_is_not_asked(tmp_path: Path) -> None:
    context = CliContext(folder=tmp_path, environ={"XDG_RUNTIME_DIR": str(tmp_path / "none")})

    assert Manager(of_user=True).can_restrict_files(context)
