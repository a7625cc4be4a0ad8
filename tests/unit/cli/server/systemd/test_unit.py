"""The text of units is valid for systemd, whatever the paths are."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.server.systemd.unit import Unit, folder_of
from orchestrator.core.errors import ConfigError
from orchestrator.security.files import product_files

FOLDER = Path("/srv/my 100% $HOME pröject/orchestrator")
UNIT = Unit(
    command=[f"{FOLDER}/bin/orchestrator", "serve"],
    folder=FOLDER,
    project=FOLDER.parent,
    environment={"PATH": '/usr/bin:/opt/a "b"'},
    environment_file="%E/orchestrator.env",
    user="ann",
    writable=[FOLDER.parent],
    writable_if_present=[Path("/home/ann/.cache")],
    systemd_version=252,
)
#: Options that a user's manager can apply only in a user namespace.
NEED_A_NAMESPACE = {
    *("PrivateUsers", "CapabilityBoundingSet", "ProtectSystem", "ProtectHome", "PrivateTmp"),
    *("ProtectKernelModules", "InaccessiblePaths", "ReadWritePaths"),
}
PAGE = (product_files.FOLDER / "docs" / "service.md").read_text("utf-8")


def test_paths_are_written_as_systemd_reads_them() -> None:
    lines = UNIT.text().splitlines()

    assert r'ExecStart=":/srv/my 100%% $HOME pröject/orchestrator/bin/orchestrator" serve' in lines
    assert "WorkingDirectory=/srv/my 100%% $HOME pröject/orchestrator" in lines
    assert 'ReadWritePaths="/srv/my 100%% $HOME pröject"' in lines
    assert "ReadWritePaths=-/home/ann/.cache" in lines
    assert r'Environment="PATH=/usr/bin:/opt/a \"b\""' in lines
    assert "EnvironmentFile=-%E/orchestrator.env" in lines
    assert folder_of(UNIT.text()) == str(FOLDER)
    assert folder_of("[Unit]\nDescription=of somebody else\n") is None


@pytest.mark.parametrize("path", ["/srv/a\nExecStart=evil", "/srv/end ", "/srv/a\\", '/srv/a"b'])
def test_a_path_that_systemd_cannot_read_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="rename it"):
        replace(UNIT, folder=Path(path), command=[path]).text()


@pytest.mark.parametrize(
    ("version", "has_limits", "expected"),
    [
        (252, False, {"KillMode=process"}),
        (252, True, {"KillMode=mixed"}),
        (254, True, {"KillMode=process", "DelegateSubgroup=orchestrator-server"}),
    ],
)
def test_workers_outlive_a_crash_if_systemd_can_start_the_server_next_to_them(
    version: int, has_limits: bool, expected: set[str]
) -> None:
    lines = replace(UNIT, systemd_version=version, has_limits=has_limits).text().splitlines()

    assert {each for each in lines if each.startswith(("KillMode", "DelegateSub"))} == expected


def test_a_unit_of_a_user_restricts_its_files_in_a_user_namespace() -> None:
    lines = replace(UNIT, user="").text().splitlines()

    assert {"PrivateUsers=yes", "ProtectSystem=strict", "ProtectHome=read-only"} <= {*lines}
    assert "ReadWritePaths=-/home/ann/.cache" in lines
    assert "WantedBy=default.target" in lines
    assert not [each for each in lines if each.startswith("User=")]


def test_a_unit_of_a_user_without_user_namespaces_has_no_option_that_needs_one() -> None:
    text = replace(UNIT, user="", has_user_namespace=False).text()

    assert "WantedBy=default.target" in text and "NoNewPrivileges=yes" in text
    assert options(text).isdisjoint(NEED_A_NAMESPACE)


def test_the_documented_lines_reset_each_option_that_needs_a_user_namespace() -> None:
    unit = replace(UNIT, user="")
    without = replace(unit, has_user_namespace=False)

    [lines] = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)

    assert options(unit.text()) - options(without.text()) == options(lines) == NEED_A_NAMESPACE


@pytest.mark.parametrize("user", ["ann", "root", ""])
def test_no_unit_has_an_option_that_breaks_workers(user: str) -> None:
    table = PAGE.partition("| Option | Breaks |")[2].partition("\n\n")[0]
    broken = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row[:150])}

    assert {"RestrictSUIDSGID", "ProtectHostname", "MemoryDenyWriteExecute"} <= broken
    assert options(replace(UNIT, user=user).text()).isdisjoint(broken)


def options(text: str) -> set[str]:
    return set(re.findall(r"^(\w+)=", text, re.MULTILINE))
