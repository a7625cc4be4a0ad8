"""The scripts of the folder, run as users run them: any path, any directory, any text."""

import fcntl
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from orchestrator.agents.survey.source.languages import _BY_ENDING as ENDINGS
from orchestrator.agents.survey.source.tree_sitter_parsing import is_read_by_grammar
from orchestrator.cli.doctor.package_files import PIN
from orchestrator.cli.output.command_paths import path_here
from tests.support.examples import nightly

PRODUCT = Path(__file__).resolve().parents[2]
SCRIPTS = ["install.sh", "quick-start.sh", "check-status.sh", "run-tests.sh", "bin/orchestrator"]
COPIED = [*SCRIPTS, "orchestrator", "api_server.py", "config.template.yaml", "pyproject.toml"]
LISTS = ["requirements.txt", "requirements-survey.txt", "requirements-dev.txt"]
NASTY = "request with \"quotes\", $(touch pwned), `touch pwned`, 'single',\nnewlines, \\ and 🚀 "

PRINT_CALL = """\
import json, os, sys
call = {"argv": sys.argv[1:], "cwd": os.getcwd(), "path": os.environ.get("PYTHONPATH")}
print(json.dumps(call))
sys.exit(int(any(word in sys.argv for word in os.environ.get("FAILING", "-").split())))
"""


def environment(**extra: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "ORCHESTRATOR_", "VIRTUAL_ENV")) and name != "CI"
    }
    return {**inherited, **extra}


def run(
    *command: str | Path, cwd: Path = Path("/"), **extra: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def programs(directory: Path, *names: str, **texts: str) -> str:
    """A PATH with the named programs of this machine, and scripts with the given texts."""
    directory.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, name
        (directory / name).symlink_to(found)
    for name, text in texts.items():
        write_program(directory / name, text)
    return str(directory)


# fmt: off
TOOLS = [
    "awk", "bash", "cat", "chmod", "cmp", "cut", "dirname", "env", "find", "grep",
    "head", "id", "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "sed", "sleep", "sort",
    "tail", "touch", "tr", "xargs",
]
# fmt: on
# macOS has no flock.
TOOLS += [name for name in ("flock",) if shutil.which(name)]


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the product without packages. Its path has a space, a quote, and an accent."""
    copy = tmp_path.resolve() / "my 'projét" / "the orchestrator"
    (copy / "bin").mkdir(parents=True)
    for name in [*COPIED, *LISTS]:
        source = PRODUCT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture
def installed(folder: Path) -> Path:
    """A copy that counts as installed, whose Python prints its arguments."""
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    program = folder / ".venv" / "print_call.py"
    program.write_text(PRINT_CALL)
    words = shlex.join([sys.executable, "-I", str(program)])
    write_program(binaries / "python", f'#!/bin/sh\nexec {words} "$@"\n')
    for name in LISTS:
        stamp = f"{folder}\n{(folder / name).read_text()}"
        (folder / ".venv" / f".installed-{name.removesuffix('.txt')}").write_text(stamp)
    (folder / "config.yaml").write_text("api:\n  api_key: 0123456789abcdef\n")
    (folder / "workspace").mkdir()
    return folder


def last_call(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert result.returncode == 0, result.stderr
    call: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return call


def key_of(folder: Path) -> str:
    return str(yaml.safe_load((folder / "config.yaml").read_text())["api"]["api_key"])


# -- bin/orchestrator --------------------------------------------------------------------------


def test_arguments_reach_the_tool_as_they_were_typed(installed: Path, tmp_path: Path) -> None:
    call = last_call(run(installed / "bin/orchestrator", "run", NASTY, "", "--x=*", cwd=tmp_path))
    assert call["argv"] == ["-P", "-m", "orchestrator", "run", NASTY, "", "--x=*"]
    assert call["path"] == str(installed)
    assert call["cwd"] == str(tmp_path.resolve())
    assert not list(tmp_path.rglob("pwned"))


def test_the_tool_works_through_links(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(installed / "bin/orchestrator")
    (tmp_path / "two").symlink_to("one")
    assert last_call(run(tmp_path / "two", "jobs"))["path"] == str(installed)


def test_the_tool_works_in_its_own_directory(installed: Path) -> None:
    call = last_call(run("bash", "orchestrator", "jobs", cwd=installed / "bin"))
    assert call["path"] == str(installed)


def test_mcp_needs_no_package(installed: Path) -> None:
    call = last_call(run(installed / "bin/orchestrator", "mcp", NASTY))
    assert call["argv"] == ["-S", "-P", "-m", "orchestrator.api.mcp.stdio", NASTY]
    assert call["path"] == str(installed)


def test_spawn_skips_everything_that_is_slow(installed: Path) -> None:
    call = last_call(run(installed / "bin/orchestrator", "spawn", NASTY, "--wait"))
    spawn = str(installed / "orchestrator/cli/worker/spawn.py")
    assert call["argv"] == ["-S", "-E", spawn, NASTY, "--wait"]


@pytest.mark.parametrize("name", ["lock", "unlock"])
def test_a_workers_locks_skip_everything_that_is_slow(installed: Path, name: str) -> None:
    """``tests/unit/cli/test_commands.py`` counts the modules that ``lock.py`` loads."""
    program = installed / "bin/orchestrator"
    call = last_call(run(program, name, NASTY, ORCHESTRATOR_API_KEY="a worker's"))
    lock = str(installed / "orchestrator/cli/worker/lock.py")
    assert call["argv"] == ["-S", "-E", lock, name, NASTY]


def test_a_users_python_path_does_not_reach_the_tool(installed: Path) -> None:
    call = last_call(run(installed / "bin/orchestrator", "jobs", PYTHONPATH="/elsewhere"))
    assert call["path"] == str(installed)


def test_without_venv_and_packages_the_tool_names_install_sh(folder: Path, tmp_path: Path) -> None:
    bare = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n'
    path = programs(tmp_path / "bin", *TOOLS, python3=bare)
    result = run(folder / "bin/orchestrator", "jobs", PATH=path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "install.sh" in result.stderr


def test_a_python_of_venv_that_does_not_run_is_named(folder: Path, tmp_path: Path) -> None:
    bare = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n'
    path = programs(tmp_path / "bin", *TOOLS, python3=bare)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(tmp_path / "removed")
    result = run(folder / "bin/orchestrator", "jobs", PATH=path)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{folder}/.venv/bin/python does not run here" in result.stderr
    assert "install.sh" in result.stderr


def lose_packages(folder: Path) -> None:
    """Replace the Python of ``.venv`` by a Python that finds no packages.

    Users get such a .venv if the installation fails, or if a new version of Python replaces the
    version for which the packages were installed.
    """
    (folder / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    bare = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n'
    write_program(folder / ".venv" / "bin" / "python", bare)


@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    folder: Path, command: str
) -> None:
    lose_packages(folder)
    result = run(folder / "bin/orchestrator", command)
    assert (result.returncode, result.stdout) == (1, "")
    install = path_here("install.sh", str(folder), "/")
    assert result.stderr == f"Error: the package click is missing; run {install}\n"


@pytest.mark.slow
def test_without_venv_the_tool_runs_with_a_python_that_has_the_packages(
    folder: Path, tmp_path: Path
) -> None:
    """The packages come from "pip install -r requirements.txt"; the configuration is the
    template.
    """
    (folder / "workspace").mkdir()
    shutil.copy(folder / "config.template.yaml", folder / "config.yaml")
    other = "#!/bin/sh\nexit 1\n"
    ours = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
    path = programs(tmp_path / "bin", *TOOLS, "git", python3=other, python=ours)
    # A worker's PATH may lack this Python.
    bare = programs(tmp_path / "bare", *TOOLS)
    task = {"agent": "shell", "command": "orchestrator --version", "env": {"PATH": bare}}
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"request": "version", "tasks": [task]}))

    words = ["run", "--plan", plan, "--project", tmp_path, "--json"]
    result = run(folder / "bin/orchestrator", *words, PATH=path, ORCHESTRATOR_API__PORT="0")

    assert result.returncode == 0, result.stderr
    assert "orchestrator, version" in json.loads(result.stdout)["results"]["tasks"][0]["output"]
    # The key that the template lacks was written.
    assert "wrote a new key there" in result.stderr
    assert len(key_of(folder)) == 64


@pytest.mark.parametrize("name", [*SCRIPTS, "api_server.py"])
def test_every_script_works_through_links(installed: Path, tmp_path: Path, name: str) -> None:
    """The link may be relative, and its target may have spaces in its path."""
    (tmp_path / "my bin").mkdir()
    (tmp_path / "near").symlink_to(installed / name)
    link = tmp_path / "my bin" / "tool"
    link.symlink_to("../near")
    shell = sys.executable if name.endswith(".py") else "bash"
    path = programs(tmp_path / "path", *TOOLS, shellcheck="#!/bin/sh\nexit 0\n")

    words = [] if name == "install.sh" else ["jobs"]
    result = run(shell, link, *words, cwd=tmp_path, PATH=path)

    if last_line := {
        "install.sh": "Already installed: nothing to do.",
        "run-tests.sh": "total        ok",
    }.get(name):
        assert result.returncode == 0 and last_line in result.stdout, result
    else:
        assert "jobs" in last_call(result)["argv"]


# -- quick-start.sh ----------------------------------------------------------------------------


def test_quick_start_passes_all_arguments_to_run(installed: Path, tmp_path: Path) -> None:
    words = [NASTY, "--plan", "a b.yaml", "--keep-server", "--json", "--agent", "shell"]
    call = last_call(run(installed / "quick-start.sh", *words, cwd=tmp_path))
    assert call["argv"] == ["-P", "-m", "orchestrator", "run", *words]
    assert not list(tmp_path.rglob("pwned"))


def test_quick_start_runs_the_demo(installed: Path) -> None:
    call = last_call(run(installed / "quick-start.sh", "--demo", "--keep", "a b"))
    assert call["argv"] == ["-P", "-m", "orchestrator", "demo", "--keep", "a b"]


def test_quick_start_prints_nothing_of_its_own_when_all_is_in_place(installed: Path) -> None:
    result = run(installed / "quick-start.sh", "x")
    assert len(result.stdout.splitlines()) == 1


def test_quick_start_without_a_request_shows_how_to_use_it(folder: Path) -> None:
    result = run(folder / "quick-start.sh")
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: ./quick-start.sh")
    assert not (folder / ".venv").exists()


def test_quick_start_ends_like_the_job(installed: Path) -> None:
    assert run(installed / "quick-start.sh", "x", FAILING="run").returncode == 1


def test_quick_start_stops_when_it_cannot_install(folder: Path, tmp_path: Path) -> None:
    result = run(folder / "quick-start.sh", "x", PATH=programs(tmp_path / "bin", *TOOLS))
    assert result.returncode == 1
    assert result.stdout == ""
    assert "no Python 3.11 or newer" in result.stderr


@pytest.mark.parametrize("script", SCRIPTS[:4])
def test_help_is_printed_without_installing(folder: Path, script: str) -> None:
    for option in ("-h", "--help"):
        result = run(folder / script, option)
        assert result.returncode == 0
        assert result.stdout.startswith(f"Usage: ./{script}")
        assert result.stderr == ""
    assert not (folder / ".venv").exists()


# -- check-status.sh ---------------------------------------------------------------------------


def leave_job(folder: Path, job_id: str, status: str, *tasks: Mapping[str, str]) -> None:
    directory = folder / "workspace" / f"job_{job_id}"
    directory.mkdir(parents=True)
    state = {"job_id": job_id, "status": status, "results": {"tasks": list(tasks)}}
    (directory / "status.json").write_text(json.dumps(state))


def test_check_status_asks_the_tool_when_it_is_installed(installed: Path) -> None:
    call = last_call(run(installed / "check-status.sh", "abc123", "--json"))
    assert call["argv"] == ["-P", "-m", "orchestrator", "status", "abc123", "--json"]


def test_check_status_reads_the_files_when_nothing_is_installed(folder: Path) -> None:
    leave_job(folder, "abc123", "completed", {"worker_id": "worker_1", "status": "success"})
    leave_job(folder, "def456", "partial", {"worker_id": "worker_1", "status": "timeout"})
    result = run(folder / "check-status.sh")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "abc123  completed  1 of 1 task succeeded",
        "def456  partial    0 of 1 task succeeded",
    ]


def test_check_status_reads_the_files_when_packages_are_missing(folder: Path) -> None:
    leave_job(folder, "abc123", "completed", {"worker_id": "worker_1", "status": "success"})
    lose_packages(folder)
    result = run(folder / "check-status.sh")
    assert result.returncode == 0
    assert result.stdout == "abc123  completed  1 of 1 task succeeded\n"
    assert "Not installed" in result.stderr


def test_check_status_shows_the_workers_of_one_job(folder: Path) -> None:
    worker = {"worker_id": "worker_1", "status": "failed", "reason": "no\x1b[2J disk"}
    leave_job(folder, "abc123", "failed", worker)
    for name in ("abc123", "job_abc123"):
        lines = run(folder / "check-status.sh", name).stdout.splitlines()
        assert lines[1].split() == ["worker_1", "failed", "no", "[2J", "disk"]


def test_check_status_counts_workers_that_the_file_omits(folder: Path) -> None:
    worker = {"worker_id": "worker_7", "status": "failed"}
    leave_job(folder, "abc123", "partial", worker)
    file = folder / "workspace/job_abc123/status.json"
    omitted = {"count": 1999, "tasks": 2000, "tasks_succeeded": 1990, "file": "all_workers.json"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "workers_omitted": omitted}))
    lines = run(folder / "check-status.sh", "abc123").stdout.splitlines()
    assert lines[0] == "abc123  partial    1990 of 2000 tasks succeeded"
    assert lines[-1] == "  ... and 1999 more workers: all_workers.json"


def test_check_status_works_without_any_python(folder: Path, tmp_path: Path) -> None:
    leave_job(folder, "abc123", "partial", {"worker_id": "worker_1", "status": "failed"})
    path = programs(tmp_path / "bin", *TOOLS)
    assert run(folder / "check-status.sh", PATH=path).stdout == "abc123  partial\n"


def test_check_status_gives_json_without_an_installation(folder: Path) -> None:
    assert json.loads(run(folder / "check-status.sh", "--json").stdout) == {"jobs": []}
    leave_job(folder, "abc123", "completed")
    leave_job(folder, "def456", "failed")
    jobs = json.loads(run(folder / "check-status.sh", "--json").stdout)["jobs"]
    assert [job["job_id"] for job in jobs] == ["abc123", "def456"]
    assert json.loads(run(folder / "check-status.sh", "def456", "--json").stdout) == jobs[1]


def test_check_status_of_an_unknown_job_is_an_error(folder: Path) -> None:
    result = run(folder / "check-status.sh", "nope")
    assert result.returncode == 3
    assert "job nope not found" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--json"], ["bad"]])
@pytest.mark.parametrize("with_python", [True, False])
def test_check_status_waits_for_no_pipe_and_follows_no_link(
    folder: Path, tmp_path: Path, with_python: bool, arguments: list[str]
) -> None:
    leave_job(folder, "good", "completed")
    (tmp_path / "secret").write_text('{"job_id": "secret", "status": "failed"}')
    for name in ("bad", "link"):
        (folder / "workspace" / f"job_{name}").mkdir()
    os.mkfifo(folder / "workspace" / "job_bad" / "status.json")
    (folder / "workspace" / "job_link" / "status.json").symlink_to(tmp_path / "secret")
    path = os.environ["PATH"] if with_python else programs(tmp_path / "bin", *TOOLS)

    result = run(folder / "check-status.sh", *arguments, PATH=path)

    assert result.returncode == (3 if arguments == ["bad"] else 0), result.stderr
    assert "secret" not in result.stdout
    assert ("good" in result.stdout) == (arguments != ["bad"])
    assert "is not a regular file" in result.stderr


#: Without these capabilities, a file's mode also stops root.
POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.skipif(not os.geteuid() and not shutil.which("setpriv"), reason="root reads all")
@pytest.mark.parametrize("arguments", [[], ["--json"], ["abc123"]])
@pytest.mark.parametrize("hidden", ["workspace", "workspace/job_abc123"])
def test_check_status_names_a_directory_that_it_may_not_read(
    folder: Path, hidden: str, arguments: list[str]
) -> None:
    leave_job(folder, "abc123", "completed")
    (folder / hidden).chmod(0)
    command = [folder / "check-status.sh", *arguments]
    result = run(*(command if os.geteuid() else [*POWERLESS, *command]))
    (folder / hidden).chmod(0o700)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot read {folder / hidden}/; run the script as" in result.stderr


def test_check_status_before_the_first_job_prints_no_jobs_yet(folder: Path) -> None:
    assert run(folder / "check-status.sh").stdout.startswith("No jobs yet.")


# -- api_server.py -----------------------------------------------------------------------------


def test_the_server_runs_with_the_python_of_venv(installed: Path, tmp_path: Path) -> None:
    call = last_call(run(sys.executable, installed / "api_server.py", "--port", "0", cwd=tmp_path))
    assert call["argv"] == [str(installed / "api_server.py"), "--port", "0"]


def test_the_server_takes_the_options_of_serve(server_folder: Path) -> None:
    wrong = run(sys.executable, server_folder / "api_server.py", "--bogus")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no such option" in wrong.stderr
    shown = run(sys.executable, server_folder / "api_server.py", "--help")
    assert shown.returncode == 0 and "--port" in shown.stdout


def test_the_server_without_venv_needs_a_python_that_has_the_packages(folder: Path) -> None:
    # -S: without the packages.
    result = run(sys.executable, "-S", folder / "api_server.py", "--help")
    assert result.returncode == 1
    assert "the package click is missing; run" in result.stderr
    shown = run(sys.executable, folder / "api_server.py", "--help")
    assert shown.returncode == 0 and "--port" in shown.stdout


# -- run-tests.sh ------------------------------------------------------------------------------


def test_every_check_runs_and_arguments_reach_pytest(installed: Path, tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", *TOOLS, shellcheck="#!/bin/sh\nexit 0\n")
    words = ["--quick", "tests/unit", "-k", "a b"]
    result = run(installed / "run-tests.sh", *words, PATH=path, FAILING="mypy")
    assert result.returncode == 1
    calls = [json.loads(line)["argv"] for line in result.stdout.splitlines() if line[:1] == "{"]
    assert [call[1] for call in calls] == ["ruff", "ruff", "mypy", "pytest"]
    assert calls[3][-5:] == ["-m", "not slow and not nightly", "tests/unit", "-k", "a b"]
    words_of_summary = [line.split()[:2] for line in result.stdout.splitlines()[-7:]]
    assert words_of_summary == [
        ["style", "ok"],
        ["format", "ok"],
        ["types", "FAILED"],
        ["compile", "ok"],
        ["scripts", "ok"],
        ["tests", "ok"],
        ["total", "FAILED"],
    ]


@pytest.mark.parametrize(
    ("processors", "processes"), [("1", "3"), ("64", "8"), *nightly(("2", "4"))]
)
def test_there_are_two_processes_more_than_processors_and_at_most_eight(
    installed: Path, tmp_path: Path, processors: str, processes: str
) -> None:
    tools = {"getconf": f"#!/bin/sh\necho {processors}\n", "shellcheck": "#!/bin/sh\nexit 0\n"}
    result = run(installed / "run-tests.sh", PATH=programs(tmp_path / "bin", *TOOLS, **tools))
    calls = [json.loads(line)["argv"] for line in result.stdout.splitlines() if line[:1] == "{"]
    [tests] = [call for call in calls if call[:2] == ["-m", "pytest"]]
    assert tests[2:4] == ["-n", processes]


def test_a_failure_of_the_tests_with_ai_tools_fails_the_run(
    installed: Path, tmp_path: Path
) -> None:
    path = programs(tmp_path / "bin", *TOOLS, shellcheck="#!/bin/sh\nexit 0\n")
    failing = {"CI": "true", "ORCHESTRATOR_TEST_TOOLS": "/nowhere", "FAILING": "tests/agents/real"}
    result = run(installed / "run-tests.sh", PATH=path, **failing)
    assert result.returncode == 1
    assert '"tests/agents/real"' in result.stdout, "the output of the command"
    assert [line.split()[:2] for line in result.stdout.splitlines()[-4:]] == [
        ["scripts", "ok"],
        ["tests", "ok"],
        ["agents", "FAILED"],
        ["total", "FAILED"],
    ]


def test_all_checks_passing_is_success(installed: Path, tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", *TOOLS, shellcheck="#!/bin/sh\nexit 0\n")
    assert run(installed / "run-tests.sh", PATH=path).returncode == 0


def test_a_missing_shellcheck_is_skipped_here_and_fails_on_the_build_server(
    installed: Path, tmp_path: Path
) -> None:
    path = programs(tmp_path / "bin", *TOOLS)
    assert run(installed / "run-tests.sh", PATH=path).returncode == 0
    result = run(installed / "run-tests.sh", PATH=path, CI="true")
    assert result.returncode == 1
    assert "shellcheck is not installed" in result.stdout


# -- install.sh without packages ----------------------------------------------------------------


def test_installing_again_is_instant_and_changes_nothing(installed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*")}
    result = run(installed / "install.sh")
    assert result.stdout.splitlines()[-1] == "Already installed: nothing to do."
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*")} == before


@pytest.mark.parametrize("option", ["--bogus", "--offline", "--python"])
def test_a_wrong_option_is_a_usage_error(folder: Path, option: str) -> None:
    result = run(folder / "install.sh", option)
    assert result.returncode == 2
    assert option in result.stderr


def test_an_old_python_is_named_in_the_error(folder: Path, tmp_path: Path) -> None:
    old = '#!/bin/sh\ncase "$*" in *print*) echo 3.8.10 ;; *) exit 1 ;; esac\n'
    path = programs(tmp_path / "bin", *TOOLS, python3=old)
    result = run(folder / "install.sh", PATH=path)
    assert result.returncode == 1
    assert "no Python 3.11 or newer on the PATH (found: python3 is 3.8.10)" in result.stderr
    result = run(folder / "install.sh", "--python", "/nowhere/python", PATH=path)
    assert result.returncode == 1
    assert "/nowhere" in result.stderr


def test_a_python_that_is_a_version_is_explained(folder: Path) -> None:
    result = run(folder / "install.sh", "--python", "3.12")
    assert result.returncode == 1
    assert "--python: '3.12' is not Python 3.11 or newer" in result.stderr
    assert "Pass a path such as" in result.stderr


def test_an_existing_venv_keeps_its_python(installed: Path) -> None:
    python = installed / ".venv" / "bin" / "python"
    write_program(python, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    result = run(installed / "install.sh", "--python", sys.executable)
    assert (result.returncode, result.stdout) == (0, "Already installed: nothing to do.\n"), (
        result.stderr
    )
    other = installed / "other"
    write_program(other, '#!/bin/sh\ncase "$*" in *print*) echo 3.99.1 ;; esac\n')
    result = run(installed / "install.sh", "--python", other)
    assert result.returncode == 1
    assert "is 3.99.1" in result.stderr
    venv, script = (path_here(each, str(installed), "/") for each in (".venv", "install.sh"))
    assert f"rm -rf {venv} && {script} --python '{other}'" in result.stderr


def test_a_folder_that_cannot_be_written_is_explained(folder: Path) -> None:
    # A directory at the path of the first file that install.sh writes stops even root.
    (folder / ".install.lock").mkdir()
    result = run(folder / "install.sh")
    assert result.returncode == 1
    assert f"cannot write to {folder}" in result.stderr


def test_a_colon_in_the_path_is_explained(folder: Path) -> None:
    moved = folder.rename(folder.with_name("a:b"))
    result = run(moved / "install.sh")
    assert result.returncode == 1
    assert "contains ':'" in result.stderr


def test_an_incomplete_copy_is_explained(folder: Path) -> None:
    (folder / "config.template.yaml").unlink()
    result = run(folder / "install.sh")
    assert result.returncode == 1
    assert "config.template.yaml is missing" in result.stderr


def test_a_release_that_was_copied_over_a_former_one_is_explained(
    installed: Path, tmp_path: Path
) -> None:
    # Python prefers a package, here of the former release, to a module of the same name.
    former = installed / "orchestrator" / "core" / "errors"
    former.mkdir()
    (former / "__init__.py").touch()
    # A minimal system has no program `find`.
    path = programs(tmp_path / "bin", *(each for each in TOOLS if each != "find"))

    result = run(installed / "install.sh", PATH=path)

    assert result.returncode == 1
    assert "rm -r orchestrator/core/errors" in result.stderr
    assert result.stderr.count("rm -r") == 1


@pytest.mark.parametrize("name", LISTS)
def test_the_lists_of_packages_are_hashed_and_name_no_registry(name: str) -> None:
    text = (PRODUCT / name).read_text()
    assert "://" not in text
    entries = text.replace("\\\n", " ").splitlines()
    packages = [entry for entry in entries if entry[:1].isalnum()]
    assert len(packages) > 10
    assert all(" --hash=sha256:" in entry for entry in packages)


def test_the_lists_of_packages_follow_pyproject() -> None:
    project = tomllib.loads((PRODUCT / "pyproject.toml").read_text())
    dependencies = {entry.split()[0] for entry in project["project"]["dependencies"]}
    assert dependencies <= pins("requirements.txt")
    # The store on PostgreSQL needs one setting, but no more packages.
    assert any(pin.startswith("psycopg==") for pin in dependencies)
    grammars = set(project["project"]["optional-dependencies"]["survey"])
    assert grammars == pins("requirements-survey.txt")
    tests = {pin.lower() for pin in project["dependency-groups"]["test"]}
    assert dependencies | tests <= pins("requirements-dev.txt")
    assert pins("requirements.txt") | grammars <= pins("requirements-dev.txt")


def pins(name: str) -> set[str]:
    lines = (PRODUCT / name).read_text().splitlines()
    return {line.split()[0] for line in lines if line[:1].isalnum()}


# -- install.sh: grammars, with a uv that installs nothing ---------------------------------------

FAKE_UV = """\
#!/bin/sh
echo "$*" >>{log}
case "$*" in
  venv*)
    mkdir -p .venv/bin
    printf '#!/bin/sh\\nexec "%s" "$@"\\n' {python} >.venv/bin/python
    chmod +x .venv/bin/python
    echo "$PWD/.venv" >.venv/bin/activate ;;
  *requirements-survey.txt) [ ! -e {refuses} ] ;;
esac
"""


@dataclass(frozen=True)
class Installer:
    """Run install.sh of ``folder`` with a uv that records its arguments."""

    folder: Path
    path: str
    log: Path
    #: If this file exists, the grammars cannot be installed.
    refuses: Path

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return run(self.folder / "install.sh", *options, PATH=self.path)

    def asked(self) -> list[str]:
        """Return the lists that were installed since the previous call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.split()[-1] for line in lines if line.startswith("pip")]


@pytest.fixture
def installer(folder: Path, tmp_path: Path) -> Installer:
    log, refuses = tmp_path / "asked", tmp_path / "refuses"
    uv = FAKE_UV.format(python=shlex.quote(sys.executable), log=log, refuses=refuses)
    path = programs(tmp_path / "bin", *TOOLS, "git", uv=uv)
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    return Installer(folder, path, log, refuses)


def commit(project: Path, *names: str) -> None:
    """Make the directory a repository with files of these names."""
    for name in names:
        (project / name).touch()
    for words in (["init", "-q"], ["add", "--", *names]):
        subprocess.run(["git", *words], cwd=project, check=True)


@pytest.fixture
def in_a_project_in_go(installer: Installer) -> Installer:
    commit(installer.folder.parent, "shop.go")
    return installer


@pytest.mark.nightly
def test_grammars_are_installed_by_default(in_a_project_in_go: Installer) -> None:
    installer = in_a_project_in_go
    assert installer.run().returncode == 0
    assert installer.asked() == LISTS[:2]
    assert installer.run().stdout == "Already installed: nothing to do.\n"
    assert installer.asked() == []
    refused = installer.run("--no-grammars")
    assert refused.returncode == 1
    assert "install.sh' --no-grammars" in refused.stderr


def test_grammars_stay_excluded_until_an_option_requests_them(installer: Installer) -> None:
    assert installer.run("--no-grammars").returncode == 0
    assert installer.asked() == LISTS[:1]
    assert installer.run("--quiet").returncode == 0
    moved = replace(installer, folder=installer.folder.rename(installer.folder.parent / "moved"))
    assert moved.run().returncode == 0
    assert moved.asked() == LISTS[:1]
    assert moved.run("--grammars").returncode == 0
    assert moved.asked()[-1] == LISTS[1]
    assert moved.run().stdout == "Already installed: nothing to do.\n"


def test_a_venv_whose_python_finds_no_packages_is_replaced(installer: Installer) -> None:
    assert installer.run().returncode == 0
    assert installer.asked() == [LISTS[0]]
    lose_packages(installer.folder)
    assert installer.run("--quiet").returncode == 0
    assert installer.asked() == [LISTS[0]]
    assert installer.run().stdout == "Already installed: nothing to do.\n"


@pytest.mark.parametrize("lost", ["flask", "flask-*.dist-info"])
def test_a_venv_that_lacks_one_package_is_replaced(installer: Installer, lost: str) -> None:
    assert installer.run().returncode == 0
    assert installer.asked() == [LISTS[0]]
    site = leave_packages(installer.folder)
    assert installer.run().stdout == "Already installed: nothing to do.\n"
    for path in site.glob(lost):
        shutil.rmtree(path)
    assert installer.run("--quiet").returncode == 0
    assert installer.asked() == [LISTS[0]]


def leave_packages(folder: Path) -> Path:
    """Make ``.venv`` a real one, with an empty package for each pin. Return their directory."""
    venv = folder / ".venv"
    (venv / "bin/python").unlink()
    words = [sys.executable, "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(words, check=True, timeout=60)
    (site,) = venv.glob("lib/python3.*/site-packages")
    for name, version in PIN.findall((folder / LISTS[0]).read_text()):
        package = name.replace("-", "_")
        module, info = site / package / "__init__.py", site / f"{package}-{version}.dist-info"
        for directory in (module.parent, info):
            directory.mkdir()
        module.touch()
        (info / "RECORD").write_text(f"{package}/__init__.py,sha256=x,0\n")
    return site


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock, install.sh has another lock")
def test_an_install_that_waited_for_another_installs_nothing(installer: Installer) -> None:
    folder = installer.folder
    assert installer.run().returncode == 0
    assert installer.asked() == [LISTS[0]]
    (folder / ".venv").rename(folder / "aside")
    with (folder / ".install.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [folder / "install.sh"],
            env=environment(PATH=installer.path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("Another install.sh is running")
        (folder / "aside").rename(folder / ".venv")
    assert waiting.communicate(timeout=60)[1] == ""
    assert waiting.returncode == 0
    assert installer.asked() == []


def test_a_project_of_python_and_scripts_gets_no_grammars(installer: Installer) -> None:
    folder = installer.folder
    commit(folder.parent, "shop.py", "run.sh", "page.html")
    # Files of the product itself do not count, nor do files that git does not know.
    (folder / "page.js").touch()
    (folder.parent / "new.go").touch()
    subprocess.run(["git", "add", "--", folder / "page.js"], cwd=folder.parent, check=True)

    assert installer.run().returncode == 0
    assert installer.asked() == LISTS[:1]
    assert installer.run().stdout == "Already installed: nothing to do.\n"
    assert installer.run("--grammars").returncode == 0
    assert installer.asked()[-1] == LISTS[1]


@pytest.mark.nightly
def test_a_moved_folder_keeps_grammars(installer: Installer) -> None:
    assert installer.run("--grammars").returncode == 0
    assert installer.asked() == LISTS[:2]
    moved = replace(installer, folder=installer.folder.rename(installer.folder.parent / "moved"))

    assert moved.run().returncode == 0

    assert moved.asked() == LISTS[:2]


@pytest.mark.nightly
def test_an_upgrade_keeps_grammars(installer: Installer) -> None:
    assert installer.run("--grammars").returncode == 0
    assert installer.asked() == LISTS[:2]
    with (installer.folder / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert installer.run().returncode == 0
    assert installer.asked() == LISTS[:2]


def test_the_languages_that_need_grammars_are_those_of_the_survey() -> None:
    [line] = re.findall(r"local endings='(.*)'", (PRODUCT / "install.sh").read_text())
    known = {ending for ending in ENDINGS if is_read_by_grammar(ENDINGS[ending])}
    assert set(line.split()) == {each for each in known if ENDINGS[each] != "Bash"}


@pytest.mark.nightly
def test_further_packages_are_installed_into_a_complete_folder(installer: Installer) -> None:
    assert installer.run("--with", "first==1").returncode == 0
    assert installer.asked() == [LISTS[0], "first==1"]
    assert installer.run("--with", "apprise==2.2.0").returncode == 0
    assert installer.asked() == ["apprise==2.2.0"]
    assert installer.run().stdout == "Already installed: nothing to do.\n"
    assert installer.run("--with").returncode == 2


def test_packages_of_another_python_are_explained(installer: Installer, tmp_path: Path) -> None:
    """The packages in the directory of --offline are for one version of Python."""
    installer.refuses.touch()
    result = installer.run("--offline", str(tmp_path), "--grammars")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert result.returncode == 1
    assert f"{tmp_path} lacks this package for Python {version}." in result.stderr
    assert "a network" not in result.stderr


def test_grammars_that_cannot_be_installed_do_not_stop_the_rest(
    in_a_project_in_go: Installer,
) -> None:
    installer = in_a_project_in_go
    installer.refuses.touch()
    result = installer.run()
    assert result.returncode == 0
    assert "install.sh' --grammars" in result.stderr
    assert len(key_of(installer.folder)) == 64
    assert installer.asked() == LISTS[:2]
    # Later starts do not retry the installation.
    assert installer.run("--quiet").stderr == ""
    assert installer.asked() == []
    asked_for = installer.run("--grammars")
    assert asked_for.returncode == 1
    assert "the grammars could not be installed" in asked_for.stderr
    installer.refuses.unlink()
    assert installer.run("--grammars").returncode == 0
    assert installer.run("--quiet").stderr == ""


@pytest.mark.nightly
def test_the_list_for_development_holds_the_grammars(installer: Installer) -> None:
    assert installer.run("--dev").returncode == 0
    assert installer.asked() == LISTS[2:]
    assert installer.run().stdout == "Already installed: nothing to do.\n"
    assert installer.run("--dev", "--no-grammars").returncode == 2


# -- install.sh: without uv, with a Python that installs nothing ---------------------------------

#: Has no pip. ``-m venv`` creates an environment with this program as its Python, and with pip
#: unless the call excludes it.
FAKE_PYTHON = """\
#!/bin/sh
case "$*" in
  *'-m venv'*)
    for place; do :; done
    echo "$*" >>{log}
    mkdir -p "$place/bin"
    case "$*" in *--without-pip*) ;; *) touch "$place/bin/has-pip" ;; esac
    cat "$0" >"$place/bin/python"
    chmod +x "$place/bin/python"
    echo "${{place%/.pip}}" >"$place/bin/activate" ;;
  *'-m pip --python'*' install'*) echo "${{0##*/.venv/}} $*" >>{log} ;;
  *'-m pip'* | *'import pip'*) [ -e "${{0%/*}}/has-pip" ] ;;
  *_base_executable*) echo "$0" ;;
  *ensurepip*) exit {refused} ;;
  *) exec {python} "$@" ;;
esac
"""


def test_venv_has_no_pip_after_the_installation(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    python = FAKE_PYTHON.format(python=shlex.quote(sys.executable), log=log, refused=0)
    path = programs(tmp_path / "bin", *TOOLS, **{"python3.11": python})

    result = run(folder / "install.sh", "--grammars", "--with", "a==1", PATH=path)

    assert result.returncode == 0, result.stderr
    product, own_pip, *installed = log.read_text().splitlines()
    assert "--without-pip" in product and own_pip.endswith("/.venv/.pip")
    assert [line.split()[-1] for line in installed] == [*LISTS[:2], "a==1"]
    assert all(line.startswith(".pip/bin/python ") for line in installed)
    assert not (folder / ".venv" / ".pip").exists()


def test_a_python_without_any_pip_is_explained(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    python = FAKE_PYTHON.format(python=shlex.quote(sys.executable), log=log, refused=1)
    path = programs(tmp_path / "bin", *TOOLS, **{"python3.11": python})
    result = run(folder / "install.sh", PATH=path)
    assert result.returncode == 1
    assert "sudo apt install python3." in result.stderr


# -- install.sh: with packages -----------------------------------------------------------------


#: Packages that write the key, and one grammar for a survey: their installation takes seconds.
FEW = (
    *("annotated-types", "pydantic", "pydantic-core", "pyyaml"),
    *("tree-sitter", "tree-sitter-go", "typing-extensions", "typing-inspection"),
)


@pytest.fixture
def compiled(folder: Path) -> Path:
    """A copy of the product's folder with bytecode, because compiling takes seconds."""
    for cache in (PRODUCT / "orchestrator").rglob("__pycache__"):
        copy = folder / cache.relative_to(PRODUCT)
        # Other processes may write temporary files, which vanish.
        shutil.copytree(cache, copy, ignore=lambda _, all: {n for n in all if n[-4:] != ".pyc"})
    return folder


@pytest.fixture
def small(compiled: Path) -> Path:
    """A folder with few packages; test_a_moved_folder_gets_a_new_venv_and_keeps_its_key installs
    all.
    """
    folder = compiled
    for name in LISTS[:2]:
        entries = re.split(r"(?m)^(?=[a-z])", (folder / name).read_text())
        lines = [entry for entry in entries if entry.partition("==")[0] in FEW]
        (folder / name).write_text("".join(lines))
    return folder


def modules_import(folder: Path, names: str = "pydantic, yaml") -> bool:
    return run(folder / ".venv/bin/python", "-I", "-c", f"import {names}").returncode == 0


def grammars_import(folder: Path) -> bool:
    code = "import tree_sitter, tree_sitter_go"
    return run(folder / ".venv/bin/python", "-I", "-c", code).returncode == 0


def failing_python(real: str, refused: str) -> str:
    """A Python that lacks the named module, as Debian's does without its extra packages."""
    return f'#!/bin/sh\ncase "$*" in *"{refused}"*) exit 1 ;; esac\nexec {shlex.quote(real)} "$@"\n'


def base_python() -> str:
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


#: Timeout of an installation, in seconds: long, because other tests install and compile.
installing = pytest.mark.timeout(600)
#: Debian's file with the certificate authorities that this machine trusts.
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

needs_uv = pytest.mark.needs("uv")


@pytest.mark.nightly
@installing
def test_install_with_pip_alone_and_then_from_a_directory(small: Path, tmp_path: Path) -> None:
    # Given a machine without uv, when installing
    folder = small
    result = run(folder / "install.sh", "--pip", "--python", base_python())
    # Then packages, a workspace, and a private configuration exist
    assert result.returncode == 0, result.stderr
    assert modules_import(folder)
    assert (folder / "workspace").is_dir()
    assert stat.S_IMODE((folder / "config.yaml").stat().st_mode) == 0o600
    assert len(key_of(folder)) == 64
    assert not (folder / ".install.log").exists()

    # Given the packages in a directory and a Python without ensurepip, when installing again
    wheels = tmp_path / "wheels"
    python = folder / ".venv/bin/python"
    assert run(python, "-m", "pip", "--version").returncode == 1
    command = ["-m", "pip", "download", "-q"]
    for name in LISTS[:2]:
        command += ["-r", str(folder / name)]
    assert run(base_python(), *command, "-d", wheels).returncode == 0
    before = (folder / "config.yaml").read_text()
    shutil.rmtree(folder / ".venv")
    lacking = tmp_path / "bin" / "python3.11"
    lacking.parent.mkdir()
    write_program(lacking, failing_python(base_python(), "import ensurepip"))
    options = ["--pip", "--offline", wheels, "--python", lacking, "--grammars"]
    result = run(folder / "install.sh", *options, HTTPS_PROXY="http://127.0.0.1:9")
    # Then the installation needs no network, and the configuration is unchanged
    assert result.returncode == 0, result.stderr
    assert modules_import(folder)
    assert grammars_import(folder)
    assert (folder / "config.yaml").read_text() == before


@pytest.mark.slow
@installing
def test_packages_that_cannot_be_downloaded_leave_a_log_and_a_hint(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    options = ["--offline", tmp_path / "empty", "--python", base_python()]
    result = run(folder / "install.sh", *options, PIP_FIND_LINKS="", UV_FIND_LINKS="")
    assert result.returncode == 1
    assert "the packages could not be installed" in result.stderr
    assert "--offline" in result.stderr
    assert (folder / ".install.log").read_text()
    assert not (folder / "config.yaml").exists()


@pytest.mark.skipif(not BUNDLE.exists(), reason=f"no {BUNDLE}")
@pytest.mark.parametrize(("chosen", "expected"), [({}, "1"), ({"UV_SYSTEM_CERTS": "0"}, "0")])
def test_uv_trusts_the_certificates_of_the_machine_by_default(
    folder: Path, tmp_path: Path, chosen: dict[str, str], expected: str
) -> None:
    uv = tmp_path / "programs" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\necho "system certificates: $UV_SYSTEM_CERTS"\nexit 1\n')
    uv.chmod(0o755)
    result = run(folder / "install.sh", PATH=f"{uv.parent}:{os.environ['PATH']}", **chosen)
    assert result.returncode == 1
    assert f"system certificates: {expected}" in (folder / ".install.log").read_text()


@pytest.mark.nightly
@needs_uv
@pytest.mark.slow
@installing
def test_a_moved_folder_gets_a_new_venv_and_keeps_its_key(compiled: Path) -> None:
    folder = compiled
    assert run(folder / "install.sh").returncode == 0
    key = key_of(folder)
    moved = folder.rename(folder.with_name("moved here"))
    assert run(moved / "install.sh").returncode == 0
    assert key_of(moved) == key
    assert run(moved / ".venv/bin/flask", "--version").returncode == 0
    assert modules_import(moved, "flask, pydantic, sqlalchemy, yaml")


@pytest.mark.nightly
@needs_uv
@pytest.mark.slow
@installing
def test_a_survey_works_without_grammars_and_uses_them_once_installed(small: Path) -> None:
    folder = small
    project = folder.parent
    (project / "shop.go").write_text("package shop\n\nfunc Buy() {}\n")
    worker = project / "worker"
    worker.mkdir()
    (worker / "task.json").write_text('{"request": "Survey this project"}')
    names = {"PYTHONPATH": str(folder), "ORCHESTRATOR_PROJECT_ROOT": str(project)}
    names |= {"ORCHESTRATOR_WORKER_DIR": str(worker), "ORCHESTRATOR_HOME": str(folder)}
    survey = [folder / ".venv/bin/python", "-m", "orchestrator.agents.survey"]

    assert run(folder / "install.sh", "--no-grammars").returncode == 0
    assert not grammars_import(folder)
    assert run(*survey, cwd=worker, **names).returncode == 0
    without = json.loads((worker / "result.json").read_text())
    assert run(folder / "install.sh", "--grammars").returncode == 0
    assert run(*survey, cwd=worker, **names).returncode == 0
    whole = json.loads((worker / "result.json").read_text())

    assert (without["unparsed"], without["symbols"]) == (["Go"], [])
    assert (whole["unparsed"], [row["name"] for row in whole["symbols"]]) == ([], ["Buy"])
    assert without["totals"] == whole["totals"]


@pytest.mark.nightly
@needs_uv
@pytest.mark.slow
@installing
def test_two_installs_at_once_do_not_break_each_other(small: Path) -> None:
    folder = small
    both = [
        subprocess.Popen([folder / "install.sh"], env=environment(), stdin=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    assert modules_import(folder)
    assert len(key_of(folder)) == 64


@needs_uv
@pytest.mark.slow
@installing
def test_each_copy_has_its_own_key_and_a_broken_venv_is_repaired(small: Path) -> None:
    folder = small
    assert run(folder / "install.sh").returncode == 0
    first = key_of(folder)
    (folder / "config.yaml").write_text('api:\n  port: 9 # mine\n  api_key: ""\n')
    (folder / ".venv/bin/python").unlink()
    assert run(folder / "install.sh").returncode == 0
    assert modules_import(folder)
    assert len(key_of(folder)) == 64
    assert key_of(folder) != first
    assert "port: 9 # mine" in (folder / "config.yaml").read_text()
    assert stat.S_IMODE((folder / "config.yaml").stat().st_mode) == 0o600


@needs_uv
@pytest.mark.slow
@installing
def test_changed_requirements_are_installed_into_the_same_venv(small: Path) -> None:
    folder = small
    assert run(folder / "install.sh").returncode == 0
    marker = folder / ".venv" / "mine"
    marker.touch()
    with (folder / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    result = run(folder / "install.sh", "--quiet")
    assert "Installing packages" in result.stderr
    assert marker.exists()
    assert run(folder / "install.sh", "--quiet").stderr == ""
