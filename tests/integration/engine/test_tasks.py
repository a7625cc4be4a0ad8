"""Tasks, their dependencies, their agents, and the ends of attempts."""

import json
import sys
from pathlib import Path

import pytest

from orchestrator.workspace import run_times_file
from tests.integration.conftest import MakeSite
from tests.integration.site import HANG_SECONDS, Answer, InProcess, shell, until
from tests.unit.workspace.test_inode_allocation import flags

AGENT = """
import os, pathlib, sys
prompt = sys.stdin.read()
assert prompt == pathlib.Path("prompt.md").read_text()
if sys.argv[1] == "writes":
    pathlib.Path("output.md").write_text("# Done\\n" + prompt)
    pathlib.Path("made.txt").write_text("x")
elif sys.argv[1] == "prints":
    print("printed")
elif sys.argv[1] == "fails":
    sys.exit("it did not work")
"""


@pytest.fixture
def agents(make_site: MakeSite, tmp_path: Path) -> InProcess:
    """A job manager with agents of the settings."""
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    command = [sys.executable, str(script)]
    return make_site(
        agents={
            "writer": {"command": [*command, "writes"], "output": "file"},
            "printer": {"command": [*command, "prints"]},
            "silent": {"command": [*command, "silent"]},
            "failing": {"command": [*command, "fails"]},
            "missing": {"command": ["no-such-program-anywhere"]},
        }
    )


def rows(ended: Answer) -> list[Answer]:
    found: list[Answer] = ended["results"]["tasks"]
    return found


def test_a_users_agent_reads_the_prompt_and_leaves_its_output(agents: InProcess) -> None:
    task = {
        "prompt": "Write the parser",
        "agent": "writer",
        "context": "It is for JSON.",
        "files": ["src/parser.py"],
    }

    ended = agents.run("Build a compiler", [task])

    [row] = rows(ended)
    directory = agents.directory(ended["job_id"]) / "depth_0" / "worker_1"
    prompt = (directory / "prompt.md").read_text()
    assert row["status"] == "success"
    assert row["output"].startswith("# Done\n")
    assert row["files_created"] == ["made.txt"]
    for text in ("Build a compiler", "Write the parser", "It is for JSON.", "src/parser.py"):
        assert text in prompt
    assert "orchestrator spawn" in prompt
    task_file = json.loads((directory / "task.json").read_text())
    assert (task_file["prompt"], task_file["request"]) == ("Write the parser", "Build a compiler")


@pytest.mark.slow
def test_the_prompt_offers_no_child_jobs_at_the_maximum_depth(agents: InProcess) -> None:
    ended = agents.run("x", [{"prompt": "y", "agent": "printer"}], max_recursion_depth=0)

    prompt = agents.directory(ended["job_id"]) / "depth_0" / "worker_1" / "prompt.md"
    assert "orchestrator spawn" not in prompt.read_text()
    assert rows(ended)[0]["output"] == "printed"


def test_exit_code_0_with_nothing_to_show_is_a_failure(agents: InProcess) -> None:
    ended = agents.run("x", [{"prompt": "y", "agent": "silent"}])

    assert ended["status"] == "failed"
    assert rows(ended)[0]["reason"] == "no result: exit code 0, but no output and no files"


def test_one_of_several_candidates_is_enough(agents: InProcess) -> None:
    tasks: list[Answer] = [
        {"id": "a", "prompt": "try", "agent": ["failing", "printer"]},
        {"id": "b", "prompt": "then", "agent": "writer", "depends_on": ["a"]},
    ]

    ended = agents.run("x", tasks)

    first, second, third = rows(ended)
    assert ended["status"] == "completed"
    assert (first["task_id"], second["task_id"]) == ("a", "a")
    assert (first["status"], second["status"], third["status"]) == ("failed", "success", "success")
    assert "it did not work" in first["reason"]
    directory = agents.directory(ended["job_id"]) / "depth_0" / "worker_3"
    assert json.loads((directory / "dependencies.json").read_text())["a"]["worker_id"] == "worker_2"
    assert "printed" in (directory / "prompt.md").read_text()


@pytest.mark.slow
def test_an_agent_whose_program_is_not_there_is_refused_with_its_name(agents: InProcess) -> None:
    refused = agents.post("x", [{"prompt": "y", "agent": "missing", "retries": 3}])

    assert (refused.status_code, refused.json()["type"]) == (422, "agent-not-usable")
    assert "command 'no-such-program-anywhere' not found" in refused.json()["detail"]


def test_results_are_passed_to_the_tasks_that_need_them(site: InProcess) -> None:
    tasks = [
        shell("echo from a; touch a.txt", id="a"),
        shell("echo from b", id="b"),
        shell("cat dependencies.json", id="c", depends_on=["a", "b"]),
    ]

    ended = site.run("chain", tasks)

    dependencies = json.loads(rows(ended)[2]["output"])
    assert {name: each["output"] for name, each in dependencies.items()} == {
        "a": "from a",
        "b": "from b",
    }
    assert dependencies["a"]["files_created"] == ["a.txt"]
    assert (Path(dependencies["a"]["directory"]) / "a.txt").is_file()


def test_a_failure_skips_its_dependents_with_the_reason(site: InProcess) -> None:
    tasks = [
        shell("exit 7", id="a"),
        shell("true", id="b", depends_on=["a"]),
        shell("true", id="c", depends_on=["b"]),
        shell("true", id="d"),
    ]

    ended = site.run("chain", tasks)

    assert ended["status"] == "partial"
    assert [row["status"] for row in rows(ended)] == ["failed", "skipped", "skipped", "success"]
    # A task that never ran has no log.
    assert ["log" in row for row in rows(ended)] == [True, False, False, True]
    assert [row["reason"] for row in rows(ended)[:3]] == [
        "exit code 7",
        "dependency 'a' did not succeed",
        "dependency 'b' did not succeed",
    ]


def test_a_retry_follows_after_a_pause_that_doubles(make_site: MakeSite, effects: Path) -> None:
    site = make_site(workers={"retry_backoff_seconds": 0.2})
    note = f"date +%s.%N >> {effects}; echo $RANDOM; exit 1"

    [row] = rows(site.run("x", [shell(note, retries=2)]))

    times = [float(line) for line in effects.read_text().split()]
    assert (row["attempts"], row["status"]) == (3, "failed")
    assert times[1] - times[0] >= 0.2
    assert times[2] - times[1] >= 0.4


def test_the_prompt_of_a_retry_names_the_previous_failure(
    make_site: MakeSite, tmp_path: Path
) -> None:
    script = tmp_path / "agent.py"
    script.write_text(
        "import os, sys\n"
        "if not os.path.exists('x'): open('x', 'w').close(); sys.exit('too slow')\n"
        "print('ok')"
    )
    site = make_site(agents={"second": {"command": [sys.executable, str(script)]}})

    ended = site.run("x", [{"prompt": "y", "agent": "second", "retries": 1}])

    prompt = (site.directory(ended["job_id"]) / "depth_0" / "worker_1" / "prompt.md").read_text()
    assert rows(ended)[0]["output"] == "ok"
    assert "The previous attempt failed" in prompt
    assert "exit code 1" in prompt
    assert "too slow" in prompt


@pytest.mark.slow
def test_the_same_failure_twice_is_not_tried_a_third_time(make_site: MakeSite) -> None:
    site = make_site(workers={"max_retries": 5})

    [row] = rows(site.run("x", [shell("echo no; exit 1")]))

    assert row["attempts"] == 2
    assert "attempts had the same failure" in row["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("no-such-program --x", "exit code 127: no-such-program: command not found"),
        ("echo one; echo two >&2; echo; exit 3", "exit code 3: two"),
        ("printf '\\033[31mred\\033[0m \\a\\u202eend\\r\\n'; exit 3", "exit code 3: red end"),
        ("printf '10%%\\r20%%'; exit 3", "exit code 3: 20%"),
        ("printf '%0.sx' {1..900}; exit 3", f"exit code 3: {'x' * 297}..."),
    ],
)
def test_the_reason_of_a_failed_command_has_its_last_line(
    site: InProcess, script: str, reason: str
) -> None:
    [row] = rows(site.run("x", [shell(script)]))

    assert (row["status"], row["reason"].partition(" (")[0]) == ("failed", reason)


@pytest.mark.slow
def test_a_command_that_is_too_long_for_an_argument_runs(site: InProcess) -> None:
    script = f"x={'y' * 190_000}; echo $0 $# ${{#x}}; no-such-program"

    [row] = rows(site.run("x", [shell(script)]))

    assert row["output"].startswith("bash 0 190000\n")
    assert row["reason"].partition(" (")[0] == "exit code 127: no-such-program: command not found"


@pytest.mark.slow
def test_a_list_with_an_argument_that_no_program_takes_is_refused(site: InProcess) -> None:
    longest = ["bash", "-c", "echo ${#0}", "x" * 131_071]
    answer = site.post("x", [shell([*longest, "é" * 65_536])])

    assert (answer.status_code, answer.json()["type"]) == (422, "long-argument")
    assert "argument 5 of the command has 131072 bytes" in answer.json()["detail"]
    [row] = rows(site.run("x", [shell(longest)]))
    assert row["output"] == "131071"


@pytest.mark.slow
@pytest.mark.parametrize("between", ["", "\\033[0m", "\\a"])
def test_secrets_in_the_last_line_are_masked_in_the_reason(site: InProcess, between: str) -> None:
    script = f"k=$ORCHESTRATOR_API_KEY; printf 'key: %s{between}%s' ${{k:0:9}} ${{k:9}}; exit 3"

    [row] = rows(site.run("x", [shell(script)]))

    assert row["reason"].partition(" (")[0] == "exit code 3: key: ***"


def test_an_attempt_has_no_more_time_than_it_was_given(site: InProcess) -> None:
    ended = site.run("x", [shell("echo begun; sleep 60", timeout=0.5)])

    [row] = rows(ended)
    assert (ended["status"], row["status"], row["output"]) == ("failed", "timeout", "begun")


@pytest.mark.slow
def test_a_signal_is_named(site: InProcess) -> None:
    [row] = rows(site.run("x", [shell("kill -SEGV $$")]))

    assert row["reason"] == "killed by signal 11"


@pytest.mark.slow
def test_text_of_a_request_is_never_run(site: InProcess) -> None:
    request = "say $(touch /tmp/never) `id` 'quotes' \"double\" \n line \U0001f600"

    ended = site.run(request, [shell(["printf", "%s", request])])

    assert rows(ended)[0]["output"] == request.strip()
    assert site.get(f"/jobs/{ended['job_id']}")["request"].split() == request.split()


@pytest.mark.slow
def test_jobs_lie_in_parts_of_the_disk_of_their_own(site: InProcess) -> None:
    ended = site.run("x", [shell("true")])

    assert "T" in flags(site.directory(ended["job_id"]).parent)


def test_the_run_times_of_tasks_are_in_the_file_when_their_job_has_ended(site: InProcess) -> None:
    site.run("measure", [shell("true"), shell("true"), shell("exit 1")])

    def seconds() -> list[float]:
        return [time for _, time in run_times_file.read(site.manager.parts.workspace.root)]

    # Three names for each task that succeeded.
    until(lambda: len(seconds()) == 6, "the run times are written")
    assert all(0 <= each < HANG_SECONDS for each in seconds())
