"""``git: on`` if git cannot be used: rejected at submission, or reported at a later failure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.conftest import MakeSite
from tests.integration.engine.submission.test_planner_answer import (
    Planner,
    a_plan,
    a_task,
    submit_planned,
)
from tests.integration.site import KEY, Answer, InProcess, Site, shell
from tests.support.project import Project, agents, edit

MakeProject = Callable[..., tuple[InProcess, Project]]


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(tmp_path / "planner")


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path, planner: Planner) -> MakeProject:
    """Create a project that is no repository yet, and its job manager."""

    def make() -> tuple[InProcess, Project]:
        project = Project(tmp_path / "host")
        (project.path / "README.md").write_text("hello\n")
        settings = {"project_root": str(project.path)}
        # The planner runs no task that changes files, so its job has no base.
        thinker = {"thinker": {**planner.settings["thinker"], "changes_files": False}}
        site = make_site(orchestrator=settings, agents={**agents(tmp_path), **thinker})
        return site, project

    return make


def no_repository(project: Project) -> str:
    return f"not a git repository; create one: cd {project.path} && git init"


def no_commit(project: Project) -> str:
    project.git("init", "-q")
    return f"has no commit; create one: git -C {project.path} add -A"


def branch_in_the_way(project: Project) -> str:
    project.begin({"README.md": "hello\n"})
    project.git("branch", "orchestrator")
    return "a branch is named 'orchestrator'"


def missing(site: Site, job_id: str) -> list[str]:
    found: list[Answer] = site.get(f"/jobs/{job_id}/status")["missing"]
    return [each["worker_id"] for each in found]


@pytest.mark.parametrize("state", [no_repository, no_commit, branch_in_the_way])
def test_a_submission_that_needs_worktrees_is_refused(
    make_project: MakeProject, state: Callable[[Project], str]
) -> None:
    site, project = make_project()
    why = state(project)

    refused = [
        site.post("x", [shell("true"), shell("true", git="on")]),
        site.post("x", [shell("true", workdir="worktree")]),
        site.post("x", [edit("true", git="on")]),
        site.post("x", [shell("true")], git="on"),
        site.post("x", git="on"),
    ]

    assert [each.status_code for each in refused] == [422] * 5
    for each in refused:
        assert "cannot create a worktree (git: on)" in each.text and why in each.text, each.text
    assert site.get("/jobs")["total"] == 0


def test_what_does_not_need_a_worktree_has_a_plain_directory(make_project: MakeProject) -> None:
    site, _ = make_project()
    here = shell("true", workdir="project")

    ended = [
        site.run("x", [edit("echo x > x.txt"), shell("true", git="auto")]),
        site.run("x", [here, shell("true", git="off")], git="on"),
        site.run("x", [shell("true", git="on")], git="off"),
    ]

    assert [each["status"] for each in ended] == ["completed"] * 3, ended


def test_a_refused_submission_is_accepted_once_there_is_a_commit(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [shell("echo x > x.txt", git="on")]
    assert site.post("x", tasks).status_code == 422

    project.begin({"README.md": "hello\n"})
    ended = site.run("x", tasks)

    assert ended["status"] == "completed", ended
    assert project.show(f"orchestrator/{ended['job_id']}/result", "x.txt") == "x"


def test_the_command_line_ends_as_for_other_wrong_requests(
    make_project: MakeProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"request": "x", "tasks": [shell("true", git="on")]}))
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}

    for command in ("run", "submit"):
        code = execute(
            [command, "--plan", str(plan)], CliContext(folder=site.folder, environ=environ)
        )
        assert code == 2
        assert "cannot create a worktree (git: on)" in capsys.readouterr().err


@pytest.mark.usefixtures("spawning")
def test_a_child_job_that_needs_worktrees_is_refused(make_project: MakeProject) -> None:
    site, _ = make_project()
    child = json.dumps([shell("true", git="on")])
    script = f"echo '{child}' > c.json; orchestrator spawn c --tasks c.json; echo code $?"

    ended = site.run("x", [shell(script)])

    log = site.log(ended["job_id"], "worker_1")
    assert "cannot create a worktree (git: on)" in log and "code 2" in log, log
    assert site.get("/jobs")["total"] == 1


def test_a_planners_task_that_had_no_worktree_makes_its_job_partial(
    make_project: MakeProject, planner: Planner
) -> None:
    site, _ = make_project()
    planner.answers(a_plan(a_task("a", workdir="worktree"), a_task("b")))

    job = submit_planned(site)
    ended = site.wait(job)

    assert [each["status"] for each in ended["results"]["tasks"]] == ["success"] * 2
    assert ended["status"] == "partial", ended
    assert missing(site, job) == ["worker_1"]
    assert "worker_1 (no worktree could be created" in site.status(job)["reason"]


@pytest.mark.parametrize("when", ["while it runs", "before the next one starts"])
def test_a_job_whose_repository_is_removed_is_never_completed(
    make_project: MakeProject, when: str
) -> None:
    site, project = make_project()
    project.begin({"README.md": "hello\n"})
    remove = f"rm -rf '{project.path}/.git'"
    first = shell("echo a > a.txt", id="a", git="on", retries=0)
    if when == "while it runs":
        tasks = [{**first, "command": f"echo a > a.txt; {remove}"}]
    else:
        tasks = [first, shell(remove, id="r", depends_on=["a"])]
        tasks.append(shell("echo b > b.txt", id="b", git="on", retries=0, depends_on=["r"]))

    ended = site.run("x", tasks)

    assert ended["status"] in ("partial", "failed"), ended
    assert ended["reason"] or any(row["reason"] for row in ended["results"]["tasks"])
    shutil.rmtree(project.path)
