"""Changes of a child job that its parent worker got, but that are missing at the parent's end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.engine.merge.test_losses import jobs_of, merge, spawning
from tests.integration.site import InProcess
from tests.support.project import Project, agents, edit

MakeProject = Callable[[], tuple[InProcess, Project]]

pytestmark = [pytest.mark.usefixtures("spawning"), pytest.mark.slow]

#: Without the file in which ``spawning`` notes the exit code.
DISCARD = "git reset -q --hard; git clean -qfd\n"
CHILD = edit("printf 'one\\ntwo\\n' > child.txt; echo 1 >> shared.txt")


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    def make() -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin({"shared.txt": "zero\n"})
        settings = {"project_root": str(project.path)}
        return make_site(orchestrator=settings, agents=agents(tmp_path)), project

    return make


def test_a_child_jobs_work_that_its_parent_discards_is_left_out(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [spawning([CHILD], 1, after=f"{DISCARD}echo own > own.txt\n")])

    job = ended["job_id"]
    [child] = ended["results"]["tasks"][0]["child_job_ids"]
    assert (ended["status"], ended["merge_state"]) == ("partial", "in_part")
    discarded = f"discarded the changes of child job {child}: child.txt, shared.txt"
    assert ended["reason"] == f"not in the result: in part worker_1 ({discarded})"
    [loss] = site.get(f"/jobs/{job}/conflicts")["missing"]
    assert (loss["cause"], loss["branch"]) == ("undone", f"orchestrator/{job}/result_{child}")
    command = f"bin/orchestrator merge {job} --include {child}"
    assert loss["command"] == command
    assert command in (site.directory(job) / "FINAL_RESULT.md").read_text()
    branch = f"orchestrator/{job}/result"
    assert project.files(branch) == ["own.txt", "shared.txt"]

    assert merge(site, job) == "partial"
    assert merge(site, job, take=[child]) == "completed"
    assert site.status(job)["reason"] == f"merged by a person: child job {child}"
    assert project.show(branch, "child.txt") == "one\ntwo"
    assert project.show(branch, "shared.txt") == "zero\n1"
    assert project.show(branch, "own.txt") == "own"
    # The changes stay merged until a person excludes them.
    assert merge(site, job) == "completed"
    assert merge(site, job, leave=[child]) == "completed"
    assert "(you excluded the changes of child job" in site.status(job)["reason"]
    assert project.files(branch) == ["own.txt", "shared.txt"]
    assert merge(site, job) == "partial"


def test_a_child_job_with_discarded_work_runs_again_for_the_same_request(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    runs = tmp_path / "runs"
    # As for a real agent, no two runs write the same content.
    child = edit(f"echo run >> {runs}; echo work $(wc -l < {runs}) > child.txt")
    ask = f"""cat > "$ORCHESTRATOR_WORKER_DIR/c.json" <<'END'
{json.dumps([child])}
END
spawn() {{ orchestrator spawn same --tasks "$ORCHESTRATOR_WORKER_DIR/c.json" --wait || exit 1; }}
spawn; {DISCARD.strip()}; spawn; spawn"""

    ended = site.run("x", [edit(ask)])

    job = ended["job_id"]
    assert (ended["status"], ended["reason"]) == ("completed", "")
    assert len(ended["results"]["tasks"][0]["child_job_ids"]) == 2
    assert project.show(f"orchestrator/{job}/result", "child.txt") == "work 2"
    assert site.get(f"/jobs/{job}/conflicts")["missing"] == []


@pytest.mark.nightly
def test_what_is_discarded_at_depth_3_is_left_out_of_all_jobs_above(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    deepest = spawning([CHILD], 3, after=f"{DISCARD}echo own > own.txt\n")

    ended = site.run("x", [spawning([spawning([deepest], 2)], 1)])

    job = ended["job_id"]
    jobs = jobs_of(site, job)
    above = [each["job_id"] for each in sorted(jobs, key=lambda each: -each["depth"])]
    assert [each["status"] for each in jobs] == ["partial"] * 3 + ["completed"]
    [loss] = site.get(f"/jobs/{job}/conflicts")["missing"]
    merges = [f"bin/orchestrator merge {each}" for each in above[1:]]
    assert loss["command"] == " && ".join([f"{merges[0]} --include {above[0]}", *merges[1:]])

    assert merge(site, above[1], take=[above[0]]) == "completed"
    assert [merge(site, each) for each in above[2:]] == ["completed"] * 2
    assert project.show(f"orchestrator/{job}/result", "child.txt") == "one\ntwo"


@pytest.mark.nightly
def test_what_a_parent_removes_or_overwrites_is_named_with_the_child(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()

    script = "echo other > child.txt; echo zero > shared.txt\n"
    ended = site.run("x", [spawning([spawning([CHILD], 2, after=script)], 1)])

    [_, _, deepest] = jobs_of(site, ended["job_id"])
    assert ended["status"] == "completed", ended["reason"]
    hunks = f"2 hunks of worker_1_1_1 of job {deepest['job_id']} (child.txt, shared.txt:2)"
    assert ended["reason"] == f"changes of child jobs undone: {hunks} by worker_1_1"


@pytest.mark.nightly
def test_a_parent_that_works_on_what_its_child_job_made_is_whole(make_project: MakeProject) -> None:
    site, _ = make_project()
    script = "sed -i s/two/2/ child.txt; mkdir sub; mv child.txt sub/renamed.txt\n"

    ended = site.run("x", [spawning([CHILD], 1, after=script)])

    assert (ended["status"], ended["reason"]) == ("completed", "")


@pytest.mark.nightly
def test_a_child_job_that_its_parent_merges_as_its_own_decision_is_only_named(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    # The command in docs/git.md for a worker that keeps its own version.
    ours = "git merge -q -s ours -m mine $(git branch --list --format='%(refname)' '*/result_*')\n"

    ended = site.run("x", [spawning([CHILD], 1, after=f"{DISCARD}{ours}")])

    assert ended["status"] == "completed", ended["reason"]
    assert ended["reason"].startswith("changes of child jobs undone: 2 hunks of worker_1_1 of job ")
