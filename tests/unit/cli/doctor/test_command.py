"""``orchestrator doctor``: problems, and how to repair them."""

import errno
import json
import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from importlib import metadata
from pathlib import Path
from shlex import quote
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.cli.doctor import install
from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.doctor.config import config_checks
from orchestrator.cli.doctor.install import install_checks
from orchestrator.cli.doctor.machine import file_system_of
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.store.database import write_check
from tests.unit.cli.conftest import Orchestrator
from tests.unit.cli.fake_api import KEY, FakeApi

Capture = pytest.CaptureFixture[str]
Checks = dict[str, dict[str, Any]]


@pytest.fixture
def free_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return str(server.getsockname()[1])


def checks(orchestrator: Orchestrator, capsys: Capture, **variables: str) -> Checks:
    orchestrator("doctor", "--json", **variables)
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_every_failure_has_a_line_with_its_fix(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    (folder / "config.yaml").chmod(0o644)

    assert orchestrator("doctor") == ExitCode.FAILED

    lines = capsys.readouterr().out.splitlines()
    # The Python that runs this test is fine: another check covers its packages.
    assert any("note  .venv" in line for line in lines)
    failed = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
    assert failed and all(lines[number + 1].startswith("      ") for number in failed)


def test_a_config_that_others_can_read_is_a_failure(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert checks(orchestrator, capsys)["config mode"]["ok"]

    (folder / "config.yaml").chmod(0o640)

    check = checks(orchestrator, capsys)["config mode"]
    assert (
        check["ok"] is False and check["fix"] == f"chmod 600 {quote(str(folder / 'config.yaml'))}"
    )


def test_a_folder_with_a_space_can_be_pasted(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "config.yaml").write_text("api:\n  port: 8000\n")
    found = [check for check, _ in config_checks(folder, {}) if check.ok is False]
    assert [check.name for check in found][-1] == "api key"
    assert found[-1].fix.startswith(f"run '{folder}/install.sh', which")


def test_the_containment_that_works_is_shown(orchestrator: Orchestrator, capsys: Capture) -> None:
    check = checks(orchestrator, capsys)["containment"]
    assert check["ok"] is True and check["message"] in ("subreaper", "cgroup")


def test_a_containment_that_does_not_work_is_a_failure(
    orchestrator: Orchestrator, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check = checks(orchestrator, capsys, ORCHESTRATOR_WORKERS__CONTAINMENT="sandbox")["containment"]
    assert check["ok"] is False and "bwrap is not installed" in check["message"]
    assert "apt-get install bubblewrap" in check["fix"]


def test_a_limit_that_the_containment_does_not_enforce_is_noted(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    limits = "{cpu: 0.5, open_files: 64}"
    variables = {
        "ORCHESTRATOR_WORKERS__CONTAINMENT": "pidns",
        "ORCHESTRATOR_WORKERS__LIMITS": limits,
    }
    orchestrator("doctor", **variables)
    lines = capsys.readouterr().out.splitlines()
    if any(each.startswith("FAIL  containment: ") for each in lines) and not os.environ.get("CI"):
        pytest.skip("there are no PID namespaces here")
    assert (
        "note  containment: workers.limits.cpu is not enforced "
        "(an exact limit needs workers.containment: cgroup, not pidns)"
    ) in "\n".join(lines)
    assert "ok    limits: enforced exactly: open_files" in lines


def test_a_strict_limit_that_cannot_be_held_is_a_failure(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    variables = {
        "ORCHESTRATOR_WORKERS__CONTAINMENT": "subreaper",
        "ORCHESTRATOR_WORKERS__LIMITS": "{cpu: 0.5, strict: true}",
    }
    check = checks(orchestrator, capsys, **variables)["containment"]
    assert check["ok"] is False and "workers.limits.cpu (not at all)" in check["message"]
    assert "systemd-run --user --scope" in check["fix"]


@pytest.fixture
def database(folder: Path) -> Path:
    path = folder / "workspace" / "orchestrator.db"
    store = SqlStore(sqlite_url(path))
    store.open()
    store.close()
    return path


def test_a_database_that_can_be_written_is_fine_and_stays_as_it_is(
    orchestrator: Orchestrator, capsys: Capture, database: Path
) -> None:
    before = database.read_bytes()

    check = checks(orchestrator, capsys)["database"]

    assert (check["ok"], check["message"]) == (True, f"{database} can be read and written")
    assert database.read_bytes() == before
    database.unlink()
    check = checks(orchestrator, capsys)["database"]
    assert check["ok"] is True and "the first server creates it" in check["message"]
    assert not database.exists()


def test_a_database_that_cannot_be_used_is_a_failure(
    orchestrator: Orchestrator, capsys: Capture, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_check, "LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN IMMEDIATE")
        check = checks(orchestrator, capsys)["database"]
    assert check["ok"] is False
    assert check["message"] == f"{database} is locked by another program"
    assert check["fix"] == "stop that program"

    with closing(sqlite3.connect(database)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    check = checks(orchestrator, capsys)["database"]
    assert check["ok"] is False and "was created by a newer release" in check["message"]

    database.write_text("no database, but a text that is long enough for a header" * 9)
    check = checks(orchestrator, capsys)["database"]
    assert check["ok"] is False and "is not a database" in check["message"]
    assert "restore a copy" in check["fix"]


def test_the_database_of_a_running_server_is_checked_by_the_server(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture, database: Path
) -> None:
    assert "database" not in checks(orchestrator, capsys)


def test_the_free_space_is_compared_with_the_setting(
    orchestrator: Orchestrator, capsys: Capture
) -> None:
    name = "ORCHESTRATOR_WORKERS__MIN_FREE_DISK_BYTES"

    assert checks(orchestrator, capsys, **{name: "1"})["disk"]["ok"] is True
    check = checks(orchestrator, capsys, **{name: str(1 << 50)})["disk"]

    assert check["ok"] is False and check["message"].endswith(" free: no worker starts")
    assert "clean --older-than 7d" in check["fix"]
    assert "workers.min_free_disk_bytes (1048576.0 GiB)" in check["fix"]


def test_a_missing_key_and_a_wrong_setting_are_failures(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    (folder / "config.yaml").write_text("api:\n  port: 8000\n")
    assert checks(orchestrator, capsys)["api key"]["ok"] is False

    (folder / "config.yaml").write_text("api:\n  prot: 8000\n")
    check = checks(orchestrator, capsys)["config"]
    assert check["ok"] is False and "config.yaml:2" in check["message"]


def test_a_key_that_the_server_rejects_is_a_failure(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    (folder / "config.yaml").write_text("api:\n  api_key: short\n")
    check = checks(orchestrator, capsys)["api key"]
    assert check["ok"] is False
    assert check["message"] == "api.api_key: shorter than 16 characters"
    assert str(check["fix"]).startswith('to create a key, set api_key to "" and run ')


def test_a_key_that_looks_like_an_example_is_noted(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert checks(orchestrator, capsys)["api key"]["message"] == "api.api_key is set"

    (folder / "config.yaml").write_text("api:\n  api_key: your-secret-key-here\n")
    check = checks(orchestrator, capsys)["api key"]
    assert check["ok"] is None and "is a published example" in check["message"]


def test_a_port_in_use_is_noted_with_its_effect(
    orchestrator: Orchestrator, capsys: Capture, free_port: str
) -> None:
    variables = {"ORCHESTRATOR_API__PORT": free_port}
    assert checks(orchestrator, capsys, **variables)["port"]["ok"]
    any_port = checks(orchestrator, capsys, ORCHESTRATOR_API__PORT="0")["port"]
    assert (any_port["ok"], any_port["message"]) == (True, "any free port (api.port: 0)")

    with closing(socket.create_server(("127.0.0.1", int(free_port)))):
        check = checks(orchestrator, capsys, **variables)["port"]
    assert check["ok"] is None
    assert f":{free_port} is in use by another program; `bin/orch" in check["message"]
    assert "`bin/orchestrator run` uses a free port instead" in check["message"]
    assert check["fix"].startswith("bin/orchestrator serve --port 0;")


def test_our_own_server_is_no_other_program(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    found = checks(orchestrator, capsys)

    assert found["server"]["ok"] and found["server key"]["ok"]
    assert "port" not in found


def test_a_server_that_is_not_ready_or_starts_nothing_is_a_failure(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.health = {"paused": "waiting for disk space: 0 MiB free"}
    check = checks(orchestrator, capsys)["server ready"]
    assert check["ok"] is False and check["message"] == "waiting for disk space: 0 MiB free"

    served.health = {"ready": False, "checks": {"store": "ok", "place": "/w was moved"}}
    check = checks(orchestrator, capsys)["server ready"]
    assert check["ok"] is False and check["message"] == "place: /w was moved"
    assert "logs/orchestrator.log" in check["fix"]


def test_the_key_is_accepted_by_a_server_that_cannot_reach_its_database(
    served: FakeApi, orchestrator: Orchestrator, capsys: Capture
) -> None:
    served.store_is_away = True
    served.health = {"ready": False, "checks": {"store": "connection refused"}}

    found = checks(orchestrator, capsys)

    assert found["server ready"]["message"] == "store: connection refused"
    assert found["server key"]["ok"] is True


def test_a_server_with_another_key_is_a_failure(
    served: FakeApi, folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    (folder / "config.yaml").write_text(f"api:\n  api_key: another-{KEY}\n")

    check = checks(orchestrator, capsys)["server key"]
    assert check["ok"] is False and "restart the server" in check["fix"]


def test_a_stale_record_is_reported(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    record = folder / "workspace" / "server.json"
    record.write_text('{"url": "http://127.0.0.1:1", "pid": 4194305, "started_at": 1}')
    assert "stale" in checks(orchestrator, capsys)["server"]["message"]

    record.write_text("{")
    assert checks(orchestrator, capsys)["server"]["ok"] is False


def test_an_agent_that_is_not_installed_is_a_failure(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    with (folder / "config.yaml").open("a") as file:
        file.write("agents:\n  here: {command: [sh, -c, 'true']}\n")
        file.write("  gone: {command: [no-such-program]}\n")

    found = checks(orchestrator, capsys)

    assert found["agent here"]["ok"] is True
    assert found["agent gone"]["ok"] is False


def install_check(folder: Path, name: str) -> HealthCheck:
    [check] = [check for check in install_checks(folder) if check.name == name]
    return check


def test_a_home_outside_of_the_portable_folder_uses_the_folder_s_packages(
    folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    folder.chmod(0o700)

    found = checks(orchestrator, capsys, ORCHESTRATOR_HOME=str(folder))

    for name in ("packages", "grammars"):
        assert str(folder) not in found[name]["message"] + found[name]["fix"]


def test_a_home_that_does_not_exist_yet_is_a_note(tmp_path: Path) -> None:
    home = tmp_path / "home"

    found = [check for check, _ in config_checks(home, {"ORCHESTRATOR_HOME": str(home)})]

    assert [check.name for check in found if check.ok is False] == []
    assert found[0].message.startswith(f"{home} does not exist yet; ")


def test_missing_grammars_are_a_note_with_the_command_that_installs_them(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements-survey.txt"
    requirements.write_text("no-such-grammar==1\nno-such-other==2\n")

    missing = install_check(tmp_path, "grammars")
    requirements.write_text("no-such-grammar==1\nclick==0.1\n")
    some = install_check(tmp_path, "grammars")
    requirements.write_text(f"click=={metadata.version('click')}\n")
    complete = install_check(tmp_path, "grammars")

    assert (missing.ok, some.ok, complete.ok) == (None, None, True)
    assert missing.message.startswith("not installed; without grammars, the survey reads only ")
    assert some.message.startswith("no-such-grammar is not installed; click is ")
    assert missing.fix == some.fix == f"run {tmp_path}/install.sh --grammars"


def test_a_config_of_another_user_comes_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").touch()
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=denied))

    check = next(config_checks(tmp_path, {}))[0]

    assert check.message == f"cannot read {tmp_path}/config.yaml: Permission denied"
    assert check.fix == f"type: chmod 600 {tmp_path}/config.yaml"


def test_a_folder_that_git_does_not_ignore_is_noted(
    tmp_path: Path, folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    assert "git ignore" not in checks(orchestrator, capsys)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)

    check = checks(orchestrator, capsys)["git ignore"]

    assert check["ok"] is None and str(folder) in check["message"]
    subprocess.run(check["fix"].removeprefix("run "), shell=True, check=True)
    assert "git ignore" not in checks(orchestrator, capsys)


def test_a_folder_that_is_committed_is_not_noted(
    tmp_path: Path, folder: Path, orchestrator: Orchestrator, capsys: Capture
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", folder.name], cwd=tmp_path, check=True)
    assert "git ignore" not in checks(orchestrator, capsys)


def test_packages_are_compared_with_the_pins(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "click==0.1 \\\n    --hash=sha256:00\nno-such-package==1\n"
        "not-for-this-machine==2026.6 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )

    packages = install_check(tmp_path, "packages")

    assert packages.ok is False
    assert "click is " in packages.message
    assert "no-such-package is not installed" in packages.message
    assert "machine" not in packages.message and "platform" not in packages.message


def test_a_package_of_another_version_needs_a_new_venv(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("click==0.1\n")

    packages = install_check(tmp_path, "packages")

    # install.sh alone would answer: nothing to do.
    assert packages.fix.startswith(f"run rm -rf {tmp_path}/.venv && {tmp_path}/install.sh")


def test_a_package_without_its_files_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "click-8.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("click/__init__.py,sha256=x,1\n")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    pin = f"click=={metadata.version('click')}\n"
    (tmp_path / "requirements.txt").write_text(pin)

    packages = install_check(tmp_path, "packages")

    assert (packages.ok, packages.message) == (False, "click lacks files")
    assert packages.fix == f"run {tmp_path}/install.sh"


def test_an_installed_package_is_compared_with_the_pins_of_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "recursive_orchestrator-0.dist-info"
    info.mkdir()
    names = ["Metadata-Version: 2.1", "Name: recursive-orchestrator", "Version: 0"]
    requirement = f"Requires-Dist: click=={metadata.version('click')}"
    extra = "Requires-Dist: no-such-extra==1; extra == 'survey'"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(install, "IS_INSTALLED", True)

    (info / "METADATA").write_text("\n".join([*names, requirement, extra]))
    fine = install_check(tmp_path, "packages")
    (info / "METADATA").write_text(
        "\n".join([*names, requirement, "Requires-Dist: no-such-package==1"])
    )
    wrong = install_check(tmp_path, "packages")

    assert (fine.ok, fine.message) == (True, "1 packages, all in the pinned versions")
    assert (wrong.ok, wrong.message) == (False, "no-such-package is not installed")


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    assert file_system_of(Path("/proc/self")) == "proc"
    assert file_system_of(tmp_path) != "proc"
