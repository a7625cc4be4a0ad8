"""``--plan-only``, ``--edit-plan``, ``--approve``, ``approve``, ``reject`` with a real server."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.exit_codes import ExitCode
from tests.integration.conftest import MakeSite
from tests.integration.engine.submission.test_planner_answer import GOOD, Planner
from tests.integration.site import HANG_SECONDS, KEY, REPOSITORY, InProcess, until

Command = Callable[..., tuple[int, str]]
REQUEST = "Build it. Test it."


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    made = Planner(tmp_path / "planner")
    made.answers(GOOD)
    return made


@pytest.fixture
def site(make_site: MakeSite, planner: Planner) -> InProcess:
    return make_site(agents=planner.settings)


@pytest.fixture
def command(site: InProcess, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command line, and returns exit code and standard output."""

    def run(*words: str) -> tuple[int, str]:
        environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
        context = CliContext(folder=site.folder, environ=environ)
        code = execute(list(words), context)
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that creates an editor, which runs a line of Python on the ``text`` of the
    file.
    """

    def make(line: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(
            "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\ntext = path.read_text()\n"
            f"{line}\npath.write_text(text)\n"
            # The file's time shows whether the editor changed it.
            "import os\nos.utime(path, (1, 1))\n"
        )
        monkeypatch.setenv("VISUAL", shlex.join([sys.executable, str(script)]))

    return make


BY_AGENT = ("--planner", "thinker", "--agent", "thinker")


def jobs(site: InProcess) -> list[tuple[str, str]]:
    """Return status and plan source of every job, oldest first."""
    ids = [job["job_id"] for job in reversed(site.get("/jobs")["jobs"])]
    ends = [site.wait(job_id)["status"] for job_id in ids]
    return [
        (end, site.get(f"/jobs/{each}")["plan_source"]) for end, each in zip(ends, ids, strict=True)
    ]


def test_plan_only_shows_an_agents_plan_with_an_estimate_and_runs_nothing(
    site: InProcess, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    words = ["run", "--plan-only", *BY_AGENT, REQUEST]
    code = execute(words, CliContext(folder=site.folder, environ=environ))
    out, err = capsys.readouterr()

    assert code == 0
    assert "a   thinker  -           Part a" in out
    assert [line.split()[0] for line in out.splitlines()] == ["ID", "a", "b", "c", "estimate:"]
    assert "about 300,000 tokens, cost unknown (3 workers, a rule of thumb" in out
    assert len(planner.asked) == 1
    (job,) = site.get("/jobs")["jobs"]
    assert site.wait(job["job_id"])["reason"].endswith("rejected: --plan-only runs no task")
    assert f"job {job['job_id']} has this plan; it is listed as cancelled" in err
    workers = site.get(f"/jobs/{job['job_id']}")["workers"]
    assert all(worker["attempts"] == [] for worker in workers)


#: A command that a shell runs in the background, where Ctrl-C is ignored.
IN_BACKGROUND = """
import os, signal, sys
from pathlib import Path
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.command_context import CliContext
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.exit(execute(sys.argv[2:], CliContext(folder=Path(sys.argv[1]), environ=os.environ)))
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param(signal.SIGHUP, marks=pytest.mark.nightly),
    ],
)
def test_plan_only_that_is_interrupted_stops_its_planner(
    site: InProcess, planner: Planner, number: signal.Signals
) -> None:
    planner.answers("hang")
    words = ("run", "--plan-only", *BY_AGENT, REQUEST)
    running = subprocess.Popen(
        [sys.executable, "-c", IN_BACKGROUND, str(site.folder), *words],
        env={**os.environ, "ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY},
        cwd=REPOSITORY,
    )
    until(lambda: planner.asked, "the planner works")

    running.send_signal(number)

    assert running.wait(HANG_SECONDS) == ExitCode.INTERRUPTED
    assert jobs(site) == [("cancelled", "thinker")]


def test_plan_only_with_rules_asks_no_agent(
    site: InProcess, command: Command, planner: Planner
) -> None:
    code, out = command("run", "--json", "--plan-only", "--planner", "rules", REQUEST)

    assert code == 0
    assert [task["title"] for task in json.loads(out)["tasks"]] == ["Build it.", "Test it."]
    assert json.loads(out)["estimate"]["tokens"] == 0
    assert (planner.asked, jobs(site)) == ([], [])


@pytest.fixture
def auto_command(
    make_site: MakeSite, planner: Planner, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Like ``command``, on a site where ``planner: auto`` asks the agent."""
    site = make_site(agents={"thinker": {**planner.settings["thinker"], "plans": True}})

    def run(*words: str) -> tuple[int, str]:
        environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
        code = execute(list(words), CliContext(folder=site.folder, environ=environ))
        return code, capsys.readouterr().out

    return run


def test_plan_only_states_that_the_rules_replaced_the_agent(
    auto_command: Command, planner: Planner
) -> None:
    planner.answers("no")
    command_line = ("run", "--plan-only", "--agent", "thinker", REQUEST)

    text = auto_command(*command_line)
    as_json = auto_command(*command_line, "--json")

    first = text[1].splitlines()[0]
    assert (text[0], as_json[0]) == (0, 0)
    assert first.startswith("planned by rules, not by thinker: thinker created no plan: ")
    made_by = json.loads(as_json[1])["planner"]
    assert (made_by["source"], made_by["fallback"]["agent"]) == ("rules", "thinker")
    assert "the plan was rejected" in made_by["fallback"]["reason"]


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (("run",), ["no"]),
        (("run", "--plan-only"), [{"tasks": []}]),
        pytest.param(("run", "--json"), ["no"], marks=pytest.mark.nightly),
        pytest.param(("run",), [{"tasks": []}], marks=pytest.mark.nightly),
        pytest.param(("run", "--plan-only"), ["no"], marks=pytest.mark.nightly),
        pytest.param(("run", "--json"), [{"tasks": []}], marks=pytest.mark.nightly),
    ],
    ids=str,
)
def test_a_named_planner_that_fails_is_an_error_with_what_to_type(
    site: InProcess,
    command: Command,
    planner: Planner,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    answers: list[object],
) -> None:
    planner.answers(*answers)
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}

    code = execute([*words, *BY_AGENT, REQUEST], CliContext(folder=site.folder, environ=environ))

    output = " ".join("".join(capsys.readouterr()).split())
    assert code == 1
    assert "thinker created no plan" in output
    assert f"bin/orchestrator run --planner rules {shlex.quote(REQUEST)}" in output
    if answers != ["no"]:
        assert "add at least one task" in output
    assert jobs(site) == [("failed", "none")]


def test_a_plan_without_tasks_after_the_editor_runs_nothing(
    site: InProcess, command: Command, editor: Callable[[str], None]
) -> None:
    editor("text = text[: text.index('tasks:')] + 'tasks: []\\n'")

    code, _ = command("run", "--edit-plan", "--planner", "rules", REQUEST)

    assert (code, jobs(site)) == (2, [])


def test_an_estimate_counts_candidates_and_who_compares_them(
    site: InProcess, command: Command, tmp_path: Path
) -> None:
    task = {"id": "a", "prompt": "Build it", "agent": ["claude", "codex"], "review": "claude"}
    alone = {"id": "b", "prompt": "Build it"}
    whole = {"request": "Build", "config": {"agent": "claude"}}
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps({**whole, "tasks": [task, alone]}))

    code, out = command("run", "--json", "--plan-only", "--plan", str(plan))

    assert code == 0, out
    found = json.loads(out)["estimate"]
    assert (found["workers"], found["reviewers"], found["tokens"]) == (3, 1, 400_000)


@pytest.mark.nightly
def test_a_plan_that_is_left_as_it_is_in_the_editor_runs(
    site: InProcess, command: Command, editor: Callable[[str], None]
) -> None:
    editor("pass")

    code, _ = command("run", "--edit-plan", *BY_AGENT, REQUEST)

    assert (code, jobs(site)) == (0, [("completed", "thinker")])


def test_a_plan_that_was_changed_in_the_editor_runs_as_changed(
    site: InProcess, command: Command, editor: Callable[[str], None]
) -> None:
    editor("text = text.replace('Part c', 'Part changed')")

    code, out = command("run", "--edit-plan", *BY_AGENT, REQUEST)

    assert (code, jobs(site)) == (0, [("completed", "thinker")])
    assert "changed" in out


def test_a_plan_that_is_invalid_after_the_editor_runs_nothing(
    site: InProcess, command: Command, editor: Callable[[str], None]
) -> None:
    editor("text = text.replace('title:', 'titel:')")

    code, _ = command("submit", "--edit-plan", *BY_AGENT, REQUEST)

    # By now: a server that was started for the command stops only if no job is left.
    assert [job["status"] for job in site.get("/jobs")["jobs"]] == ["cancelled"]
    assert (code, jobs(site)) == (2, [("cancelled", "thinker")])


@pytest.mark.nightly
def test_a_plan_of_the_rules_can_be_edited_too(
    site: InProcess, command: Command, editor: Callable[[str], None]
) -> None:
    editor("text = text.replace('Test it.', 'Test it well.')")

    _, out = command("submit", "--edit-plan", "--planner", "rules", REQUEST)
    site.wait(out.strip())

    tasks = site.get(f"/jobs/{out.strip()}")["tasks"]
    assert [task["title"] for task in tasks] == ["Build it.", "Test it well."]


def test_a_submitted_plan_waits_and_is_approved_or_rejected(
    site: InProcess, command: Command
) -> None:
    command_line = ("submit", "--approve", "--agent", "thinker", "--planner", "rules")
    # A worker that changes no file fails if the task requests a change.
    _, first = command(*command_line, "Explain how it works")
    _, second = command(*command_line, "Something else")

    assert site.get(f"/jobs/{first.strip()}/status")["reason"] == "waiting for approval"
    assert command("approve", first.strip())[0] == 0
    assert command("reject", second.strip())[0] == 0

    assert site.wait(first.strip())["status"] == "completed"
    assert site.wait(second.strip())["status"] == "cancelled"
    assert command("approve", second.strip())[0] != 0
