"""The start of git, its input and output, and its end."""

import gc
import os
import signal
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git.command import runner
from orchestrator.git.command.git_process import GitProcess

ENDS = 20.0


def descriptors() -> int:
    gc.collect()  # Objects of other tests may have open descriptors.
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A program ``git`` that runs its last argument as a script, in the given directory."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text('#!/bin/bash\ncd "$2"; exec bash -c "${@: -1}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return dict(os.environ)


def test_more_input_and_output_than_pipes_hold(tmp_path: Path, env: dict[str, str]) -> None:
    content = os.urandom(1 << 20)
    before = descriptors()
    with GitProcess(str(tmp_path), ["tee /dev/stderr"], env, content) as process:
        assert process.communicate(ENDS)
    assert (process.code, process.out, process.errors) == (0, content, content)
    assert descriptors() <= before


def test_input_that_git_does_not_read_is_no_error(tmp_path: Path, env: dict[str, str]) -> None:
    with GitProcess(str(tmp_path), ["exec <&-; pwd; exit 3"], env, bytes(1 << 20)) as process:
        assert process.communicate(ENDS)
    assert (process.code, process.out) == (3, f"{tmp_path}\n".encode())


def test_without_input_git_reads_an_empty_one(tmp_path: Path, env: dict[str, str]) -> None:
    with GitProcess(str(tmp_path), ["cat; echo end"], env, b"") as process:
        assert process.communicate(ENDS)
    assert process.out == b"end\n"


def test_after_a_timeout_git_continues(tmp_path: Path, env: dict[str, str]) -> None:
    script = "echo a; until [ -e go ]; do sleep 0.01; done; cat"
    with GitProcess(str(tmp_path), [script], env, b"b\n") as process:
        assert not process.communicate(0.05)
        (tmp_path / "go").touch()
        assert process.communicate(ENDS)
    assert process.out == b"a\nb\n"


def test_a_git_that_still_runs_is_killed(tmp_path: Path, env: dict[str, str]) -> None:
    before = descriptors()
    with GitProcess(str(tmp_path), ["echo $$ > pid; exec sleep 600"], env, b"x") as process:
        assert not process.communicate(0.3)
    assert process.code == -signal.SIGKILL
    assert descriptors() <= before
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_command_that_times_out_fails(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSES", (0.1, 0.1))
    with pytest.raises(RepositoryError, match="timed out"):
        runner.Git(str(tmp_path), env).run("exec sleep 600")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"cannot run git in .*gone"):
        runner.Git(str(tmp_path / "gone"), {}).run("status")


def test_git_does_not_ignore_the_signals_that_python_ignores(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with GitProcess(str(tmp_path), ["kill -PIPE $$"], env, b"") as process:
        assert process.communicate(ENDS)
    assert process.code == -signal.SIGPIPE


def test_a_start_that_fails_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError, match="gone"):
        GitProcess(str(tmp_path / "gone"), ["x"], {}, b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        GitProcess(str(tmp_path), ["x"], {}, b"given")
    assert descriptors() <= before


def test_a_git_that_does_not_end_is_reported_with_its_directory(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSES", (0.1, 0.1))
    with pytest.raises(RepositoryError) as raised:
        runner.Git(str(tmp_path), env).run("sleep 60")
    assert raised.value.message.endswith(
        f" s in {tmp_path}; check that the file system answers, and that no git filter waits"
    )
