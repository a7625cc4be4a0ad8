"""Workers that change a git repository: worktrees, commits, merging, the user's checkout."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.git import GitRepository
from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing, MakeSite
from tests.integration.site import KEY, Answer, InProcess, Site, shell, until
from tests.support.examples import nightly
from tests.support.project import BOTH_CHANGE, Project, agents, edit

FILES = {"README.md": "hello\n", "src/app.py": "one\ntwo\nthree\n", ".gitignore": "*.tmp\n"}
MakeProject = Callable[..., tuple[InProcess, Project]]


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    """Create a project, and a job manager whose untracked folder is in the project."""

    def make(name: str = "project", begun: bool = True, **more: Any) -> tuple[InProcess, Project]:
        project = Project(tmp_path / name)
        if begun:
            project.begin(FILES)
        settings = {"workspace_root": str(project.path / "product" / "workspace")}
        section = {"project_root": str(project.path), **settings}
        site = make_site(orchestrator=section, agents=agents(tmp_path), **more)
        site.workspace = project.path / "product" / "workspace"
        return site, project

    return make


def rows(ended: Answer) -> list[Answer]:
    found: list[Answer] = ended["results"]["tasks"]
    return found


def record(site: InProcess, job_id: str) -> Answer:
    path = site.directory(job_id) / "reports" / f"merge_{job_id}.json"
    found: Answer = json.loads(path.read_text())
    return found


def final(site: InProcess, job_id: str) -> str:
    return (site.directory(job_id) / "FINAL_RESULT.md").read_text()


def test_workers_change_the_project_in_parallel_and_one_branch_has_all_changes(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    base = project.git("rev-parse", "HEAD")

    ended = site.run(
        "change things",
        [
            edit("sed -i 's/one/ONE/' src/app.py", title="Shout the first word", id="a"),
            edit("echo new > 'docs page.md'; rm README.md; touch x.tmp", id="b"),
        ],
    )

    assert ended["status"] == "completed", ended
    job = ended["job_id"]
    assert [row["files_created"] for row in rows(ended)] == [["src/app.py"], ["docs page.md"]]
    branch = f"orchestrator/{job}/result"
    assert project.show(branch, "src/app.py") == "ONE\ntwo\nthree"
    assert project.files(branch) == [".gitignore", "docs page.md", "src/app.py"]
    assert project.git("log", "-1", "--format=%s|%an|%b", f"orchestrator/{job}/worker_1") == (
        "Shout the first word|worker_1 (editor)|"
        f"Orchestrator-Job: {job}\nOrchestrator-Worker: worker_1\n"
        "Orchestrator-Task: a\nOrchestrator-Agent: editor"
    )
    assert project.git("merge-base", base, branch) == base
    assert record(site, job)["merged"] == ["worker_1", "worker_2"]
    assert f"→ branch `{branch}` (commit" in final(site, job)
    assert project.worktrees() == []


def test_what_the_user_changes_between_two_runs_is_not_the_jobs(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    flag = tmp_path / "flag"
    tasks = [edit(f"echo a > a.txt; git tag -f t1; test -e {flag}", retries=0), edit("echo b > b")]
    ended = site.run("x", tasks)
    job = ended["job_id"]

    def named(answer: Answer) -> list[tuple[str, str, str]]:
        return [(e["kind"], e["name"], e["worker_id"]) for e in answer["repository_changes"]]

    assert (ended["status"], named(ended)) == ("partial", [("tag", "t1", "worker_1")])
    flag.touch()
    project.git("config", "own.name", "x")
    project.git("branch", "mine")
    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    again = site.wait(job)
    assert (again["status"], named(again)) == ("completed", [("tag", "t1", "worker_1")])


def test_everything_of_the_users_stays_byte_for_byte(make_project: MakeProject) -> None:
    site, project = make_project("a project with spaces")
    project.write("README.md", "stashed\n")
    project.git("stash", "-q")
    project.write("src/app.py", "work in progress\n")
    project.write("staged.txt", "staged\n")
    project.git("add", "staged.txt")
    project.write("untracked.txt", "mine\n")
    project.git("config", "branch.autoSetupMerge", "always")
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        hook = project.path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{project.path}/hook-ran'\n")
        hook.chmod(0o755)
    before = project.snapshot()

    ended = site.run("change things", [edit("echo x > src/app.py"), edit("echo y > y.txt")])

    assert ended["status"] == "completed", ended
    assert project.snapshot() == before
    changed = project.git(
        "status", "--porcelain", "--", ".", ":!product/bin", ":!product/config.yaml"
    )
    assert "workspace" not in changed
    assert record(site, ended["job_id"])["leaks"] == []
    # Uncommitted changes of the user are not part of the job.
    assert project.show(f"orchestrator/{ended['job_id']}/result", "src/app.py") == "x"


def test_a_change_of_the_users_checkout_is_reported(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [edit(f"echo leaked > '{project.path}/README.md'; git branch mine")])

    leaks = record(site, ended["job_id"])["leaks"]
    at = project.git("rev-parse", "mine")[:12]
    assert leaks == ["file README.md changed", f"branch mine added at {at} by worker_1"]
    assert "Your checkout changed while the job ran" in final(site, ended["job_id"])


@pytest.mark.parametrize(
    "breaks",
    [
        "echo '[core' > {git}/config",
        *nightly("git config core.bare true", "echo junk > {git}/HEAD"),
    ],
)
def test_a_worker_that_breaks_the_repository_costs_the_others_nothing(
    make_project: MakeProject, breaks: str
) -> None:
    site, project = make_project()
    git = project.path / ".git"
    before = [(git / each).read_bytes() for each in ("config", "HEAD")]
    broke = site.folder / "broke"
    script = f"""
    until [ $(ls '{git}/worktrees' | wc -l) = 2 ]; do sleep 0.02; done
    {breaks.format(git="'" + str(git) + "'")}
    echo a > a.txt; touch '{broke}'"""

    ended = site.run(
        "x",
        [
            edit(script),
            edit(f"until [ -e '{broke}' ]; do sleep 0.02; done; echo b > b.txt", id="b"),
            edit("echo c > c.txt", depends_on=["b"]),
        ],
    )

    assert ended["status"] == "completed", ended
    assert [(git / each).read_bytes() for each in ("config", "HEAD")] == before
    restored = record(site, ended["job_id"])["put_back"]
    assert len(restored) == 1
    assert restored[0].endswith("(workers with a worktree at that time: worker_1, worker_2)")
    assert restored[0] in final(site, ended["job_id"]).replace("\\", "")


def test_a_lock_that_a_worker_adds_is_reported_and_a_removed_one_is_not(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    git = project.path / ".git"
    (git / "HEAD.lock").touch()
    ended = site.run(
        "x", [edit(f"rm '{git}/HEAD.lock'; touch '{git}/shallow.lock'; echo x > x.txt")]
    )

    assert ended["status"] == "completed", ended
    assert record(site, ended["job_id"])["leaks"] == ["git shallow.lock added"]


def test_a_pipe_in_place_of_the_record_of_the_checkout_delays_nothing(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    script = 'cd "$ORCHESTRATOR_WORKER_DIR/../.."; rm checkout.json; mkfifo checkout.json'

    ended = site.run("x", [edit(script)])

    assert ended["status"] == "completed", ended
    leaks = record(site, ended["job_id"])["leaks"]
    assert any(each.startswith("branch main added at ") for each in leaks)


def test_conflicts_are_listed_by_file_and_unmerged_branches_stay(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [
        edit("sed -i 's/two/2/' src/app.py"),
        edit("sed -i 's/two/zwei/' src/app.py; echo more > more.txt"),
        edit("echo third > third.txt"),
    ]

    ended = site.run("change the same line", tasks)

    job = ended["job_id"]
    found = site.get(f"/jobs/{job}/conflicts")
    [conflict] = found["conflicts"]
    assert (conflict["worker_id"], conflict["path"]) == ("worker_2", "src/app.py")
    assert project.git("cat-file", "-p", conflict["ours"]) == "one\n2\nthree"
    assert project.git("cat-file", "-p", conflict["theirs"]) == "one\nzwei\nthree"
    assert found["merged"] == ["worker_1", "worker_3"]
    assert found["left_out"] == {"worker_2": f"orchestrator/{job}/worker_2"}
    assert project.files(f"orchestrator/{job}/worker_2").count("more.txt") == 1
    assert "more.txt" not in project.files(f"orchestrator/{job}/result")
    assert "src/app.py" in final(site, job)


@pytest.mark.parametrize(
    "hide",
    [
        'echo "*" >> "$(git rev-parse --git-common-dir)/info/exclude"',
        *nightly('echo "*" > ../all; git config core.excludesFile "$PWD/../all"'),
    ],
)
def test_what_a_worker_has_git_ignore_hides_no_file_of_another(
    make_project: MakeProject, hide: str
) -> None:
    site, project = make_project()
    (project.path / ".git" / "info" / "exclude").write_text("*.local\n")
    tasks = [
        edit(f"{hide}; echo 1 > first.txt; echo x > x.local", id="a"),
        edit("mkdir new; echo 2 > new/second.txt; echo x > x.tmp", depends_on=["a"]),
    ]

    ended = site.run("x", tasks)

    branch = f"orchestrator/{ended['job_id']}/result"
    added = {"first.txt", "new/second.txt"}
    assert set(project.files(branch)) == {*FILES, *added}
    assert [row["files_created"] for row in rows(ended)] == [["first.txt"], ["new/second.txt"]]
    assert record(site, ended["job_id"])["leaks"]


def test_a_rule_that_a_worker_adds_to_the_users_ignore_file_hides_no_file_of_another(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    rules = tmp_path / "ignored by the user"
    rules.write_text("*.local\n")
    project.git("config", "core.excludesFile", str(rules))
    tasks = [
        edit(f"echo '*' >> '{rules}'; echo 1 > first.txt; echo x > x.local", id="a"),
        edit("echo 2 > second.txt; echo x > x.local", depends_on=["a"]),
    ]

    ended = site.run("x", tasks)

    branch = f"orchestrator/{ended['job_id']}/result"
    assert set(project.files(branch)) == {*FILES, "first.txt", "second.txt"}


def test_a_removed_file_is_a_change_of_the_worker_that_removed_it(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    tasks = [edit("git rm -q src/app.py README.md"), edit("echo new >> src/app.py")]

    ended = site.run("x", tasks)

    job = ended["job_id"]
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "not judged: no gate tested the changes (no tests found)" in ended["reason"]
    assert "README.md echo done | editor | done | 2 |" in final
    assert "| README.md | +0 −1 | [worker_1](depth_0/worker_1/) |" in final
    who = "[worker_1](depth_0/worker_1/); not merged: [worker_2](depth_0/worker_2/)"
    assert f"| src/app.py | +0 −3 | {who} |" in final
    [row, _] = ended["results"]["tasks"]
    assert row["files_created"] == []
    # The worker that removed the file is merged last.
    again = site.run("y", [tasks[1], tasks[0]])
    [left] = again["made_not_in_result"]
    assert (left["worker_id"], left["files"]) == ("worker_2", 2)


def test_with_theirs_the_later_worker_wins_also_over_a_deletion(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [
        edit("sed -i 's/two/2/' src/app.py; git rm -q README.md"),
        edit("sed -i 's/two/zwei/' src/app.py; echo kept > README.md"),
    ]

    ended = site.run("change the same line", tasks, merge_strategy="theirs")

    branch = f"orchestrator/{ended['job_id']}/result"
    assert project.show(branch, "src/app.py") == "one\nzwei\nthree"
    assert project.show(branch, "README.md") == "kept"
    assert [each["resolved"] for each in record(site, ended["job_id"])["conflicts"]] == [True] * 2


def test_with_manual_nothing_is_merged_and_conflicts_are_listed(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [edit("echo a > src/app.py"), edit("echo b > src/app.py")]

    ended = site.run("x", tasks, merge_strategy="manual")

    found = record(site, ended["job_id"])
    assert [each["path"] for each in found["conflicts"]] == ["src/app.py"]
    assert (found["branch"], sorted(found["left_out"])) == ("", ["worker_1", "worker_2"])
    assert not project.git("branch", "--list", f"orchestrator/{ended['job_id']}/result")


def test_a_task_starts_from_what_its_dependencies_changed(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [
        edit("echo a > a.txt", id="a"),
        edit("echo b > b.txt", id="b"),
        edit("cat a.txt b.txt > c.txt", id="c", depends_on=["a", "b"]),
    ]

    ended = site.run("x", tasks)

    assert ended["status"] == "completed", ended
    assert rows(ended)[2]["files_created"] == ["c.txt"]
    assert project.show(f"orchestrator/{ended['job_id']}/result", "c.txt") == "a\nb"


def test_a_task_starts_from_the_lines_that_two_dependencies_added(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    tasks = [
        edit("echo a >> README.md", id="a"),
        edit("echo b >> README.md", id="b"),
        edit("cp README.md copy.md", id="c", depends_on=["a", "b"]),
    ]

    ended = site.run("x", tasks)

    assert ended["status"] == "completed", ended
    copy = project.show(f"orchestrator/{ended['job_id']}/result", "copy.md").splitlines()
    assert sorted(copy[-2:]) == ["a", "b"]


def test_the_reason_names_a_dependency_that_conflicts(make_project: MakeProject) -> None:
    site, _ = make_project()
    look = 'cat "$ORCHESTRATOR_WORKER_DIR/dependencies.json"'
    both = ["a", "b"]
    tasks = [
        edit("echo a > README.md", id="a"),
        edit("echo b > README.md", id="b"),
        edit(f"{look}; echo c > c.txt", id="c", depends_on=both),
        edit("echo d > d.txt; exit 3", id="d", depends_on=both, retries=0),
        edit("echo e > e.txt", id="e", depends_on=["b"]),
    ]

    ended = site.run("x", tasks, resolve="off")

    _, _, third, fourth, fifth = rows(ended)
    lacks = "started without the changes of conflicting dependencies: worker_2"
    assert lacks in third["reason"] and lacks in fourth["reason"]
    assert "started without" not in fifth["reason"]
    found = json.loads(third["output"].partition("\n}")[0] + "\n}")
    assert [found[each]["conflicts"] for each in both] == [False, True]


def test_a_further_attempt_continues_where_the_previous_one_stopped(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    script = "[ -e half.txt ] || { echo half > half.txt; touch .git.lock; exit 1; }; echo x > x.txt"

    ended = site.run("x", [edit(script, retries=1)])

    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{ended['job_id']}/result"
    assert {"half.txt", "x.txt"} <= set(project.files(branch))


def test_what_a_failed_worker_did_is_kept_on_its_branch_and_not_merged(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    ended = site.run("x", [edit("echo wip > wip.txt; exit 3"), edit("echo y > y.txt")])

    job = ended["job_id"]
    assert ended["status"] == "partial"
    assert "wip.txt" in project.files(f"orchestrator/{job}/worker_1")
    assert "wip.txt" not in project.files(f"orchestrator/{job}/result")
    assert project.worktrees() == []


def test_an_agents_own_commits_and_branches_come_back_to_its_branch(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    script = (
        "echo a > a.txt; git add a.txt; git commit -qm 'Its own'; git switch -qc elsewhere;"
        "echo b > b.txt; touch .git/x 2>/dev/null || true; echo report > output.md"
    )

    ended = site.run("x", [edit(script)])

    branch = f"orchestrator/{ended['job_id']}/worker_1"
    assert rows(ended)[0]["output"] == "report\n"
    assert rows(ended)[0]["files_created"] == ["a.txt", "b.txt"]
    assert project.git("log", "-1", "--skip=1", "--format=%s|%an", branch) == (
        "Its own|worker_1 (editor)"
    )


@pytest.mark.parametrize("name", ["result.json", *nightly("output.md")])
def test_a_promised_file_with_a_reports_name_is_in_the_result(
    make_project: MakeProject, name: str
) -> None:
    site, project = make_project()

    ended = site.run("x", [edit(f"echo words > {name}", writes=[name])])

    assert ended["status"] == "completed", ended
    assert name in project.files(f"orchestrator/{ended['job_id']}/result")


def test_shell_survey_and_switched_off_tasks_have_plain_directories(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    off = "test ! -e .git; test -e task.json; echo x > x.txt"

    ended = site.run("x", [shell("ls -a"), edit(off, git="off")])
    config = site.get(f"/jobs/{ended['job_id']}")["config"]
    again = site.run("x", [edit(off)], git="off")

    assert (ended["status"], again["status"]) == ("completed", "completed"), (ended, again)
    assert config["base"] == ""
    assert rows(again)[0]["files_created"] == ["x.txt"]
    assert project.git("branch", "--list", "orchestrator/*") == ""
    assert not (project.path / ".git" / "worktrees").exists()


def test_what_a_command_changes_is_merged_where_that_is_asked_for(
    make_project: MakeProject,
) -> None:
    site, project = make_project()

    one = site.run("x", [shell("echo a > a.txt", git="on"), shell("echo b > b.txt")])
    rest = site.run("x", [shell("echo c > c.txt"), shell("echo d > d.txt", git="auto")], git="on")

    assert (one["status"], rest["status"]) == ("completed", "completed"), (one, rest)
    merged = [f"orchestrator/{job['job_id']}/result" for job in (one, rest)]
    added = [project.git("diff", "--name-only", "HEAD", branch) for branch in merged]
    assert added == ["a.txt", "c.txt"]


def test_no_command_has_a_worktree_if_its_job_has_git_off(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [shell("test ! -e .git", git="on")], git="off")

    assert ended["status"] == "completed", ended
    assert project.git("branch", "--list", "orchestrator/*") == ""


def test_a_commands_child_job_starts_from_what_the_command_has_changed(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    spawn = "orchestrator spawn --wait --command 'cat a.txt; echo b > b.txt'"

    ended = site.run("x", [shell(f"echo a > a.txt; {spawn}")], git="on")

    assert ended["status"] == "completed", ended
    merged = f"orchestrator/{ended['job_id']}/result"
    assert project.git("diff", "--name-only", "HEAD", merged).split() == ["a.txt", "b.txt"]


def test_without_a_commit_workers_have_plain_directories_with_a_note(
    make_project: MakeProject,
) -> None:
    site, project = make_project(begun=False)
    project.git("init", "-q")

    ended = site.run("x", [edit("echo x > x.txt")])

    assert ended["status"] == "completed", ended
    assert rows(ended)[0]["files_created"] == ["x.txt"]
    assert "the repository has no commit" in final(site, ended["job_id"])


def test_a_detached_checkout_is_a_base_like_any(make_project: MakeProject) -> None:
    site, project = make_project()
    project.git("checkout", "-q", "--detach")
    project.commit({"later.txt": "later\n"}, "later")
    before = project.snapshot()

    ended = site.run("x", [edit("test -e later.txt; echo x > x.txt")])

    assert ended["status"] == "completed", ended
    assert project.snapshot() == before


def test_a_part_of_a_repository_is_worked_on_in_its_place(
    make_site: MakeSite, tmp_path: Path
) -> None:
    project = Project(tmp_path / "whole").begin({"part/a.txt": "a\n", "other.txt": "o\n"})
    settings = {"project_root": str(project.path / "part")}
    site = make_site(orchestrator=settings, agents=agents(tmp_path))

    script = "test -e a.txt; test -e ../other.txt; echo b > b.txt; echo c > ../c.txt"
    ended = site.run("x", [edit(script)])

    assert ended["status"] == "completed", ended
    assert rows(ended)[0]["files_created"] == ["c.txt", "part/b.txt"]
    report = final(site, ended["job_id"])
    for path in ("c.txt", "part/b.txt"):
        assert f"\n| {path} | +1 −0 | [worker_1](depth_0/worker_1/) |\n" in report
    assert "not merged" not in report


def test_submodules_are_there_without_their_origin_and_land_with_the_result(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    other = Project(tmp_path / "other").begin({"o.txt": "o\n"})
    project.git("submodule", "--quiet", "add", str(other.path), "sub")
    project.git("commit", "-qm", "with a submodule")
    shutil.rmtree(other.path)
    before = project.snapshot()

    script = "grep o sub/o.txt; echo x > sub/x.txt"
    ended = site.run("x", [edit(script)], gates=["test -e sub/x.txt"])

    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    assert project.snapshot() == before
    project.git("merge", "-q", f"orchestrator/{job}/result")
    project.git("submodule", "--quiet", "update", "--no-fetch")
    assert (project.path / "sub" / "x.txt").read_text() == "x\n"


@pytest.mark.usefixtures("spawning")
def test_a_child_job_starts_from_its_workers_state_and_comes_back(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    # The child job's task has the same agent, so its prompt is also a script.
    children = json.dumps([edit("cat uncommitted.txt > child.txt; sed -i 's/one/1/' src/app.py")])
    script = (
        "echo early > uncommitted.txt; sed -i 's/three/3/' src/app.py\n"
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/children.json\" <<'END'\n{children}\nEND\n"
        'orchestrator spawn child --tasks "$ORCHESTRATOR_WORKER_DIR/children.json" --wait\n'
        "test -e child.txt; grep -x 1 src/app.py; echo late > late.txt"
    )

    ended = site.run("x", [edit(script), edit("echo other > other.txt")])

    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{ended['job_id']}/result"
    assert rows(ended)[0]["files_created"] == ["late.txt", "src/app.py", "uncommitted.txt"]
    assert rows(ended)[0]["child_results"][0]["files_created"] == ["child.txt", "src/app.py"]
    assert project.show(branch, "child.txt") == "early"
    assert project.show(branch, "src/app.py") == "1\ntwo\n3"
    assert {"late.txt", "other.txt", "uncommitted.txt"} <= set(project.files(branch))
    assert "child.txt" in project.files(f"orchestrator/{ended['job_id']}/worker_1")
    assert project.worktrees() == []


@pytest.mark.usefixtures("spawning")
def test_a_child_job_that_conflicts_with_its_worker_is_reported(make_project: MakeProject) -> None:
    site, project = make_project()
    script = BOTH_CHANGE + "; grep -x p worktree/README.md"

    ended = site.run("x", [edit(script)])

    assert ended["status"] == "partial", ended
    [child] = rows(ended)[0]["child_job_ids"]
    assert f"README.md, also changed by worker_1_1 of child job {child}" in ended["reason"]
    found = site.get(f"/jobs/{child}/conflicts")["conflicts"]
    assert [(each["worker_id"], each["path"]) for each in found] == [("worker_1", "README.md")]
    branch = f"orchestrator/{ended['job_id']}/result"
    assert project.show(branch, "README.md") == "p"
    [conflict] = record(site, ended["job_id"])["conflicts"]
    assert conflict["path"] == "README.md"
    assert (conflict["child_job_id"], conflict["child_workers"]) == (child, ["worker_1_1"])
    assert project.show(conflict["branch"], "README.md") == "c"


def test_a_cancel_while_a_worktree_is_created_starts_nothing(make_project: MakeProject) -> None:
    site, project = make_project()
    begun, release, ran = (project.path.parent / name for name in ("begun", "release", "ran"))
    wait = f"touch '{begun}'; until [ -e '{release}' ]; do sleep 0.02; done; cat"
    project.git("config", "filter.slow.smudge", f'sh -c "{wait}"')
    project.commit({"slow.txt": "slow\n", ".gitattributes": "slow.txt filter=slow\n"})
    job = site.submit("x", [edit(f"touch '{ran}'")])
    until(begun.exists, "the worktree is being made")
    # Other jobs are not delayed.
    assert site.run("y", [shell("true")])["status"] == "completed"

    assert site.call("POST", f"/jobs/{job}/cancel", {}).status_code == 202

    release.touch()
    assert site.wait(job)["status"] == "cancelled"
    assert not ran.exists()
    assert project.worktrees() == []


def test_a_retried_job_keeps_its_branches(make_project: MakeProject) -> None:
    site, project = make_project()
    flag = project.path.parent / "flag"
    ended = site.run("x", [edit("echo a > a.txt"), edit(f"echo b > b.txt; test -e '{flag}'")])
    assert ended["status"] == "partial"
    flag.touch()

    assert site.call("POST", f"/jobs/{ended['job_id']}/retry", {}).status_code == 202

    again = site.wait(ended["job_id"])
    assert again["status"] == "completed", again
    assert {"a.txt", "b.txt"} <= set(project.files(f"orchestrator/{ended['job_id']}/result"))


# The command line


def command(site: Site, *arguments: str) -> int:
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    environ = {"PATH": os.environ["PATH"], **server}
    return execute(arguments, CliContext(folder=site.folder, environ=environ))


def test_a_result_is_shown_landed_and_undone(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    before = project.git("rev-parse", "main")
    capfd.readouterr()

    assert command(site, "diff", job) == 0
    assert "+++ b/new.txt" in capfd.readouterr().out
    assert command(site, "land", job) == 1
    assert f": bin/orchestrator land {job} --yes\n" in capfd.readouterr().err
    assert not (project.path / "new.txt").exists()
    assert command(site, "land", job, "--yes") == 0
    assert (project.path / "new.txt").read_text() == "new\n"
    capfd.readouterr()
    assert command(site, "status", job) == 0
    shown = capfd.readouterr().out
    assert (
        "\nLanded: main, " in shown
        and f", commit {project.git('rev-parse', 'main')[:12]}\n" in shown
    )
    assert command(site, "undo", "--", job) == 1
    assert f": bin/orchestrator undo --yes -- {job}\n" in capfd.readouterr().err
    assert command(site, "undo", job, "--yes") == 0
    assert project.git("rev-parse", "main") == before
    capfd.readouterr()
    assert command(site, "status", job) == 0 and "Landed" not in capfd.readouterr().out
    assert command(site, "diff", "no-such-job") == 3


def test_the_diff_of_a_running_job_is_an_error_without_a_result(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    release = project.path.parent / "release"
    job = site.submit("x", [edit(f"until [ -e '{release}' ]; do sleep 0.02; done")])
    until(lambda: site.status_file(job)["status"] == "running", "the job runs")

    try:
        assert command(site, "diff", job) == 1
        error = capfd.readouterr().err
        assert f"job {job} is running, and has no result yet" in error
        assert f"bin/orchestrator diff {job} WORKER" in error
    finally:
        release.touch()
        site.wait(job)


def test_land_onto_another_branch_than_the_base_names_both(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    project.git("switch", "-q", "-c", "release")
    capfd.readouterr()

    assert command(site, "land", job, "--yes") == 1
    error = capfd.readouterr().err
    assert (
        "started from branch main, but the current branch is release; nothing was changed" in error
    )
    assert f": bin/orchestrator land {job} --yes --onto release\n" in error
    assert command(site, "land", job, "--yes", "--onto", "main") == 1
    assert f"git -C {project.path} switch main" in capfd.readouterr().err
    assert not (project.path / "new.txt").exists()

    assert command(site, "land", job, "--yes", "--onto", "release") == 0
    assert project.show("release", "new.txt") == "new"
    assert project.files("main") == sorted(FILES)


# Crashes


#: Every worker reaches each failpoint, so the server dies there repeatedly.
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(each, marks=[] if number % 4 == 2 else pytest.mark.nightly)
        for number, each in enumerate(crash_points.OF_WORKTREES)
    ],
)
def test_a_crash_costs_no_change_and_leaves_no_worktree(crashing: MakeCrashing, point: str) -> None:
    site, project = crashing(point, files=FILES)
    before = project.snapshot()
    job = site.submit_once([edit("echo a > a.txt"), edit("echo b > b.txt")])
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 40)
    site.crashes = ""

    answer = site.wait_through(job)

    assert answer["status"] == "completed", (answer, site.tail())
    assert {"a.txt", "b.txt"} <= set(project.files(f"orchestrator/{job}/result"))
    assert project.worktrees() == []
    assert project.snapshot() == before


def test_clean_removes_a_worktree_that_a_crash_left(
    crashing: MakeCrashing, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = crashing(files=FILES)
    job = site.submit_once([edit("echo a > a.txt; exit 1", retries=0)])
    assert site.wait_through(job)["status"] == "failed"
    site.end()
    directory = site.directory(job) / "depth_0" / "worker_1" / "worktree"
    repository = GitRepository(project.path, site.workspace, site.folder)
    branch = f"refs/heads/orchestrator/{job}/worker_1"
    repository.open_worktree(str(directory), branch, repository.base().commit)
    assert project.worktrees() == [str(directory)]
    # Ages are rounded to seconds.
    ended = time.time()
    until(lambda: time.time() > ended + 1, "it ended a second ago")
    capfd.readouterr()

    assert command(site, "clean", "--older-than", "0s") == 1
    assert ": bin/orchestrator clean --older-than 0s --yes\n" in capfd.readouterr().err
    assert command(site, "clean", "--older-than", "0s", "--yes") == 0

    assert project.worktrees() == []
    assert project.git("for-each-ref", "refs/orchestrator", "refs/heads/orchestrator") == ""
    assert not site.directory(job).exists()
    # The failed worker's changes are in no result.
    ref = f"refs/orchestrator-kept/{job}/worker_1"
    assert project.show(ref, "a.txt") == "a"
    printed = capfd.readouterr()
    assert printed.out == f"{job}\n" and ref in printed.err
    assert f"bin/orchestrator discard {job}" in printed.err
    [line] = (site.folder / "logs" / "audit.jsonl").read_text().splitlines()[-1:]
    noted = json.loads(line)
    assert (noted["method"], noted["target"]) == ("DELETE", f"/api/v1/jobs/{job}")
