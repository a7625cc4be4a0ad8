"""Each printed command for changes that a result lacks is run, and succeeds."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.output.command_paths import path_here
from orchestrator.core.text.command_name import IN_FOLDER
from tests.integration.engine.merge.test_recursive_merging import spawning
from tests.integration.site import KEY, REPOSITORY, Answer, InProcess, shell
from tests.support.project import Project, agents, edit

pytestmark = [pytest.mark.usefixtures("spawning"), pytest.mark.slow]

KINDS: dict[str, Callable[..., Answer]] = {
    "agent": edit,
    "command": lambda script, **more: shell(script, git="on", **more),
}
#: A gate that accepts a state with one of two files, and rejects a state with both.
NOT_BOTH = {"gates": [{"name": "both", "run": "! test -e a.txt || ! test -e b.txt"}]}
#: The agent gets the gate's output: its next attempt removes the other file.
YIELDS_NOT = "echo b > b.txt"
YIELDS = "rm -f a.txt; echo b > b.txt"


@dataclass(frozen=True)
class Case:
    """A job whose result lacks the second worker's changes."""

    first: str
    second: str
    config: dict[str, Any] = field(default_factory=dict)
    #: Options of a merge that runs before the test reads the commands.
    choice: str = ""
    #: The expected command, by kind of agent.
    agent: str = "merge JOB --resolve worker"
    command: str = "merge JOB --strategy theirs"


ONE, TWO = "echo one > shared.txt", "echo two > shared.txt"
MANUAL = {"merge_strategy": "manual"}
SHOWN, RETRY = "diff JOB worker_2", "retry JOB"
AUTO, TAKE = "merge JOB --strategy auto", "merge JOB --include worker_2"
CASES = {
    "conflict": Case(ONE, TWO),
    # The file has no conflict markers, so an attempt without changes does not resolve the
    # conflict.
    "conflict with a deletion": Case("rm shared.txt", f"{TWO}; echo $RANDOM > n.txt"),
    "conflict, merged by hand": Case(ONE, TWO, MANUAL),
    "conflict that theirs could not merge": Case(
        f"{ONE}; echo a > a.txt",
        f"{TWO}; {YIELDS}",
        NOT_BOTH,
        "--strategy theirs",
        agent=RETRY,
        command=SHOWN,
    ),
    "refused": Case("echo a > a.txt", YIELDS, NOT_BOTH, agent=RETRY, command=SHOWN),
    "refused in spite of theirs": Case(
        "echo a > a.txt",
        YIELDS,
        {**NOT_BOTH, "merge_strategy": "theirs"},
        "--strategy theirs",
        agent=RETRY,
        command=SHOWN,
    ),
    "merged by hand": Case("echo a > a.txt", "echo b > b.txt", MANUAL, agent=AUTO, command=AUTO),
    "left by a person": Case(
        "echo a > a.txt",
        "echo b > b.txt",
        choice="--exclude worker_2",
        agent="merge JOB",
        command="merge JOB",
    ),
    "left by a person after a conflict": Case(ONE, TWO, choice="--exclude worker_2"),
    "left by a person, merged by hand": Case(
        "echo a > a.txt",
        "echo b > b.txt",
        MANUAL,
        "--exclude worker_2",
        agent=AUTO,
        command=AUTO,
    ),
    "failed": Case(
        "echo a > a.txt",
        "echo b > b.txt; exit 3",
        agent=TAKE,
        command=TAKE,
    ),
    "failed by its own gate": Case(
        "echo a > a.txt",
        YIELDS_NOT,
        {"gates": [{"name": "no-b", "run": "! test -e b.txt"}], "max_retries": 0},
        agent=SHOWN,
        command=SHOWN,
    ),
}
#: Nightly cases: a case by day has nearly the same cause, kind, and command.
AT_NIGHT = {
    ("conflict with a deletion", "agent"),
    ("conflict that theirs could not merge", "command"),
    ("refused in spite of theirs", "command"),
    ("left by a person after a conflict", "agent"),
    ("failed by its own gate", "agent"),
    ("merged by hand", "agent"),
    ("conflict with a deletion", "command"),
    ("conflict, merged by hand", "command"),
    ("conflict, merged by hand", "agent"),
    ("refused", "command"),
    ("conflict that theirs could not merge", "agent"),
    ("refused in spite of theirs", "agent"),
    ("left by a person, merged by hand", "agent"),
    ("left by a person after a conflict", "command"),
}
#: Cases, with a shell command in addition to an AI agent if the expected command differs.
TABLE = [
    pytest.param(name, kind, marks=pytest.mark.nightly if (name, kind) in AT_NIGHT else [])
    for name, case in CASES.items()
    for kind in KINDS
    if kind == "agent" or case.command != case.agent
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[InProcess]:
    """A site whose folder is in its project, as for a user."""
    project = Project(tmp_path / "host").begin({"shared.txt": "zero\n", ".gitignore": "/tool/\n"})
    changes = {
        "orchestrator": {"workspace_root": "./workspace", "project_root": str(project.path)},
        "agents": agents(tmp_path),
    }
    site = InProcess(project.path / "tool", changes)
    yield site
    site.stop()


def loss_of(answer: Answer) -> Answer | None:
    found = [each for each in answer["made_not_in_result"] if each["worker_id"] == "worker_2"]
    assert len(found) < 2, found
    return found[0] if found else None


@pytest.mark.nightly
def test_commands_are_not_asked_to_resolve_conflicts(site: InProcess) -> None:
    job = site.run("x", [KINDS["command"](ONE), KINDS["command"](TWO)])["job_id"]

    ran = run_typed(site, f"bin/orchestrator merge {job} --resolve worker")

    assert ran.returncode == 1
    assert "no worker of the job can resolve conflicts" in ran.stderr
    assert f"bin/orchestrator status {job}" in ran.stderr
    assert site.status(job)["status"] == "partial"


@pytest.mark.nightly
def test_land_of_a_job_whose_changes_a_person_left_out_is_no_failure(site: InProcess) -> None:
    job = site.run("x", [edit(ONE)])["job_id"]
    assert run_typed(site, f"bin/orchestrator merge {job} --exclude worker_1").returncode == 0
    by_hand = site.run("x", [edit(ONE)], **MANUAL)["job_id"]

    for each, way in ((job, ""), (by_hand, " --strategy auto")):
        landed = run_typed(site, f"bin/orchestrator land {each} --yes")

        assert (landed.returncode, landed.stdout) == (0, ""), landed
        assert f"bin/orchestrator merge {each}{way}" in landed.stderr
    assert (site.folder.parent / "shared.txt").read_text() == "zero\n"


def run_typed(site: InProcess, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user types it in the folder.

    The linked bin/ belongs to this test's repository. In the output, its path is ``bin/``.
    """
    environ = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_API_URL": site.url,
        "ORCHESTRATOR_API_KEY": KEY,
        "ORCHESTRATOR_ORCHESTRATOR__WORKSPACE_ROOT": str(site.folder / "workspace"),
        "ORCHESTRATOR_ORCHESTRATOR__PROJECT_ROOT": str(site.folder.parent),
    }
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=site.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    path = path_here(IN_FOLDER, str(REPOSITORY.resolve()), str(site.folder.resolve()))
    shown = (text.replace(path, IN_FOLDER) for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, *shown)


@pytest.mark.parametrize(("name", "kind"), TABLE)
def test_the_command_is_chosen_by_cause_and_agent_and_succeeds(
    site: InProcess, name: str, kind: str
) -> None:
    case, task = CASES[name], KINDS[kind]
    job = site.run("x", [task(case.first), task(case.second)], **case.config)["job_id"]
    merged = run_typed(site, f"bin/orchestrator merge {job} {case.choice}") if case.choice else None
    answer = site.status(job)
    status = run_typed(site, f"bin/orchestrator status {job}")
    loss = loss_of(answer)

    assert loss is not None, answer["made_not_in_result"]
    expected = getattr(case, kind).replace("JOB", job)
    shows = expected.startswith("diff ")
    assert loss["command"] == f"bin/orchestrator {expected}"
    assert loss["brings_in"] is not shows
    assert [each["command"] for each in answer["missing"] if each["worker_id"] == "worker_2"] in (
        [loss["command"]],
        [],
    )
    if merged:
        assert merged.returncode == status.returncode, merged.stderr
        assert loss["command"] in merged.stdout
    if loss["command"] in [each["command"] for each in answer["missing"]]:
        retry = f"to retry the tasks that did not succeed: bin/orchestrator retry {job}"
        ending = [each for each in status.stdout.splitlines() if each != retry][-1]
        assert ending.endswith(f": {loss['command']}"), status.stdout
    # No text names another command.
    texts = (status.stdout, *answer["results"]["changes"], answer["reason"])
    offered = re.compile(rf"bin/orchestrator (?:merge|retry) {job}(?: --\w+ \w+)?")
    may = {loss["command"], loss["otherwise"]}
    may |= {f"bin/orchestrator merge {job} {end}" for end in ("--strategy auto", "--resolve AGENT")}
    if any(each["status"] == "failed" for each in answer["results"]["tasks"]):
        may.add(f"bin/orchestrator retry {job}")
    assert {each for text in texts for each in offered.findall(text)} <= may, texts

    ran = run_typed(site, loss["command"])

    # A failed worker stays failed, whatever happens to its work.
    takes = expected == TAKE.replace("JOB", job)
    assert ran.returncode == (6 if takes else 0), (loss["command"], ran.stdout, ran.stderr)
    assert "+" in run_typed(site, loss["show"]).stdout
    if shows:
        assert "+b" in ran.stdout
        return
    after = site.wait(job)
    assert loss_of(after) is None, after
    status = "partial" if takes else "completed"
    assert (after["status"], after["missing"]) == (status, []), after["reason"]


def test_the_changes_of_a_failed_worker_below_a_failed_worker_are_shown_and_merged(
    site: InProcess,
) -> None:
    child = [edit("echo c > failed.txt; exit 3"), edit("echo d > done.txt")]
    job = site.run("x", [edit(spawning("echo p > parent.txt", child, "exit 4"))])["job_id"]

    rows = site.status(job)["made_not_in_result"]
    below = next(each for each in rows if each["worker_id"] == "worker_1_1")
    run_typed(site, f"set +e; {below['command']}")

    assert [each["worker_id"] for each in rows] == ["worker_1", "worker_1_1"]
    assert "+c" in run_typed(site, below["show"]).stdout
    project = Project(site.folder.parent)
    files = project.files(f"orchestrator/{job}/result")
    assert {"done.txt", "failed.txt", "parent.txt"} <= set(files)
    assert site.status(job)["made_not_in_result"] == []


def test_commands_for_changes_below_two_failed_workers_merge_up_to_the_root_job(
    site: InProcess,
) -> None:
    middle = edit(spawning("echo m > middle.txt", [edit(ONE), edit(TWO)], "exit 4"))
    top = edit(spawning("echo p > parent.txt", [middle], "exit 4"))
    job = site.run("x", [top], resolve="off")["job_id"]

    rows = site.status(job)["made_not_in_result"]
    [below] = [each for each in rows if each["worker_id"].count("_") == 3]
    run_typed(site, f"set +e; {below['command']}")

    files = Project(site.folder.parent).files(f"orchestrator/{job}/result")
    assert {"middle.txt", "parent.txt", "shared.txt"} <= set(files)
