"""Tools on the Windows side of WSL. The stand-ins for Windows programs know only Windows paths."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.ai_tools.invocation import windows_tools
from orchestrator.cli.doctor.command import mode_checks
from orchestrator.config import Settings
from tests.integration.agents.ai_tools.invocation import windows_side
from tests.integration.agents.conftest import KEY
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess
from tests.support.examples import nightly

WINDOWS: dict[str, Any] = {"execution_mode": "windows"}


def a_program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def wsl(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH of a WSL on whose Windows side Claude Code is installed by npm."""
    folder = tmp_path / "windows"
    folder.mkdir()
    python, side = sys.executable, windows_side.__file__
    a_program(folder / "powershell.exe", f'#!/bin/sh\nexec "{python}" "{side}" "$@"\n')
    prefix = windows_side.PREFIX.replace("\\", "\\\\")
    a_program(
        folder / "wslpath",
        # Like WSL's program, it fails for a missing path.
        f"""#!/bin/sh
[ "$1" = -w ] && [ -e "$2" ] &&
printf '%s' "$2" | sed 's,/,\\\\,g; s,^,{prefix},'\n""",
    )
    a_program(folder / "claude.cmd", "")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WSL_DISTRO_NAME", "Test")
    return folder


@pytest.fixture
def site(make_site: MakeSite, wsl: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    yield make_site(orchestrator=WINDOWS)


def task(program: Path, **more: Any) -> Answer:
    env = {"WINDOWS_PROGRAM": str(program), "STAND_IN": "answers"}
    return {"agent": "claude", "prompt": "Build 'it' for $5 \"now\"", "env": env, **more}


def recorded_by(site: InProcess, job_id: str) -> Answer:
    path = site.directory(job_id) / "depth_0" / "worker_1" / "given.json"
    found: Answer = json.loads(path.read_text())
    return found


def test_a_tool_of_windows_does_a_task(site: InProcess, program: Path) -> None:
    ended = site.run("Build a house", [task(program)])

    job_id = ended["job_id"]
    assert ended["status"] == "completed", site.log(job_id, "worker_1")
    found = recorded_by(site, job_id)
    assert "Build 'it' for $5 \"now\"" in found["prompt"]
    environ = found["environ"]
    assert environ["ANTHROPIC_API_KEY"] == KEY
    assert environ["ORCHESTRATOR_API_KEY"] and environ["CLAUDE_CODE_MAX_RETRIES"] == "2"
    directory = site.directory(job_id) / "depth_0" / "worker_1"
    assert environ["ORCHESTRATOR_WORKER_DIR"] == windows_side.windows_path(str(directory))
    # The agent's login is in the configuration of its Windows user.
    assert not {"CLAUDE_CONFIG_DIR", "HOME", "BASH_ENV"} & set(environ)


def test_a_tool_of_windows_starts_child_jobs_in_linux(site: InProcess, program: Path) -> None:
    ended = site.run("Build a house", [task(program)])

    argv = recorded_by(site, ended["job_id"])["argv"]
    path = windows_side.linux_path(argv[argv.index("--mcp-config") + 1])
    server = json.loads(Path(path).read_text())["mcpServers"]["orchestrator"]
    assert server["command"] == "wsl.exe"
    assert server["args"][:3] == ["-d", "Test", "--exec"]
    assert server["args"][3].endswith("/bin/orchestrator") and server["args"][4:] == ["mcp"]
    assert "ORCHESTRATOR_API_KEY" in server["env"]["WSLENV"].split(":")


def test_an_agent_that_is_not_installed_on_windows_is_rejected(site: InProcess) -> None:
    answer = site.post("x", [{"agent": "codex", "prompt": "x"}])

    assert answer.status_code == 422
    assert "not found" in answer.json()["detail"]


def test_without_the_launchers_of_wsl_the_reason_names_the_missing_program(
    site: InProcess, program: Path, wsl: Path
) -> None:
    (wsl / "powershell.exe").unlink()

    ended = site.run("Build a house", [task(program, retries=0)])

    [row] = ended["results"]["tasks"]
    assert row["status"] == "failed"
    assert (
        "requires powershell.exe on the PATH of WSL; check it: bin/orchestrator doctor"
        in row["reason"]
    )


ODD = st.text(st.sampled_from("ab C&^%!'\"\\\\$`();,=<>|é\t"), max_size=12)


@given(st.lists(ODD, min_size=1, max_size=4))
def test_every_argument_arrives_unchanged(words: list[str]) -> None:
    command = windows_tools.command_line(["claude", *words])

    arguments = [each.replace("''", "'") for each in re.findall(windows_side.WORD, command)]
    assert windows_side.as_program_sees(arguments) == ["claude", *words]
    for word in arguments[1:]:
        # Characters that cmd.exe interprets are between quotation marks.
        assert not re.search(r"[&|<>^]", word) or word.startswith('"')


@pytest.mark.parametrize("name", ["R&D", "100% a b", *nightly("it's", "a^b", "$HOME", "(x)"), "é"])
def test_a_missing_file_also_has_a_windows_path(wsl: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()

    for path in (folder, folder / "not" / "yet.json"):
        assert windows_side.linux_path(windows_tools.windows_path(path)) == str(path)


def test_commands_run_in_linux(site: InProcess) -> None:
    ended = site.run("x", [{"agent": "shell", "command": "uname > out.txt"}])

    assert ended["status"] == "completed"


def test_a_job_cannot_choose_the_execution_mode(make_site: MakeSite) -> None:
    answer = make_site().post("x", **WINDOWS)

    assert answer.status_code == 422
    assert (
        "set orchestrator.execution_mode: windows in the server's config.yaml"
        in answer.json()["detail"]
    )


def checked(mode: str, **environ: str) -> tuple[bool | None, str, str]:
    settings = Settings.model_validate({"orchestrator": {"execution_mode": mode}})
    [check] = mode_checks(settings, environ)
    return check.ok, check.message, check.fix


def test_doctor_explains_the_mode(wsl: Path) -> None:
    assert checked("native")[:2] == (True, "native: workers run on this system")
    assert checked("wsl", WSL_DISTRO_NAME="Test")[:2] == (True, "wsl: workers run inside WSL")
    assert checked("windows", PATH=str(wsl))[0] is True
    ok, message, fix = checked("windows", PATH="/nowhere")
    assert (ok, message) == (False, "windows: powershell.exe and wslpath not found on the PATH")
    assert "[interop] enabled=true" in fix
