"""``orchestrator apply`` copies results into a project without git."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.changes import apply
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.conftest import MakeSite
from tests.integration.site import KEY, InProcess, Site, shell, until
from tests.support.project import Project, agents, edit


def command(site: Site, *arguments: str) -> int:
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    environ = {"PATH": os.environ["PATH"], **server}
    return execute(arguments, CliContext(folder=site.folder, environ=environ))


def actions_of(capfd: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    files: list[dict[str, Any]] = json.loads(capfd.readouterr().out)["files"]
    return {each["path"]: (each["action"], each["worker_id"]) for each in files}


def test_files_of_workers_come_into_the_project(
    site: InProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    project = site.folder / "project"
    (project / "src").mkdir()
    (project / "src" / "b.txt").write_text("mine\n")
    (project / "same.txt").write_text("same\n")
    (project / "dir").symlink_to("src")
    tasks = [
        shell("mkdir -p src dir; echo a > a.txt; echo b > src/b.txt; echo same > same.txt"),
        shell("mkdir -p dir; echo x > dir/x; echo A > a.txt; chmod +x a.txt"),
        shell("echo half > half.txt; exit 1"),
    ]
    job = site.run("x", tasks)["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--dry-run", "--take", "worker_2", "--json") == 6
    plan = actions_of(capfd)
    assert plan["a.txt"] == ("new", "worker_2"), plan
    assert plan["src/b.txt"] == ("overwrite", "worker_1")
    assert plan["same.txt"] == ("same", "worker_1")
    assert plan["dir/x"] == ("refused", "worker_2")
    assert "half.txt" not in plan
    assert not (project / "a.txt").exists()

    assert command(site, "apply", job, "--take", "worker_2") == 1
    error = capfd.readouterr().err
    assert "overwrite src/b.txt" in error
    assert f": bin/orchestrator apply {job} --take worker_2 --yes\n" in error
    assert (project / "src" / "b.txt").read_text() == "mine\n"

    assert command(site, "apply", job, "--take", "worker_2", "--dry-run") == 6
    assert f"2 files would be copied to {project}" in capfd.readouterr().err

    assert command(site, "apply", job, "--take", "worker_2", "--yes", "--json") == 6
    assert actions_of(capfd) == plan
    assert (project / "a.txt").read_text() == "A\n"
    assert os.access(project / "a.txt", os.X_OK)
    assert (project / "src" / "b.txt").read_text() == "b\n"
    assert not (project / "src" / "x").exists()


def test_links_and_files_that_are_not_listed_are_refused_by_name(
    site: InProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "MAX_FILES", 2)
    links = "ln -s a.txt link; mkdir -p node_modules/.bin; ln -s ../x node_modules/.bin/x"
    job = site.run("x", [shell(f"echo a > a.txt; echo b > b.txt; {links}")])["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--yes") == 6
    read = capfd.readouterr()
    assert (
        "refused link (worker_1): apply copies no symbolic links" in read.out
        and ".bin" not in read.out
    )
    assert "worker_1 has more than 2 files; only the first 2 are listed; copy the " in read.err


def test_different_versions_of_a_file_need_a_choice(
    site: InProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    project = site.folder / "project"
    tasks = [
        shell("echo one > both.txt; echo same > same.txt"),
        shell("echo two > both.txt; echo same > same.txt"),
    ]
    job = site.run("x", tasks)["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--yes") == 6

    output = capfd.readouterr().out
    assert "refused both.txt: worker_1, worker_2 made different versions" in output
    assert f"bin/orchestrator apply {job} --take worker_2" in output
    assert not (project / "both.txt").exists()
    assert (project / "same.txt").read_text() == "same\n"
    assert command(site, "apply", job, "--take", "worker_9") == 2
    assert command(site, "apply", job, "--take", "worker_1") == 0
    assert (project / "both.txt").read_text() == "one\n"


def test_files_of_every_child_job_of_a_worker_come_along(
    make_site: MakeSite, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site()
    spawns = [
        f"orchestrator spawn {name} --command 'echo {name} > {name}.txt' --wait"
        for name in ("first", "second")
    ]
    job = site.run("make two files", [shell("; ".join(spawns))])["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--dry-run", "--json") == 0
    assert actions_of(capfd) == {
        "first.txt": ("new", "worker_1_1"),
        "second.txt": ("new", "worker_1_2"),
    }


def test_of_candidates_only_the_files_of_the_chosen_one_come_along(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site(agents=agents(tmp_path))
    script = (
        "case $ORCHESTRATOR_WORKER_ID in\n"
        "*_1) echo good > a.txt;;\n"
        '*) echo bad > a.txt; orchestrator spawn x --command "echo c > child.txt" --wait;;\n'
        "esac; [ $ORCHESTRATOR_WORKER_ID = worker_1 ] || echo more > b.txt"
    )
    job = site.run("x", [edit(script, id="a", agent=["editor", "editor"])])["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--dry-run", "--json") == 0
    assert actions_of(capfd) == {"a.txt": ("new", "worker_1")}


def test_a_promised_result_file_is_listed_and_copied(
    site: InProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "echo '{}' > result.json; echo done > output.md"
    job = site.run("x", [shell(script, writes=["./result.json"]), shell(script)])
    rows = {each["worker_id"]: each["files_created"] for each in job["results"]["tasks"]}
    assert rows == {"worker_1": ["result.json"], "worker_2": []}

    report = site.folder / "workspace" / f"job_{job['job_id']}" / "FINAL_RESULT.md"
    assert "result.json" in until(lambda: report.exists() and report.read_text(), "the report")
    capfd.readouterr()

    assert command(site, "apply", job["job_id"], "--yes", "--json") == 0
    assert actions_of(capfd) == {"result.json": ("new", "worker_1")}
    assert (site.folder / "project" / "result.json").read_text() == "{}\n"


def test_the_candidate_that_a_person_chose_is_copied_without_git(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site(agents=agents(tmp_path))
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) echo good;; *) seq 9;; esac > a.txt"
    job = site.run("x", [edit(script, id="a", agent=["editor", "editor"])])["job_id"]

    answer = site.call("POST", f"/jobs/{job}/tasks/a/choice", {"worker_id": "worker_2"})

    assert answer.status_code == 200, answer.text
    until(lambda: chosen_in(site.status_file(job)) == [False, True], "status.json has the choice")
    capfd.readouterr()
    assert command(site, "apply", job, "--dry-run", "--json") == 0
    assert actions_of(capfd) == {"a.txt": ("new", "worker_2")}


def chosen_in(status: dict[str, Any]) -> list[bool]:
    return [each["chosen"] for each in status["results"]["tasks"]]


def test_files_that_a_worker_created_in_the_project_are_there_already(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n"})
    site = make_site(orchestrator={"project_root": str(project.path)})
    here = shell("echo here > here.txt", workdir="project")
    job = site.run("x", [here, shell("echo own > own.txt")])["job_id"]
    alone = site.run("y", [{**here, "command": "echo h > h.txt"}])["job_id"]
    capfd.readouterr()

    assert command(site, "apply", job, "--dry-run", "--json") == 0
    assert actions_of(capfd) == {"own.txt": ("new", "worker_2")}
    assert command(site, "apply", alone) == 0
    assert "already in the project: files of worker_1" in capfd.readouterr().err
    assert command(site, "land", job, "--yes") == 3, "apply brings own.txt"
    assert command(site, "land", alone, "--yes") == 0
    assert "the files of worker_1 are already in the project" in capfd.readouterr().err


def test_run_names_apply_only_for_files_that_are_not_in_the_project_yet(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n"})
    site = make_site(orchestrator={"project_root": str(project.path)})
    plan = tmp_path / "plan.json"
    here = {"command": "echo here > here.txt", "workdir": "project"}

    for tasks, is_named in (([here], False), ([here, {"command": "echo own > own.txt"}], True)):
        plan.write_text(json.dumps({"request": "x", "tasks": tasks}))
        assert command(site, "run", "--plan", str(plan)) == 0
        assert ("to copy the files into your project" in capfd.readouterr().out) is is_named


def test_a_merged_result_is_copied_elsewhere(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n", "old.txt": "old\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    job = site.run("x", [edit("echo n > new.txt; rm old.txt; ln -s a.txt link")])["job_id"]
    to = tmp_path / "elsewhere"
    to.mkdir()
    (to / "old.txt").write_text("old\n")
    capfd.readouterr()

    assert command(site, "apply", job) == 2
    assert f"orchestrator land {job}" in capfd.readouterr().err
    assert command(site, "apply", job, "--to", str(to), "--take", "worker_1") == 2
    assert (
        f"job {job} has a merged result, which is copied as a whole; omit --take: "
        f"bin/orchestrator apply {job} --to DIR\n"
    ) in capfd.readouterr().err
    assert command(site, "apply", job, "--to", str(to), "--json") == 6
    plan = actions_of(capfd)

    assert {path: action for path, (action, _) in plan.items()} == {
        "new.txt": "new",
        "old.txt": "kept",
        "link": "refused",
    }
    assert sorted(each.name for each in to.iterdir()) == ["new.txt", "old.txt"]
    assert command(site, "apply", "no-such-job", "--to", str(to)) == 3


def test_the_end_of_a_running_job_is_waited_for(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    go = tmp_path / "go"
    waits = f"until [ -e {go} ]; do sleep 0.05; done"
    job = site.submit("x", [edit("echo n > new.txt"), shell(waits)])

    def is_first_done() -> bool:
        tasks = (site.status_file(job).get("results") or {}).get("tasks") or []
        return any(each["status"] == "success" for each in tasks)

    until(is_first_done, "the first worker has ended")
    capfd.readouterr()

    assert command(site, "apply", job) == 1
    read = capfd.readouterr()
    go.touch()
    site.wait(job)
    assert f"job {job} is running" in read.err, read
    assert f"orchestrator wait {job}" in read.err and not read.out


def test_run_names_land_only_if_a_change_was_merged(
    make_site: MakeSite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "a\n"})
    site = make_site(orchestrator={"project_root": str(project.path)})
    plan = tmp_path / "plan.json"
    task = {"command": "echo own > own.txt", "git": "on"}

    for strategy, is_named in (("manual", False), ("auto", True)):
        config = {"merge_strategy": strategy}
        plan.write_text(json.dumps({"request": "x", "config": config, "tasks": [task]}))
        assert command(site, "run", "--plan", str(plan)) == 0
        out = capfd.readouterr().out
        assert [f"bin/orchestrator {each} " in out for each in ("land", "diff")] == [is_named] * 2
        job = re.search(r"report (\w+)|diff (\w+)", out)
        assert job
        assert command(site, "land", job[1] or job[2], "--yes") == 0
        note = "was merged: worker_1: merge_strategy: manual"
        assert (note in capfd.readouterr().err) is not is_named
