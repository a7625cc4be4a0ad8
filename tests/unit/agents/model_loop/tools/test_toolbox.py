"""The tools of a loop: their effects, and the paths that a policy forbids."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings, Timeouts
from orchestrator.agents.model_loop.tools.tool import MAX_RESULT, Result
from orchestrator.agents.model_loop.tools.toolbox import Toolbox

KEY = "A_MODEL_KEY"
CONFINED = ("edit", "read-only")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "secret.txt").write_text("hidden")
    return folder


def use(work: Path, tool: str, policy: str = "full", **arguments: Any) -> Result:
    times = Timeouts(command=20.0, longest_command=30.0)
    settings = LoopSettings(
        model="m",
        base_url="http://x",
        policy=policy,
        cwd=work,
        timeouts=times,
        hidden=frozenset((KEY,)),
    )
    return Toolbox(settings).use(tool, arguments)


# Effects of the tools


def test_read_returns_a_file_or_a_part_of_it(work: Path) -> None:
    assert use(work, "read", path="a.txt").text == "one\ntwo\nthree\n"
    part = use(work, "read", path="a.txt", first_line=2, lines=1)
    assert part.text == "two\n\n[1 more lines, from line 3]"


def test_a_name_that_is_no_text_spoils_no_request(work: Path) -> None:
    (work / os.fsdecode(b"caf\xe9")).mkdir()
    link = work / "link"
    link.symlink_to(os.fsdecode(b"caf\xe9"))

    assert use(work, "list").text == "a.txt\ncaf?/\nlink@"
    assert use(work, "read", path="link").text.encode()


def test_write_makes_directories_and_leaves_the_mode(work: Path) -> None:
    assert not use(work, "write", path="b/c.sh", content="ü\r\n").failed
    assert (work / "b/c.sh").read_bytes() == "ü\r\n".encode()
    (work / "b/c.sh").chmod(0o755)
    use(work, "write", path="b/c.sh", content="")
    assert (work / "b/c.sh").read_bytes() == b""
    assert (work / "b/c.sh").stat().st_mode & 0o777 == 0o755


def test_edit_replaces_what_is_there_exactly_once(work: Path) -> None:
    assert not use(work, "edit", path="a.txt", old_text="two", new_text="2").failed
    assert (work / "a.txt").read_text() == "one\n2\nthree\n"
    several = use(work, "edit", path="a.txt", old_text="e", new_text="E")
    assert several.failed and "3 times" in several.text
    assert use(work, "edit", path="a.txt", old_text="zzz", new_text="").failed
    assert use(work, "edit", path="a.txt", old_text="", new_text="x").failed
    assert (work / "a.txt").read_text() == "one\n2\nthree\n"
    use(work, "edit", path="a.txt", old_text="e", new_text="E", replace_all=True)
    assert (work / "a.txt").read_text() == "onE\n2\nthrEE\n"


def test_edit_leaves_line_ends_as_they_are(work: Path) -> None:
    (work / "dos.txt").write_bytes(b"a\r\nb\r\n")
    use(work, "edit", path="dos.txt", old_text="b", new_text="c")
    assert (work / "dos.txt").read_bytes() == b"a\r\nc\r\n"


def test_list_marks_directories_and_links(work: Path) -> None:
    (work / "d").mkdir()
    (work / "l").symlink_to("a.txt")
    assert use(work, "list").text == "a.txt\nd/\nl@"


def test_search_returns_place_and_line(work: Path) -> None:
    (work / "d").mkdir()
    (work / "d/x.py").write_text("import os\ntwofold\n")
    assert use(work, "search", pattern="two").text == "a.txt:2:two\nd/x.py:2:twofold"
    assert use(work, "search", pattern="two", files="*.py").text == "d/x.py:2:twofold"
    assert use(work, "search", pattern="t.o", path="a.txt").text == "a.txt:2:two"
    assert use(work, "search", pattern="nowhere").text == "[nothing found]"
    assert "not a regular expression" in use(work, "search", pattern="(").text


def test_bash_returns_output_and_exit_code(work: Path) -> None:
    assert use(work, "bash", command="pwd; echo err >&2").text == f"{work}\nerr\n"
    assert use(work, "bash", command="true").text == "[no output]"
    failed = use(work, "bash", command="echo before; exit 3")
    assert failed.failed and failed.text == "before\n\n[exit code 3]"


def test_bash_has_no_input(work: Path) -> None:
    assert use(work, "bash", command="cat; echo end").text == "end\n"


def test_bash_does_not_see_the_key_of_the_model(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a-secret")
    monkeypatch.setenv("OTHER", "seen")
    assert use(work, "bash", command=f'echo "[${KEY}][$OTHER]"').text == "[][seen]\n"


@pytest.mark.slow
def test_a_command_that_times_out_is_ended_with_its_children(work: Path) -> None:
    command = "trap '' TERM; sleep 300 & echo $! > pid; echo begun; wait"
    result = use(work, "bash", command=command, timeout=1)
    assert result.failed and result.text.startswith("begun")
    assert "timed out after 1 s" in result.text
    until_gone(int((work / "pid").read_text()))


def test_leftover_processes_do_not_delay_the_result_of_a_command(work: Path) -> None:
    begun = time.monotonic()
    result = use(work, "bash", command="sleep 90 & echo $! > pid; echo done")
    assert result.text == "done\n"
    assert time.monotonic() - begun < 60
    os.kill(int((work / "pid").read_text()), 9)


def test_endless_output_is_cut_to_its_start_and_end(work: Path) -> None:
    result = use(
        work, "bash", command="echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last"
    )
    assert len(result.text) < MAX_RESULT + 100
    assert result.text.startswith("first\nxx") and result.text.endswith("xlast\n")
    assert "omitted" in result.text


def test_a_result_for_the_model_has_a_greatest_length(work: Path) -> None:
    (work / "long.txt").write_text("x" * 200_000)
    text = use(work, "read", path="long.txt").text
    assert len(text) < MAX_RESULT + 100 and "characters omitted" in text


# Confinement


@pytest.mark.parametrize("policy", CONFINED)
@pytest.mark.parametrize("path", ["../secret.txt", "{up}/secret.txt", "out", "d/../../secret.txt"])
@pytest.mark.parametrize("tool", ["read", "write", "edit", "list", "search"])
def test_tools_change_nothing_outside_of_the_worktree(
    work: Path, policy: str, path: str, tool: str
) -> None:
    (work / "d").mkdir()
    (work / "out").symlink_to(work.parent / "secret.txt")
    arguments = {"content": "x", "old_text": "hidden", "new_text": "x", "pattern": "hidden"}
    result = use(work, tool, policy, path=path.format(up=work.parent), **arguments)
    assert result.failed and result.denied
    assert (work.parent / "secret.txt").read_text() == "hidden"
    assert "hidden" not in result.text


def test_a_linked_directory_does_not_lead_out(work: Path) -> None:
    (work / "up").symlink_to(work.parent)
    assert use(work, "write", "edit", path="up/new.txt", content="x").denied
    assert not (work.parent / "new.txt").exists()
    assert use(work, "search", "edit", pattern="hidden").text == "[nothing found]"


def test_links_that_stay_inside_are_followed(work: Path) -> None:
    (work / "l").symlink_to("a.txt")
    assert use(work, "read", "read-only", path="l").text.startswith("one")


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "sub/.git/config", ".git"])
def test_a_confined_agent_does_not_change_what_git_runs(work: Path, path: str) -> None:
    assert use(work, "write", "edit", path=path, content="x").denied
    assert not (work / path).exists()


def test_a_policy_has_only_its_tools(work: Path) -> None:
    assert use(work, "bash", "edit", command="touch x").denied
    for tool in ("bash", "write", "edit"):
        result = use(work, tool, "read-only", path="x", content="", command="touch x")
        assert result.denied
    assert not (work / "x").exists()


def test_the_policy_full_permits_any_path(work: Path) -> None:
    assert use(work, "read", path="../secret.txt").text == "hidden"
    assert not use(work, "write", path=str(work.parent / "n.txt"), content="x").failed


# Invalid arguments of a model


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"path": 5, "pattern": [], "command": None},
        {"path": "nul\0l", "pattern": "x", "command": "nul\0l", "content": "", "new_text": ""},
        {"path": "x" * 5000, "pattern": "x", "content": "x"},
        {"path": ".", "pattern": "(?P<", "content": "x", "old_text": "x", "new_text": "y"},
        {"path": "\ud800", "content": "\ud800", "pattern": "\ud800", "command": "echo '\ud800'"},
        {"path": "a.txt", "first_line": "x", "lines": -3, "timeout": "soon", "content": 5},
        {"path": "a.txt", "first_line": 1e300, "lines": float("nan"), "pattern": "x"},
    ],
)
@pytest.mark.parametrize("tool", ["read", "write", "edit", "list", "search", "bash", "fly", ""])
def test_no_arguments_raise(work: Path, tool: str, arguments: Mapping[str, Any]) -> None:
    assert isinstance(use(work, tool, **arguments).text, str)


def test_a_pipe_or_device_is_no_file(work: Path) -> None:
    os.mkfifo(work / "pipe")
    for tool in ("read", "write", "edit"):
        arguments = {"content": "x", "old_text": "x", "new_text": "y"}
        assert use(work, tool, path="pipe", **arguments).failed
    assert use(work, "read", path="/dev/zero").failed
    assert use(work, "search", pattern="x", path="pipe").text == "[nothing found]"


def test_a_file_that_is_no_text_is_not_read_or_searched(work: Path) -> None:
    (work / "binary").write_bytes(b"\xff\xfe\0")
    assert "is not UTF-8 text" in use(work, "read", path="binary").text
    assert use(work, "search", pattern="x", path="binary").text == "[nothing found]"


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
