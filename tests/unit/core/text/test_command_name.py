"""Commands in messages, for each program that can install the package."""

import shlex
import sys
from pathlib import Path

import pytest

from orchestrator import installer_of
from orchestrator.core.text.command_name import (
    command_of,
    packages_command_of,
    reinstall_command_of,
)

WHEEL = "/my dist/recursive_orchestrator-1.0-py3-none-any.whl"


def packages_below(environment: Path) -> Path:
    packages = environment / "lib" / "python3.13" / "site-packages"
    (packages / "recursive_orchestrator-1.0.dist-info").mkdir(parents=True)
    return packages


def test_a_package_of_pip_has_the_command_on_the_path(tmp_path: Path) -> None:
    installer = installer_of(str(packages_below(tmp_path)))
    assert command_of(installer) == "orchestrator"
    python = shlex.quote(sys.executable)
    assert packages_command_of(installer, "a b") == f"{python} -m pip install a b"
    assert reinstall_command_of(installer).startswith(f"{python} -m pip install ")


def test_a_package_of_pipx_is_extended_with_pipx(tmp_path: Path) -> None:
    packages = packages_below(tmp_path)
    (tmp_path / "pipx_metadata.json").touch()
    installer = installer_of(str(packages))
    assert command_of(installer) == "orchestrator"
    assert packages_command_of(installer, "a") == "pipx inject recursive-orchestrator a"
    assert reinstall_command_of(installer) == "pipx reinstall recursive-orchestrator"


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (f'{{"url": "file://{WHEEL.replace(" ", "%20")}"}}', WHEEL),
        ('{"url": "https://example.org/a.whl"}', "https://example.org/a.whl"),
        (
            '{"url": "https://example.org/a.git", "vcs_info": {"vcs": "git"}}',
            "git+https://example.org/a.git",
        ),
        (None, "recursive-orchestrator"),
    ],
)
def test_a_command_of_uvx_names_its_source(tmp_path: Path, origin: str | None, source: str) -> None:
    """uvx puts no command on the user's PATH."""
    packages = packages_below(tmp_path / "archive-v0" / "2AihyDSjzp0Cc1XQ")
    if origin:
        (packages / "recursive_orchestrator-1.0.dist-info" / "direct_url.json").write_text(origin)
    installer = installer_of(str(packages))
    uvx = ["uvx", "--from", source]
    assert shlex.split(command_of(installer)) == [*uvx, "orchestrator"]
    words = ["--with", "a", "--with", "b", "orchestrator"]
    assert shlex.split(packages_command_of(installer, "a b")) == [*uvx, *words]
