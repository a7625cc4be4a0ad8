"""The input of a worker, and the report of its end."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.launchers.exit_record import exit_record
from orchestrator.launchers.shim.shim import complete_launch

#: Program that prints its environment as numbers, because a log cannot contain zero bytes.
ENVIRONMENT = ("od", "-An", "-v", "-tx1", "/proc/self/environ")


def environment(log: bytes) -> dict[str, str]:
    entries = bytes.fromhex(log.decode()).decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def test_an_exit_code_is_reported_and_recorded(stage: Any) -> None:
    ended = stage.shell("a", "exit 7")
    assert (ended.ended_by, ended.code, ended.signal) == (EndedBy.EXIT, 7, None)
    assert exit_record.attempt_state(str(stage.directory / "a.json")) == exit_record.EndedAttempt(
        exit=ended
    )
    assert not (stage.directory / "a.run").exists()


def test_a_signal_is_reported(stage: Any) -> None:
    ended = stage.shell("a", "kill -SEGV $$")
    assert (ended.ended_by, ended.code, ended.signal) == (EndedBy.EXIT, None, 11)


def test_times_and_resources_are_measured(stage: Any) -> None:
    before = time.time()
    code = "x = bytearray(80_000_000); [i*i for i in range(1_000_000)]"
    ended = stage.run("a", sys.executable, "-S", "-c", code)
    assert before <= ended.started_at <= ended.ended_at <= time.time()
    assert ended.cpu_seconds > 0.02
    assert 80_000_000 < ended.peak_memory_bytes < 400_000_000


def test_output_and_errors_are_in_the_log_in_order(stage: Any) -> None:
    ended = stage.shell("a", "echo one; echo two >&2; echo three")
    assert stage.log("a") == b"one\ntwo\nthree\n"
    assert ended.log_bytes == 14
    assert not ended.log_truncated and not ended.log_lost


@pytest.mark.parametrize(
    "act",
    [
        "rm a.log",
        "mv a.log c.log",
        "echo x > b.log; mv b.log a.log",
        "mv a.log c.log; echo x > a.log",
        ": > a.log",
    ],
)
def test_a_log_that_its_worker_removes_is_lost(stage: Any, act: str) -> None:
    ended = stage.shell("a", f"echo one; until [ -s a.log ]; do sleep 0.01; done; {act}")
    assert (ended.code, ended.log_lost) == (0, True)


def test_a_log_is_appended_to_and_private(stage: Any) -> None:
    log = str(stage.directory / "shared.log")
    for name in ("a", "b"):
        stage.shell(name, f"echo {name}", log=log)
    assert Path(log).read_bytes() == b"a\nb\n"
    assert os.stat(log).st_mode & 0o777 == 0o600


def test_a_line_is_in_the_log_at_once(stage: Any, until: Callable[..., None]) -> None:
    stage.start("a", "sh", "-c", "echo ready; sleep 60")
    stage.reports.pid("a")
    until(lambda: stage.log("a") == b"ready\n", within=30.0)


def test_much_output_without_a_newline_is_kept(stage: Any) -> None:
    ended = stage.shell("a", "head -c 300000 /dev/zero | tr '\\0' x")
    assert ended.code == 0
    assert stage.log("a") == b"x" * 300_000


def test_the_environment_is_what_was_given_and_the_marker(stage: Any) -> None:
    env = {"PATH": os.environ["PATH"], "ODD": "a b\n'\"$x", "BIG": "b" * 100_000, "CAFE": "é"}
    stage.run("a", *ENVIRONMENT, env=env)
    assert environment(stage.log("a")) == {**env, "ORCHESTRATOR_WORKER": stage.id("a")}


def test_a_shim_keeps_nothing_of_the_worker_before(stage: Any) -> None:
    path = {"PATH": os.environ["PATH"]}
    stage.run("a", "cat", env={**path, "KEPT": "1", "CHANGED": "1", "GONE": "1"}, timeout=60.0)
    shim = stage.shim()
    stage.run("b", *ENVIRONMENT, env={**path, "KEPT": "1", "CHANGED": "2", "NEW": "2"})
    marker = {"ORCHESTRATOR_WORKER": stage.id("b")}
    variables = environment(stage.log("b"))
    assert variables == {**path, "KEPT": "1", "CHANGED": "2", "NEW": "2", **marker}
    assert stage.shim() == shim


def test_a_whole_launch_replaces_the_one_before() -> None:
    before = {"argv": ["a"], "stdin": "in", "env": {"A": "1"}}
    assert complete_launch({"argv": ["b"], "env": {"B": "2"}}, before) == {
        "argv": ["b"],
        "env": {"B": "2"},
    }


def test_a_large_environment_reaches_the_worker(stage: Any) -> None:
    env = {"PATH": os.environ["PATH"], **{f"V{number}": "v" * 100_000 for number in range(8)}}
    stage.run("a", "sh", "-c", "echo ${#V0} ${#V7}", env=env)
    assert stage.log("a") == b"100000 100000\n"


def test_standard_input_is_the_file_that_was_named(stage: Any) -> None:
    (stage.directory / "prompt.md").write_text("do it\n")
    stage.run("a", "cat", stdin=str(stage.directory / "prompt.md"))
    assert stage.log("a") == b"do it\n"


def test_without_a_file_standard_input_is_empty(stage: Any) -> None:
    assert stage.run("a", "cat").code == 0
    assert stage.log("a") == b""


def test_a_worker_starts_in_its_directory_and_its_own_session(stage: Any) -> None:
    script = "import os; print(os.getcwd(), os.getsid(0) == os.getpid())"
    stage.run("a", sys.executable, "-S", "-c", script)
    assert stage.log("a").decode() == f"{stage.directory} True\n"


def test_a_worker_has_three_descriptors_and_no_ignored_signal(stage: Any) -> None:
    stage.shell("a", "ls /proc/self/fd; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    *descriptors, _, blocked, _, ignored = stage.log("a").decode().split()
    # The fourth is the directory that ls itself reads.
    assert descriptors == ["0", "1", "2", "3"]
    assert int(blocked, 16) == 0
    # The C library reserves signals 32 and 33.
    assert int(ignored, 16) & ~(0b11 << 31) == 0


def _script(stage: Any, content: bytes, mode: int) -> str:
    path = stage.directory / "program"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_an_unknown_command_is_named(stage: Any) -> None:
    ended = stage.run("a", "no-such-program")
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "no-such-program" in ended.error and "not found" in ended.error
    assert exit_record.read_exit(str(stage.directory / "a.json")) == ended


def test_a_missing_directory_is_named(stage: Any) -> None:
    ended = stage.run("a", "true", cwd=str(stage.directory / "gone"))
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "gone" in ended.error and "no such directory" in ended.error


def test_a_directory_is_made_where_that_is_asked_for(stage: Any) -> None:
    cwd = stage.directory / "new"
    for name in ("a", "b"):  # the second call reads the file
        stage.run(name, "pwd", cwd=str(cwd), make_cwd=True)
        assert stage.log(name).decode().strip() == str(cwd)
    assert cwd.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_named(stage: Any) -> None:
    exit = stage.run("a", "true", cwd=str(stage.directory / "no" / "where"), make_cwd=True)
    assert exit.ended_by is EndedBy.SPAWN_FAILED
    assert "no/where" in exit.error


def test_a_missing_input_is_named(stage: Any) -> None:
    ended = stage.run("a", "true", stdin=str(stage.directory / "gone.md"))
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "gone.md" in ended.error


def test_a_file_that_is_not_executable_is_refused(stage: Any) -> None:
    path = _script(stage, b"#!/bin/sh\n", 0o644)
    ended = stage.run("a", path)
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert path in ended.error and "ermission denied" in ended.error


def test_a_file_that_is_no_program_is_refused(stage: Any) -> None:
    ended = stage.run("a", _script(stage, b"\x01\x02\x03\x04", 0o755))
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "xec format" in ended.error


def test_a_missing_interpreter_is_a_failed_start(stage: Any) -> None:
    ended = stage.run("a", _script(stage, b"#!/no/such/interpreter\n", 0o755))
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "interpreter" in ended.error


def test_too_long_arguments_are_a_failed_start(stage: Any) -> None:
    ended = stage.run("a", "true", "x" * 200_000)
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert "exceed the limit" in ended.error


def test_the_kernel_may_kill_a_worker_before_the_server(stage: Any) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    adjustment = min(1000, own + 1)
    script = f"until [ $(cat /proc/$$/oom_score_adj) -ge {adjustment} ]; do sleep 0.02; done"
    assert stage.shell("a", script).code == 0


def test_the_path_of_the_worker_decides_not_the_server_s(stage: Any) -> None:
    path = _script(stage, b"#!/bin/sh\necho mine\n", 0o755)
    stage.run("a", "program", env={"PATH": os.path.dirname(path)})
    assert stage.log("a") == b"mine\n"


def test_a_log_behind_a_link_is_refused(stage: Any) -> None:
    (stage.directory / "a.log").symlink_to(stage.directory / "elsewhere")
    ended = stage.run("a", "true")
    assert ended.ended_by is EndedBy.SPAWN_FAILED
    assert not (stage.directory / "elsewhere").exists()


@pytest.mark.parametrize("suffix", ["json", "run"])
def test_an_attempt_is_never_started_twice(stage: Any, suffix: str) -> None:
    trace = stage.directory / f"a.{suffix}"
    trace.write_text(json.dumps({"ended_by": "exit", "code": 3}) + "\n")
    ended = stage.shell("a", "touch ran")
    assert (ended.ended_by, ended.code) == (EndedBy.EXIT, 3), (
        "the reported end must equal the recorded end"
    )
    assert not (stage.directory / "ran").exists()
    assert json.loads((stage.directory / "a.json").read_text())["code"] == 3


def test_secrets_are_masked_however_they_are_written(stage: Any) -> None:
    secret = "s3cr3t/key+1"
    script = (
        f"printf 's3cr3t/'; sleep 0.3; printf 'key+1 and {secret}\\n'; "
        f"printf 'xx{secret}' | base64; printf 's3cr3t%%2Fkey%%2B1\\n'; "
    )
    stage.shell("a", script, secrets=(secret,))
    log = stage.log("a").decode()
    assert log.count("***") == 4 and log.startswith("*** and ***\n")
    assert "s3cr3t" not in log


def test_a_log_has_no_control_sequences_but_colors_and_a_raw_file_has_them(stage: Any) -> None:
    secret = "s3cr3t/key+1"
    script = (
        "printf 'red \\033[31mor\\033[0m\\tnot\\r\\n'; printf 'a\\033'; sleep 0.3; "
        "printf '[2Jb\\302'; sleep 0.3; printf '\\2332Jc\\033]52;c;aGk=\\007d\\0e\\n'; "
        f"printf 's3cr3t\\033[1C/key+1 {secret} \\033['"
    )
    ended = stage.shell("a", script, secrets=(secret,))

    raw = stage.directory / "raw" / "a.log"
    assert stage.log("a") == b"red \x1b[31mor\x1b[0m\tnot\r\nabcde\n*** *** "
    assert raw.read_bytes() == (
        b"\x1b[2Jb\xc2\x9b2Jc\x1b]52;c;aGk=\x07d\0e\ns3cr3t\x1b[1C/key+1 *** \x1b["
    )
    assert raw.stat().st_mode & 0o777 == 0o600 and not ended.log_lost


def test_a_raw_file_is_bounded(stage: Any) -> None:
    script = "printf 'x\\033[2J'; seq 100000; echo last"
    stage.shell("a", script, log_limit_bytes=20_000)

    raw = (stage.directory / "raw" / "a.log").read_bytes()
    assert raw.startswith(b"\x1b[2J1\n2\n") and raw.endswith(b"100000\nlast\n")
    assert len(raw) < 20_100 and b"bytes dropped" in raw


def test_a_raw_file_is_not_written_through_a_link(stage: Any) -> None:
    (stage.directory / "elsewhere").mkdir()
    (stage.directory / "raw").symlink_to(stage.directory / "elsewhere")
    ended = stage.shell("a", "printf 'a\\033[2Jb'")
    assert stage.log("a") == b"ab" and ended.log_lost
    assert not list((stage.directory / "elsewhere").iterdir())


def test_beyond_its_limit_a_log_keeps_its_beginning_and_its_end(stage: Any) -> None:
    ended = stage.shell("a", "echo first; seq 100000; echo last", log_limit_bytes=20_000)
    log = stage.log("a")
    assert ended.log_truncated and ended.log_bytes == len(log) < 20_100
    assert log.startswith(b"first\n1\n2\n") and log.endswith(b"100000\nlast\n")
    [notice] = [line for line in log.splitlines() if b"bytes dropped" in line]
    dropped = int(notice.split()[1])
    assert len(log) - len(notice) - 2 + dropped == 588_895 + 11
