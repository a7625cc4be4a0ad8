"""Messages name the product's commands as users type them in the current directory."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.output import command_paths
from orchestrator.cli.output.command_paths import (
    command_of_home,
    path_here,
    split_home,
    with_paths_here,
)
from orchestrator.security.files.product_files import FOLDER
from tests.support.sources import PACKAGE, source_nodes


@pytest.mark.parametrize(
    ("directory", "path"),
    [
        ("/home/me/shop/orchestrator", "bin/orchestrator"),
        ("/home/me/shop/orchestrator/bin", "./orchestrator"),
        ("/home/me/shop", "orchestrator/bin/orchestrator"),
        ("/home/me/shop/src/web", "../../orchestrator/bin/orchestrator"),
        ("/srv/other/project", "/home/me/shop/orchestrator/bin/orchestrator"),
    ],
)
def test_a_command_has_its_shorter_path(directory: str, path: str) -> None:
    assert path_here("bin/orchestrator", "/home/me/shop/orchestrator", directory) == path


def test_a_home_with_its_own_program_is_named_by_it(tmp_path: Path) -> None:
    program = tmp_path / "home" / "bin" / "orchestrator"
    home = str(tmp_path / "home")

    assert command_of_home(home, str(tmp_path)) == ""
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    assert command_of_home(home, str(tmp_path)) == "home/bin/orchestrator"
    assert command_of_home("home", home + "/..") == "home/bin/orchestrator"
    assert command_of_home(home, home) == "bin/orchestrator"
    assert command_of_home(home, "/", str(program.parent)) == "orchestrator"


@pytest.mark.parametrize(
    ("arguments", "home", "others"),
    [
        (["--home", "/a b", "status"], "/a b", ["status"]),
        (["--home=x", "status"], "x", ["status"]),
        (["status", "--home", "x"], "", ["status", "--home", "x"]),
        (["--home"], "", []),
        ([], "", []),
    ],
)
def test_the_home_of_a_command_line_is_separated(
    arguments: list[str], home: str, others: list[str]
) -> None:
    assert split_home(arguments) == (home, others)


def test_commands_with_a_new_home_name_this_home(tmp_path: Path) -> None:
    home = tmp_path / "new home"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
    command = [sys.executable, "-P", "-m", "orchestrator", "--home", str(home), "jobs"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )

    program = path_here("bin/orchestrator", os.path.realpath(FOLDER), str(tmp_path))
    assert done.stderr == f"no jobs yet; start one: {program} --home '{home}' run \"...\"\n"


def test_a_path_is_quoted_for_the_shell() -> None:
    assert path_here("bin/orchestrator", "/a b/c", "/a b") == "c/bin/orchestrator"
    assert path_here("bin/orchestrator", "/a/b c", "/a") == "'b c/bin/orchestrator'"


def test_a_path_has_no_superfluous_dot() -> None:
    assert path_here("./install.sh", "/a/b", "/long/path") == "/a/b/install.sh"
    assert path_here("./install.sh", "/a/b", "/a/b") == "./install.sh"


def test_stored_messages_get_the_paths_of_the_current_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command_paths, "COMMAND", "'my tool/bin/orchestrator'")
    monkeypatch.setattr(command_paths, "INSTALL_COMMAND", "'my tool/install.sh'")
    command = "'my tool/bin/orchestrator'"
    for text, shown in {
        "to retry: bin/orchestrator retry a": f"to retry: {command} retry a",
        "bin/orchestrator merge a && bin/orchestrator merge b": (
            f"{command} merge a && {command} merge b"
        ),
        "install: ./install.sh --with x": "install: 'my tool/install.sh' --with x",
        f"{command} retry a": f"{command} retry a",
        "/opt/bin/orchestrator retry a, in bin/orchestrator": (
            "/opt/bin/orchestrator retry a, in bin/orchestrator"
        ),
    }.items():
        assert with_paths_here(text) == shown


def test_a_printed_command_runs_in_the_directory_from_which_it_was_printed(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
    command = [sys.executable, "-P", "-m", "orchestrator", "--home", str(tmp_path), "help", "runn"]
    done = subprocess.run(
        command,
        cwd=FOLDER.parent,
        env={**environ, "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )

    lines = re.findall(r"(?:Usage: |Help: )(.+)", done.stderr)
    [usage, program] = [shlex.split(line)[0] for line in lines]
    assert usage == program == f"{FOLDER.name}/bin/orchestrator"
    assert (FOLDER.parent / program).exists()


@pytest.mark.slow
def test_the_command_line_names_these_paths() -> None:
    # These messages are stored, are written for workers or into files, or need the package.
    others = {
        "cli/doctor/config.py",
        "cli/server/doctor_process.py",
        "cli/setup/init.py",
        "cli/worker/lock.py",
        "cli/worker/spawn.py",
    }
    imported = "from orchestrator.core.text.command_name import COMMAND"
    own = [path for path in source_nodes() if path.parts[0] == "cli"]
    found = {path.as_posix() for path in own if imported in (PACKAGE / path).read_text("utf-8")}
    assert found == others


@pytest.mark.parametrize(
    "place", [".", "the folder", "the folder/workspace/job_a", "else where", "/"]
)
def test_scripts_name_paths_as_commands_do(tmp_path: Path, place: str) -> None:
    folder, directory = tmp_path / "the folder", tmp_path / place
    folder.mkdir()
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("install.sh", "check-status.sh"):
        shutil.copy(FOLDER / name, folder)

    def output_of(name: str, *arguments: str) -> str:
        command = ["bash", str(folder / name), *arguments]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    script = path_here("install.sh", str(folder), str(directory))
    assert f"unknown option '--odd'; see {script} --help" in output_of("install.sh", "--odd")
    script = path_here("quick-start.sh", str(folder), str(directory))
    assert f'No jobs yet. Try: {script} "Survey' in output_of("check-status.sh")
