"""``workdir: project``: a task that works in the user's checkout, and its changes there."""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from orchestrator.cli.output.job_summary import summary_lines
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import Answer, InProcess, shell, until
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

FILES = {"README.md": "hello\n", "src/app.py": "one\n", ".gitignore": "*.tmp\n"}
MakeProject = Callable[..., tuple[InProcess, Project]]


def project_task(command: str | list[str], **more: Any) -> Answer:
    return shell(command, workdir="project", **more)


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    """A job manager whose workspace is in the project, with or without a repository."""

    def make(begun: bool = True, **more: Any) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "host")
        if begun:
            project.begin(FILES)
        else:
            for name, text in FILES.items():
                (project.path / name).parent.mkdir(parents=True, exist_ok=True)
                (project.path / name).write_text(text)
        workspace = project.path / "product" / "workspace"
        settings = {"project_root": str(project.path), "workspace_root": str(workspace)}
        site = make_site(orchestrator=settings, agents=agents(tmp_path), **more)
        site.workspace = workspace
        return site, project

    return make


def rows(ended: Answer) -> list[Answer]:
    found: list[Answer] = ended["results"]["tasks"]
    return found


@pytest.mark.parametrize("begun", [True, False])
def test_a_task_changes_the_checkout_and_only_its_own_changes_are_listed(
    make_project: MakeProject, begun: bool
) -> None:
    site, project = make_project(begun)
    (project.path / "README.md").write_text("the user is at it\n")
    (project.path / "notes.txt").write_text("the user's\n")

    ended = site.run(
        "work here",
        [
            project_task(
                "pwd; echo two >> src/app.py; echo new > 'a page.md'; echo words > output.md"
            )
        ],
    )

    assert ended["status"] == "completed", ended
    (row,) = rows(ended)
    assert row["files_created"] == ["a page.md", "src/app.py"]
    assert row["output"].strip() == "words"
    assert site.log(ended["job_id"], "worker_1").strip() == str(project.path)
    assert (project.path / "src/app.py").read_text() == "one\ntwo\n"
    assert not (project.path / "output.md").exists()
    (task,) = site.get(f"/jobs/{ended['job_id']}")["tasks"]
    assert (task["workdir"], task["locks"]) == ("project", ["project"])


@pytest.mark.nightly
def test_a_task_and_its_gate_work_with_the_umask_of_the_servers_user(
    make_server: MakeServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin(FILES)
    server = make_server(orchestrator={"project_root": str(project.path)})
    gate = {"name": "check", "run": "umask; echo x > by-gate.txt; test -s by-gate.txt"}

    ended = server.run(
        "work here", [project_task("echo x > by-task.txt", gates=[gate]), shell("umask")]
    )

    assert ended["status"] == "completed", ended
    for name in ("by-task.txt", "by-gate.txt"):
        assert stat.S_IMODE((project.path / name).stat().st_mode) == 0o644, name
    assert server.log(ended["job_id"], "worker_2").strip() == "0077"


def test_a_promised_file_with_a_reports_name_stays_in_the_checkout(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    ended = site.run("work here", [project_task("echo '{}' > result.json", writes=["result.json"])])

    assert ended["status"] == "completed", ended
    assert (project.path / "result.json").read_text() == "{}\n"


CHILD = "orchestrator spawn below --command 'echo c > c.txt' --wait"


def links(report: Path) -> Iterator[Path]:
    """Return the targets of a report's links."""
    for block in MarkdownIt("gfm-like", {"linkify": False}).parse(report.read_text()):
        for token in block.children or ():
            if token.type == "link_open":
                yield report.parent / unquote(str(token.attrs["href"]))


@pytest.mark.parametrize("begun", [True, *nightly(False)], ids=["git", "no git"])
def test_every_link_of_the_reports_leads_to_a_file(make_project: MakeProject, begun: bool) -> None:
    # No worktree is created, so no setup command runs, and no log exists.
    git = {"git": {"setup": ["echo no such package; exit 3"]}} if begun else {}
    site, project = make_project(begun, **git)
    tasks = [
        project_task(
            "mkdir 'a b'; echo x > 'a b/c.txt'; echo e >> README.md; echo x > gone.txt", id="a"
        ),
        project_task("rm gone.txt", depends_on=["a"]),
        shell(f"echo own > own.txt; {CHILD}"),
        shell("exit 3", retries=0),
        edit("echo w > w.txt", retries=0),
    ]

    ended = site.run("x", tasks)

    top = site.directory(ended["job_id"])
    reports = [*top.glob("*.md"), *top.glob("depth_*/*.md"), *top.glob("reports/*.md")]
    found = {report: list(links(report)) for report in reports}
    assert len([each for each in found.values() if each]) >= 3, found
    assert [place for each in found.values() for place in each if not place.exists()] == []
    # A task in the project gets the project's file.
    files = {place.resolve() for each in found.values() for place in each}
    assert {project.path / "a b/c.txt", project.path / "README.md"} <= files
    final = (top / "FINAL_RESULT.md").read_text()
    assert "| gone.txt (removed later) |" in final
    assert "unknown failure" not in final
    assert not begun or "Failure class: unknown: the program cannot be started." in final


def test_a_task_finds_the_programs_of_the_project_first(make_project: MakeProject) -> None:
    site, project = make_project()
    program = project.path / ".venv/bin/ruff"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho the ruff of the project\n")
    program.chmod(0o755)

    ended = site.run(
        "check",
        [project_task("ruff check ."), project_task(["ruff", "check", "."]), shell("ruff -h")],
    )

    printed = [site.log(ended["job_id"], f"worker_{each}").strip() for each in (1, 2, 3)]
    assert printed[:2] == ["the ruff of the project"] * 2
    assert "of the project" not in printed[2]


def test_what_the_user_had_changed_counts_when_the_task_changes_it_again(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    (project.path / "README.md").write_text("the user is at it\n")

    (row,) = rows(site.run("again", [project_task("echo more >> README.md; rm src/app.py")]))

    assert row["files_created"] == ["README.md"]


def test_a_commit_of_the_task_is_listed_file_by_file(make_project: MakeProject) -> None:
    site, project = make_project()
    identity = "-c user.name=x -c user.email=x@example.org"
    commit = f"echo two >> src/app.py; git {identity} commit -qam two"

    ended = site.run("commit", [project_task(commit), edit("echo x > other", git="on")])

    assert [row["files_created"] for row in rows(ended)] == [["src/app.py"], ["other"]]
    assert project.git("log", "-1", "--format=%s") == "two"
    assert ended["status"] == "completed"
    report = (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
    assert "src/app.py" in report
    merge = site.directory(ended["job_id"]) / "reports" / f"merge_{ended['job_id']}.json"
    assert not json.loads(merge.read_text())["leaks"]


@pytest.mark.parametrize(
    ("locks", "order"), [(None, ["in", "out"] * 3), ([], ["in"] * 3 + ["out"] * 3)]
)
def test_tasks_in_the_checkout_run_alone_unless_they_name_other_locks(
    make_project: MakeProject, effects: Path, locks: list[str] | None, order: list[str]
) -> None:
    site, _ = make_project()
    more = {} if locks is None else {"locks": locks}
    alone = (
        "true" if locks is None else f"until [ $(grep -c in {effects}) = 3 ]; do sleep .02; done"
    )
    task = f"echo in >> {effects}; {alone}; echo out >> {effects}"

    ended = site.run("together", [project_task(task, **more) for _ in range(3)])

    assert ended["status"] == "completed"
    assert effects.read_text().split() == order


def test_files_of_parallel_tasks_are_named_for_all_tasks_that_may_have_changed_them(
    make_project: MakeProject, effects: Path
) -> None:
    site, _ = make_project()

    def task(name: str, mates: str) -> dict[str, Any]:
        script = f"echo {name} >> {effects}; {wait_for(mates)}; echo {name} > {name}.py"
        return project_task(f"{script}; echo {name}+ >> {effects}; {wait_for('a+ b+')}", locks=[])

    def wait_for(names: str) -> str:
        found = " && ".join(f"grep -qxF {each} {effects}" for each in names.split())
        return f"until {found}; do sleep .02; done"

    later = project_task("echo later > later.py", locks=[], depends_on=["1", "2"])
    ended = site.run(
        "together", [{**task("a", "b"), "id": "1"}, {**task("b", "a"), "id": "2"}, later]
    )

    assert [row["files_created"] for row in rows(ended)][2] == ["later.py"]
    both = "changed while worker_1 and worker_2 worked in the project: a.py, b.py"
    assert f"{both}; worker_3 changed later.py" in ended["reason"]
    assert "worker_3: the project" not in ended["reason"]
    for name in ("worker_1", "worker_2"):
        assert f"{name}: the project changed while the worker ran: a.py, b.py" in ended["reason"]


def test_a_child_job_has_the_checkout_only_from_a_worker_that_has_it(
    make_project: MakeProject, spawning: None
) -> None:
    site, project = make_project()
    child = project.path / "child.json"
    child.write_text(json.dumps([project_task("echo from below > below.txt")]))
    spawn = f"orchestrator spawn child --tasks {child} --wait"

    good = site.run("may", [project_task(spawn)])
    bad = site.run("may not", [shell(f"{spawn} || echo refused $?")])

    assert good["status"] == "completed", good
    (parent,) = rows(good)
    assert parent["child_results"][0]["files_created"] == ["below.txt"]
    assert "refused 2" in rows(bad)[0]["output"]
    assert "a child job may use 'workdir: project' only if" in site.log(bad["job_id"], "worker_1")


def test_what_gates_of_a_child_job_judged_in_the_checkout_is_judged(
    make_project: MakeProject, spawning: None
) -> None:
    site, project = make_project()
    child = project.path / "child.json"
    child.write_text(json.dumps([project_task(CODE, gates=["grep -q two src/app.py"])]))
    spawn = f"orchestrator spawn child --tasks {child} --wait"

    good = site.run("as it was", [project_task(spawn)])
    edited = site.run("edited", [project_task(f"{spawn}; echo three >> src/app.py")])

    assert (good["status"], good["reason"]) == ("completed", "")
    assert edited["reason"] == f"not judged: {UNSEEN}src/app.py"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"git": "on", "workdir": "project"}, "git: on"),
        *nightly(
            ({"git": "off", "workdir": "worktree"}, "git: off"),
            ({"agent": ["editor", "shell"], "workdir": "project", "prompt": "x"}, "name one agent"),
            ({"workdir": "elsewhere"}, "own"),
        ),
    ],
)
def test_contradicting_settings_are_rejected(
    make_project: MakeProject, task: Answer, expected: str
) -> None:
    site, _ = make_project()

    response = site.post("no", [{"command": "true", **task}])

    assert response.status_code == 422
    assert expected in response.text


def test_a_plan_sets_workdir_for_all_its_tasks(make_project: MakeProject) -> None:
    site, project = make_project()
    body = {
        "request": "all",
        "workdir": "project",
        "tasks": [shell("pwd"), shell("pwd", workdir="own"), shell("pwd", workdir="worktree")],
    }

    job_id = site.call("POST", "/orchestrate", body).json()["job_id"]

    assert site.wait(job_id)["status"] == "completed"
    first, second, third = (site.log(job_id, f"worker_{n}").strip() for n in (1, 2, 3))
    assert first == str(project.path)
    assert second.endswith("depth_0/worker_2")
    assert third.endswith("depth_0/worker_3/worktree")
    assert [each["git"] for each in site.get(f"/jobs/{job_id}")["tasks"][2:]] == ["on"]


def test_a_gate_of_a_task_in_the_checkout_judges_the_checkout(make_project: MakeProject) -> None:
    site, _ = make_project()
    gate = {"name": "there", "run": "test -e made-here"}

    good = site.run("made", [project_task("touch made-here", gates=[gate], retries=0)])
    bad = site.run("gone", [project_task("rm made-here", gates=[gate], retries=0)])

    assert (good["status"], bad["status"]) == ("completed", "failed")


CODE = "echo two >> src/app.py"
UNSEEN = "gates do not check work without a worktree: worker_1 changed "


@pytest.mark.parametrize("begun", [True, *nightly(False)])
def test_code_that_was_changed_in_the_checkout_is_not_judged(
    make_project: MakeProject, begun: bool
) -> None:
    site, _ = make_project(begun)

    changed = site.run("code", [project_task(CODE)])
    removed = site.run("remove", [project_task("rm src/app.py"), project_task("true")])
    failing = site.run(
        "fail", [project_task("mkdir -p src; echo three > src/app.py")], unjudged="fail"
    )
    plain = [
        site.run("documents", [project_task("echo more >> README.md")], unjudged="fail"),
        site.run("read", [project_task("cat src/app.py")], unjudged="fail"),
        site.run(
            "test", [project_task("mkdir __pycache__; : > __pycache__/a.pyc")], unjudged="fail"
        ),
        site.run("asked", [project_task(CODE, gates=["grep -q two src/app.py"])], unjudged="fail"),
        site.run("off", [project_task(CODE)], gates="off"),
    ]

    why = f"{UNSEEN}src/app.py"
    assert (changed["status"], changed["reason"]) == ("completed", f"not judged: {why}")
    assert changed["not_judged"] == why
    assert f"Note: not judged: {why}" in summary_lines(changed, 200)
    final = (site.directory(changed["job_id"]) / "FINAL_RESULT.md").read_text()
    assert f"not judged: {why}" in final
    assert removed["not_judged"] == why
    assert (failing["status"], failing["reason"]) == ("failed", f"not judged: {why}")
    assert [(each["status"], each["reason"]) for each in plain] == [("completed", "")] * 5


def test_code_in_an_own_directory_is_not_judged_if_it_is_the_result(
    make_project: MakeProject, spawning: None, tmp_path: Path
) -> None:
    script = "echo x > app.py; echo words > notes.md"
    site, _ = make_project(begun=False)
    tasks = [edit(script), shell("echo y > b.py; echo z > c.py"), shell("echo words > d.md")]
    child = tmp_path / "child.json"
    child.write_text(json.dumps([edit("echo z > z.py")]))
    spawn = f"orchestrator spawn child --tasks {child} --wait"

    answer = site.run("make", tasks)
    below = site.run("delegate", [shell(spawn)])

    assert answer["not_judged"] == f"{UNSEEN}app.py; worker_2 changed b.py, c.py"
    assert below["not_judged"] == UNSEEN.replace("worker_1", "worker_1_1") + "z.py"


@pytest.mark.nightly
def test_an_answer_whose_reason_names_a_file_that_is_not_utf_8_has_its_rows(
    make_project: MakeProject,
) -> None:
    site, _ = make_project(begun=False)

    ended = site.run("make", [shell("echo x > $'bad\\377.py'")])
    answer = site.status(ended["job_id"])

    assert (answer["status"], answer["not_judged"]) == ("completed", f"{UNSEEN}bad?.py")
    assert [row["files_created"] for row in answer["results"]["tasks"]] == [["bad?.py"]]


def test_code_in_a_directory_of_its_own_beside_a_repository(make_project: MakeProject) -> None:
    site, _ = make_project()

    off = site.run("off", [edit("echo x > app.py")], git="off")
    artifact = site.run("measure", [shell("echo 1,2 > data.csv")])

    assert off["not_judged"] == f"{UNSEEN}app.py"
    assert artifact["reason"] == ""


@pytest.mark.slow
def test_a_killed_server_loses_no_change_in_the_checkout(
    make_server: MakeServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "host").begin(FILES)
    server = make_server(orchestrator={"project_root": str(project.path)})
    (project.path / "README.md").write_text("the user is at it\n")
    release = tmp_path / "release"
    job = server.submit(
        "survive",
        [
            project_task(
                f"echo two >> src/app.py; until [ -e {release} ]; do sleep .02; done; touch new"
            )
        ],
    )
    until(lambda: (project.path / "src/app.py").read_text() == "one\ntwo\n", "it has begun")

    server.kill()
    release.touch()
    until(lambda: (project.path / "new").exists(), "the worker continues without a server")
    server.start()

    (row,) = rows(server.wait(job))
    assert (row["status"], row["files_created"]) == ("success", ["new", "src/app.py"])


@pytest.mark.slow
@pytest.mark.needs("bwrap")
def test_in_the_sandbox_the_checkout_is_writable_and_the_rest_is_not(
    make_project: MakeProject, tmp_path: Path
) -> None:
    hidden = "host/secret"
    site, project = make_project(
        workers={"containment": "sandbox", "sandbox": {"hide": [str(tmp_path / hidden)]}}
    )
    (project.path / "secret").mkdir()
    (project.path / "secret" / "key").touch()
    beside = tmp_path / "beside"

    ended = site.run(
        "write", [project_task(f"touch inside; ls secret; (echo x > {beside}) || true")]
    )

    assert ended["status"] == "completed", ended
    assert (project.path / "inside").exists() and not beside.exists()
    log = site.log(ended["job_id"], "worker_1")
    assert "key" not in log
    own = site.run("own", [shell("touch $ORCHESTRATOR_PROJECT_ROOT/x || echo kept out")])
    assert "kept out" in site.log(own["job_id"], "worker_1")
