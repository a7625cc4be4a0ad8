"""Three levels of jobs: the history is linear, or has one merge for each level."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.text.command_name import COMMAND
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, shell, until
from tests.support.project import BOTH_CHANGE, Project, agents, edit

FILES = {"README.md": "hello\n", "app.py": "one\ntwo\nthree\nfour\nfive\n"}
MakeProject = Callable[[], tuple[InProcess, Project]]

pytestmark = pytest.mark.usefixtures("spawning")


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    def make() -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin(FILES)
        settings = {"project_root": str(project.path)}
        return make_site(orchestrator=settings, agents=agents(tmp_path)), project

    return make


def spawning(before: str, child: list[Answer], after: str) -> str:
    """Return a worker that changes a file, starts child jobs for the rest, and continues."""
    return (
        f"{before}\n"
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/children.json\" <<'END_{len(before)}'\n"
        f"{json.dumps(child)}\nEND_{len(before)}\n"
        'orchestrator spawn child --tasks "$ORCHESTRATOR_WORKER_DIR/children.json" --wait\n'
        f"{after}"
    )


def three_levels() -> list[Answer]:
    deepest = [
        edit("echo c > deep.txt; sed -i 's/three/3/' app.py", title="Deepest, first"),
        edit("echo d > deeper.txt", title="Deepest, second"),
    ]
    middle = spawning(
        "echo m > middle.txt", deepest, "echo M >> middle.txt; sed -i s/3/III/ app.py"
    )
    top = spawning("echo t > top.txt", [edit(middle, title="Middle")], "echo T >> top.txt")
    return [edit(top, title="Top"), edit("echo o > other.txt", title="Other")]


def check_content(project: Project, branch: str) -> None:
    added = ["deep.txt", "deeper.txt", "middle.txt", "other.txt", "top.txt"]
    assert project.files(branch) == sorted(["README.md", "app.py", *added])
    assert project.show(branch, "app.py") == "one\ntwo\nIII\nfour\nfive"
    assert project.show(branch, "top.txt") == "t\nT"


@pytest.mark.nightly
def test_three_levels_in_one_line(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", three_levels(), history="linear")

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{job}/result"
    check_content(project, branch)
    assert project.git("rev-list", "--merges", branch) == ""
    subjects = project.git("log", "--reverse", "--format=%an|%s", f"main..{branch}").split("\n")
    assert subjects == [
        "worker_1 (editor)|State of worker_1 when it started a child job",
        "worker_1_1 (editor)|State of worker_1_1 when it started a child job",
        "worker_1_1_1 (editor)|Deepest, first",
        "worker_1_1_2 (editor)|Deepest, second",
        "worker_1_1 (editor)|Middle",
        "worker_1 (editor)|Top",
        "worker_2 (editor)|Other",
    ]
    trailers = project.git("log", "--format=%(trailers:key=Orchestrator-Worker,valueonly)", branch)
    assert [line for line in trailers.split("\n") if line] == [
        "worker_2",
        "worker_1",
        "worker_1_1",
        "worker_1_1_2",
        "worker_1_1_1",
        "worker_1_1",
        "worker_1",
    ]
    assert project.worktrees() == []


def test_three_levels_with_one_merge_for_each(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", three_levels())

    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{ended['job_id']}/result"
    check_content(project, branch)
    merges = project.git("log", "--merges", "--format=%s", f"main..{branch}").split("\n")
    assert sorted(merges) == sorted(
        [
            "Merge worker_2: task_2",
            "Merge a child job of worker_1",
            "Merge a child job of worker_1_1",
            "Merge worker_1_1_2: task_2",
        ]
    )
    trailers = "--format=%(trailers:key=Orchestrator-Worker,valueonly,separator=%x2C)"
    workers = project.git("log", "--merges", trailers, f"main..{branch}").split("\n")
    assert sorted(workers) == ["worker_1", "worker_1_1", "worker_1_1_2", "worker_2"]


def test_a_conflict_with_the_parents_changes_is_reported_to_the_parent(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    children = json.dumps([edit("until [ -e ../go ]; do sleep 0.02; done; echo c > README.md")])
    # The worker resolves the conflict as its prompt describes, with git, in its own worktree.
    script = (
        f"cd \"$ORCHESTRATOR_WORKER_DIR\"; cat > c.json <<'END'\n{children}\nEND\n"
        "orchestrator spawn child --tasks c.json --wait > output & "
        "go=../../depth_1/worker_1_1; until [ -d $go ]; do sleep 0.02; done\n"
        "echo p > worktree/README.md; touch $go/go; wait $! && code=0 || code=$?\n"
        "cd worktree; cat ../output; echo $code > code.txt\n"
        "theirs=$(grep -o 'orchestrator/[^ ]*/result_[0-9a-f]*' ../output | head -1)\n"
        'git add -A; git commit -qm mine; git merge -q "$theirs" || true\n'
        "printf 'p\\nc\\n' > README.md; git commit -qam settled"
    )

    ended = site.run("x", [edit(script)])

    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    [row] = ended["results"]["tasks"]
    output = row["output"]
    assert project.show(f"orchestrator/{job}/result", "code.txt") == "6", "spawn --wait"
    assert "both changed README.md" in output
    assert "git merge -s ours orchestrator/" in output
    [child] = row["child_job_ids"]
    child_status = site.status(child)
    # The child job is complete: only its parent worker lacks its changes.
    assert (child_status["status"], child_status["not_in_parent"]) == ("completed", ["README.md"])
    words = child_status["results"]["changes"]
    assert child_status["reason"] in output
    assert any("Not merged into the files of worker_1" in each for each in words)
    handed = site.get(f"/jobs/{child}/conflicts")["handed"]
    assert (handed["worker_id"], handed["paths"]) == ("worker_1", ["README.md"])
    assert project.show(handed["ours"], "README.md") == "p"
    assert project.show(handed["theirs"], "README.md") == "c"
    assert project.show(f"orchestrator/{job}/result", "README.md") == "p\nc"
    assert site.get(f"/jobs/{job}/conflicts")["conflicts"] == []


@pytest.mark.nightly
def test_changes_of_a_child_job_alone_are_reported_for_the_parent_job(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    child = json.dumps([edit("echo c > child.txt")])
    command = f"echo '{child}' > c.json; orchestrator spawn child --tasks c.json --wait"

    ended = site.run("x", [shell(f"{command} > output && echo $? && cat output")])

    job = ended["job_id"]
    [row] = ended["results"]["tasks"]
    assert (ended["status"], row["output"][:2]) == ("completed", "0\n"), ended
    assert "The changes are not in the directory of worker_1" in row["output"]
    assert project.show(f"orchestrator/{job}/result", "child.txt") == "c"
    assert f"To see the result: {COMMAND} diff {job}." in ended["results"]["changes"]


@pytest.mark.nightly
def test_a_version_that_a_child_job_replaces_is_saved_and_named(make_project: MakeProject) -> None:
    site, project = make_project()
    script = BOTH_CHANGE

    ended = site.run("x", [edit(script)], merge_strategy="theirs")

    assert ended["status"] == "completed", ended
    [row] = ended["results"]["tasks"]
    [line] = [each for each in row["output"].splitlines() if "Replaced: " in each]
    words, _, blob = line.partition(" (to show the replaced version: git show ")
    assert words == "Replaced: README.md, line 1 (written by worker_1); the child job's version won"
    assert project.git("show", blob.partition(")")[0]) == "p"
    job, [child] = ended["job_id"], row["child_job_ids"]
    ref = f"refs/orchestrator/{job}/child/worker_1/{child}/ours"
    assert project.show(ref, "README.md") == "p"
    assert project.show(f"orchestrator/{job}/result", "README.md") == "c"


@pytest.mark.nightly
def test_unmerged_changes_of_a_child_job_make_its_parent_unmerged_in_part(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    child = [edit("echo theirs > README.md")]
    late = "\necho mine > README.md; echo t > top.txt"
    waiting = spawning("(sleep 0; true)", child, late).replace(" --wait", "")

    ended = site.run("x", [edit(waiting, title="Top")])

    job = ended["job_id"]
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    branch = f"orchestrator/{job}/result"
    assert project.show(branch, "README.md") == "mine"
    [below] = ended["results"]["tasks"][0]["child_job_ids"]
    also = (
        f"also changed by worker_1_1 of child job {below}; all changes of this child job are "
        "missing"
    )
    assert f"in part worker_1 (conflict in README.md, {also})" in report
    assert also in ended["reason"]
    [outside] = ended["made_not_in_result"]
    assert outside["branch"] == f"orchestrator/{job}/result_{below}"
    assert project.show(outside["branch"], "README.md") == "theirs"
    assert "Not merged: worker_1" not in report


def test_a_task_gets_the_files_of_a_child_job_that_its_dependency_left_behind(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    release = tmp_path / "release"
    child = [edit(f"until [ -e {release} ]; do sleep 0.02; done; echo c > child.txt")]
    leave = spawning("echo t > top.txt", child, "exit 0").replace(" --wait", "")
    dependent = edit("cp child.txt copy.txt", depends_on=["top"])
    job = site.submit("x", [edit(leave, id="top"), dependent])
    until(lambda: _reason(site, job).startswith("process exited"), "the parent has ended")

    release.touch()

    assert site.wait(job)["status"] == "completed"
    made = ["child.txt", "copy.txt", "top.txt"]
    branch = f"orchestrator/{job}/result"
    assert project.files(branch) == sorted([*FILES, *made])
    # Files that the server adds to the worktree of an ended attempt would get such a commit later.
    assert "Uncommitted files" not in project.git("log", "--format=%s", branch)


def test_a_retry_has_the_files_of_a_child_job_that_ended_before_it_started(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    release = tmp_path / "release"
    child = [edit(f"until [ -e {release} ]; do sleep 0.02; done; echo c > child.txt")]
    end = f"[ -e {release} ] || {{ touch {release}; exit 3; }}; cp child.txt copy.txt"
    parent = spawning("echo t > top.txt", child, end).replace(" --wait", "")

    ended = site.run("x", [edit(parent, retries=1)], retry_backoff_seconds=3)

    assert ended["status"] == "completed", ended["reason"]
    made = ["child.txt", "copy.txt", "top.txt"]
    result = f"orchestrator/{ended['job_id']}/result"
    assert project.files(result) == sorted([*FILES, *made])


def _reason(site: InProcess, job: str) -> str:
    return str(site.get(f"/jobs/{job}")["workers"][0]["reason"])
