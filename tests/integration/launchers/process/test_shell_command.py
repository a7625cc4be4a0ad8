"""A command runs as with ``bash -c``, even if no shell is started for it."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path

import pytest

from orchestrator.launchers.process import shell_command
from orchestrator.launchers.process.worker_process import start_worker

#: Commands that run without a shell.
DIRECT = (
    *("sleep 0", "  /bin/ls   -a\t. ", "ls -la sub/file.txt", "uname -s", "env"),
    *("./program a b=c", "sub/program x,y 10% a@b --c=d", "cat sub/file.txt sub/none"),
    *("ls --no-such-option", "./fails", "no-such-program", "./none", "./sub", "sub/file.txt"),
    *("./text", "./unreadable", "./bad-start", "program", "dash-program", "-x", "3", "/"),
    *("cat sub/../sub/file.txt", "./killed"),
)
#: Commands that bash runs.
BY_BASH = (
    *("", " ", "# x", "true", "false", "echo a", "echo -e a", "exit 3", "cd sub", ": a"),
    *(". ./text", "test -e none", "[ a = b ]", "[[ a ]]", "A=b", "A=b env", "kill -0 1"),
    *("type ls", "%1", "!", "ls *", "ls sub/?ile.txt", "ls {a,b}", "ls ~", "ls $HOME"),
    *("ls `pwd`", "ls 'sub'", 'ls "sub"', "ls \\sub", "ls | cat", "ls & wait", "ls; pwd"),
    *("ls > out", "ls < none", "ls 2>&1", "(ls)", "ls a && ls b", "ls\npwd", "ls ^", "ls [s]ub"),
    *("if true", "coproc ls", "done", "ls ü", "ls a\xa0b", "ls\x01", "ls \r", "pwd"),
    *("printf x", "umask", "exec ls", "command ls"),
)


@pytest.fixture
def working_directory(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file.txt").write_text("text\n")
    script = "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\n"
    for name, text, mode in (
        ("program", script, 0o755),
        ("sub/program", script, 0o755),
        ("fails", "#!/bin/sh\nexit 42\n", 0o755),
        ("killed", "#!/bin/sh\nkill -TERM $$\n", 0o755),
        ("text", "echo script without a first line: $#\n", 0o755),
        ("unreadable", "echo x\n", 0o644),
        ("bad-start", "#!/no/such/interpreter\n", 0o755),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    return tmp_path


def _environment(working_directory: Path) -> dict[str, str]:
    return {
        "PATH": f"/usr/local/bin:/usr/bin:/bin:{working_directory}/sub",
        "HOME": str(working_directory),
        "A_B": "c d",
    }


def _by_worker(working_directory: Path, command: str, env: Mapping[str, str]) -> tuple[int, str]:
    source = os.open(os.devnull, os.O_RDONLY)
    output = os.open(
        working_directory / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    )
    try:
        # It leaves the process in another directory.
        with chdir(working_directory):
            pid = start_worker(["bash", "-c", command], str(working_directory), env, source, output)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status, (working_directory / "output").read_text("utf-8", "replace")
    finally:
        os.close(source)
        os.close(output)
        (working_directory / "output").unlink()


def _by_bash(working_directory: Path, command: str, env: Mapping[str, str]) -> tuple[int, str]:
    with (working_directory / "output").open("wb") as output:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=working_directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    printed = (working_directory / "output").read_text("utf-8", "replace")
    (working_directory / "output").unlink()
    return done.returncode, printed


def test_a_command_without_a_shell_has_the_result_of_bash(working_directory: Path) -> None:
    env = _environment(working_directory)
    differing = {}
    for command in (*DIRECT, *BY_BASH):
        expected, found = (
            _by_bash(working_directory, command, env),
            _by_worker(working_directory, command, env),
        )
        # The order of variables is arbitrary.
        if command == "env":
            expected, found = ((a, "\n".join(sorted(b.split("\n")))) for a, b in (expected, found))
        if expected != found:
            differing[command] = (expected, found)
    assert differing == {}


def test_only_plain_commands_start_no_shell(working_directory: Path) -> None:
    env = _environment(working_directory)
    words = {
        each: shell_command.direct_words(["bash", "-c", each], env) for each in (*DIRECT, *BY_BASH)
    }
    assert [each for each in DIRECT if not words[each]] == []
    assert [each for each in BY_BASH if words[each]] == []
    assert words["  /bin/ls   -a\t. "] == ["/bin/ls", "-a", "."]
    assert not shell_command.direct_words(["sh", "-c", "ls"], env)


def test_every_builtin_and_keyword_is_bashs_own() -> None:
    listed = subprocess.run(
        ["bash", "-c", "compgen -b; compgen -k"], capture_output=True, text=True
    )
    names = listed.stdout.split()
    assert len(names) > 50
    assert [each for each in names if shell_command.direct_words(["bash", "-c", each], {})] == []


@pytest.mark.parametrize(
    "more",
    [
        {"BASH_ENV": "./begins"},
        {"BASH_FUNC_ls%%": "() { echo function; }"},
        {"SHELLOPTS": "noexec"},
        {"PWD": "/", "SHLVL": "7", "OLDPWD": "/tmp", "_": "x"},
        {"a-b": "no name of a variable"},
    ],
)
def test_variables_of_bash_have_their_meaning(
    working_directory: Path, more: Mapping[str, str]
) -> None:
    (working_directory / "begins").write_text("echo begins\n")
    env = {**_environment(working_directory), **more}
    for command in ("ls sub", "env"):
        (code, expected), found = (
            _by_bash(working_directory, command, env),
            _by_worker(working_directory, command, env),
        )
        assert (code, sorted(expected.split("\n"))) == (found[0], sorted(found[1].split("\n")))


def test_another_bash_on_the_path_is_used(working_directory: Path) -> None:
    (working_directory / "sub/bash").write_text('#!/bin/sh\necho "mine: $2"\n')
    (working_directory / "sub/bash").chmod(0o755)
    env = {"PATH": f"{working_directory}/sub:/usr/bin:/bin"}
    assert _by_worker(working_directory, "ls sub", env) == (0, "mine: ls sub\n")
