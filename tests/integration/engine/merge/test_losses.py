"""A job is partial if its result lacks work without a person's decision."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.changes.test_applying import command
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, shell, until
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

MakeProject = Callable[[], tuple[InProcess, Project]]

pytestmark = [pytest.mark.usefixtures("spawning"), pytest.mark.slow]

#: Two workers that change the same line, so that the result can have only one of the changes.
SAME_LINE = [edit("echo one > shared.txt"), edit("echo two > shared.txt")]


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    def make() -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin({"shared.txt": "zero\n"})
        settings = {"project_root": str(project.path)}
        return make_site(orchestrator=settings, agents=agents(tmp_path)), project

    return make


def spawning(children: list[Answer], level: int, after: str = "") -> Answer:
    """Return a worker that starts a child job, and records the exit code of ``spawn --wait``."""
    return edit(
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/c.json\" <<'END_{level}'\n"
        f"{json.dumps(children)}\nEND_{level}\n"
        f'orchestrator spawn level-{level} --tasks "$ORCHESTRATOR_WORKER_DIR/c.json" --wait '
        f"&& code=0 || code=$?\necho $code > code-{level}.txt\n{after}"
    )


def test_the_loss_at_depth_3_reaches_the_root(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [spawning([spawning([spawning(SAME_LINE, 3)], 2)], 1)])

    job = ended["job_id"]
    assert ended["status"] == "partial", [row["reason"] for row in ended["results"]["tasks"]]
    [deepest] = [each for each in jobs_of(site, job) if each["depth"] == 3]
    jobs = jobs_of(site, job)
    assert [each["status"] for each in jobs] == ["partial"] * 4
    assert {each["merge_state"] for each in jobs} == {"in_part"}
    lost = "worker_1_1_1_2"
    assert f"{lost} of job {deepest['job_id']} (conflict in shared.txt)" in ended["reason"]
    # The workers did the requested work.
    assert [row["status"] for row in ended["results"]["tasks"]] == ["recursive_success"]
    branch = f"orchestrator/{job}/result"
    assert project.show(branch, "shared.txt") == "one"
    assert [project.show(branch, f"code-{level}.txt") for level in (1, 2, 3)] == ["6", "6", "6"]
    [loss] = site.get(f"/jobs/{job}/conflicts")["missing"]
    assert (loss["worker_id"], loss["job_id"]) == (lost, deepest["job_id"])
    assert project.show(loss["branch"], "shared.txt") == "two"
    above = [each["job_id"] for each in sorted(jobs, key=lambda each: -each["depth"])][1:]
    merges = [f"bin/orchestrator merge {each}" for each in above]
    first = f"bin/orchestrator merge {deepest['job_id']} --strategy theirs"
    assert loss["command"] == " && ".join([first, *merges])
    changes = site.status(deepest["job_id"])["results"]["changes"]
    when = f"To merge after job {job} has ended, with one worker's version of each conflict: "
    assert f"{when}{loss['command']}." in changes, changes
    assert "--resolve" not in " ".join(changes), "it is rejected now"


@pytest.mark.parametrize("link", ["; ln -s /nonexistent b.md", *nightly("")])
def test_half_a_promise_at_depth_2_reaches_the_root(make_project: MakeProject, link: str) -> None:
    site, project = make_project()
    half = edit(f"echo a > a.md{link}", writes=["a.md", "b.md"])

    ended = site.run("x", [spawning([spawning([half], 2)], 1)])

    jobs = jobs_of(site, ended["job_id"])
    deepest = jobs[-1]["job_id"]
    assert [(each["status"], each["merge_state"]) for each in jobs] == [("partial", "merged")] * 3
    assert [row["status"] for row in ended["results"]["tasks"]] == ["recursive_success"]
    lacks = f"worker_1_1_1 of job {deepest}: promised files are missing: b.md"
    command = f"bin/orchestrator continue {ended['job_id']} 'Create b.md'"
    assert ended["reason"] == f"{lacks}; to create the files: {command}"
    branch = f"orchestrator/{ended['job_id']}/result"
    assert [project.show(branch, f"code-{level}.txt") for level in (1, 2)] == ["6", "6"]


def test_without_git_a_new_job_creates_a_promised_file_of_a_child_job(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    half = shell("echo a > a.md", writes=["a.md", "b.md"])

    ended = site.run("x", [spawning([half], 1)], git="off")

    job = ended["job_id"]
    assert "; to create the files: bin/orchestrator run 'Create b.md';" in ended["reason"]
    [loss] = site.get(f"/jobs/{job}/conflicts")["missing"]
    assert loss["command"] == "bin/orchestrator run 'Create b.md'"
    assert [each["command"] for each in site.status_file(job)["missing"]] == [loss["command"]]


@pytest.mark.nightly
def test_code_at_depth_2_that_no_gate_judged_is_named_at_the_root(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()

    ended = site.run("x", [spawning([spawning([edit("echo a = 1 > a.py")], 2)], 1)])

    jobs = jobs_of(site, ended["job_id"])
    found = [site.status(each["job_id"]) for each in jobs]
    assert {each["status"] for each in found} == {"completed"}
    assert [each["reason"] for each in found] == [
        "not judged: no gate tested the changes (no tests found)"
    ] * 3


@pytest.mark.parametrize("link", ["; ln -s /nonexistent b.md", *nightly("")])
def test_a_file_that_a_child_job_promised_may_come_from_its_parent(
    make_project: MakeProject, link: str
) -> None:
    site, _ = make_project()
    half = edit(f"echo a > a.md{link}", writes=["a.md", "b.md"])

    ended = site.run("x", [spawning([half], 1, after="rm -f b.md; echo b > b.md\n")])

    jobs = jobs_of(site, ended["job_id"])
    assert [each["status"] for each in jobs] == ["completed", "partial"]
    assert "missing" not in ended["reason"]


def test_hunks_overruled_below_are_named_at_the_root(make_project: MakeProject) -> None:
    site, project = make_project()

    ended = site.run("x", [spawning([spawning(SAME_LINE, 2)], 1)], merge_strategy="theirs")

    job = ended["job_id"]
    jobs = jobs_of(site, job)
    assert {each["status"] for each in jobs} == {"completed"}, ended["reason"]
    deepest = jobs[-1]["job_id"]
    lost = f"1 hunk of worker_1_1_1 of job {deepest} (shared.txt:1)"
    assert ended["reason"] == f"replaced by merge_strategy theirs: {lost}"
    assert project.show(f"orchestrator/{job}/result", "shared.txt") == "two"
    # A repeated merge keeps the losses of descendants.
    assert merge(site, job) == "completed"
    assert lost in site.status(job)["reason"]


@pytest.mark.parametrize("strategy", ["auto", *nightly("theirs")])
def test_a_childs_change_that_its_parent_contradicts_is_named_with_the_child(
    make_project: MakeProject, tmp_path: Path, strategy: str
) -> None:
    site, project = make_project()
    flag = tmp_path / "flag"
    child = edit(f"until [ -e {flag} ]; do sleep 0.02; done; echo child > shared.txt")
    # The parent does not wait, so both changes are merged after the end of the child job.
    script = spawning([child], 1, after=f"rm code-1.txt; echo parent > shared.txt; touch {flag}\n")
    script["prompt"] = script["prompt"].replace(" --wait ", " ")

    ended = site.run("x", [script], merge_strategy=strategy)

    [below] = ended["results"]["tasks"][0]["child_job_ids"]
    expected = {
        "auto": (
            "partial",
            "not in the result: in part worker_1 (conflict in shared.txt, also changed by "
            f"worker_1_1 of child job {below}; all changes of this child job are missing)",
            "parent",
        ),
        "theirs": (
            "completed",
            f"replaced by merge_strategy theirs: 1 hunk of worker_1 (shared.txt:1) by job {below}",
            "child",
        ),
    }
    job = ended["job_id"]
    content = project.show(f"orchestrator/{job}/result", "shared.txt")
    assert (ended["status"], ended["reason"], content) == expected[strategy]
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert ended["reason"].removeprefix("not in the result: ") in report


def test_what_a_repeated_merge_replaces_between_a_parent_and_its_child_job_is_named(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    flag = tmp_path / "flag"
    waits = f"until [ -e {flag} ]; do sleep 0.02; done"
    child = edit(f"{waits}; echo child > shared.txt; echo more > more.txt")
    script = spawning([child], 1, after=f"rm code-1.txt; echo parent > shared.txt; touch {flag}\n")
    script["prompt"] = script["prompt"].replace(" --wait ", " ")

    ended = site.run("x", [script])

    report = (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
    parent, child_worker = "[worker_1](depth_0/worker_1/)", "[worker_1_1](depth_1/worker_1_1/)"
    assert f"| more.txt | not merged | {child_worker} |" in report
    assert f"| shared.txt | +1 −1 | {parent}; not merged: {child_worker} |" in report
    job, [below] = ended["job_id"], ended["results"]["tasks"][0]["child_job_ids"]
    conflict = f"conflict in shared.txt, also changed by worker_1_1 of child job {below}"
    # The parent did not undo the child job's other changes.
    assert ended["reason"] == (
        f"not in the result: in part worker_1 ({conflict}; all changes of this child job are "
        "missing)"
    )
    assert "undone" not in (site.directory(job) / "FINAL_RESULT.md").read_text()

    assert merge(site, job, strategy="theirs") == "completed"

    assert site.status(job)["reason"] == (
        f"replaced by merge_strategy theirs: 1 hunk of worker_1 (shared.txt:1) by job {below}"
    )
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    replaced = f"shared.txt, line 1 (written by worker_1); the version of child job {below} won"
    assert f"Replaced: {replaced}; replaced text: parent" in report
    branch = f"orchestrator/{job}/result"
    assert [project.show(branch, each) for each in ("shared.txt", "more.txt")] == ["child", "more"]


def test_a_file_in_which_a_worker_and_its_child_job_conflict_is_named_once(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, _ = make_project()
    flag = tmp_path / "flag"
    child = edit(f"until [ -e {flag} ]; do sleep 0.02; done; echo child > shared.txt")
    script = spawning([child], 1, after=f"echo parent > shared.txt; touch {flag}\n")
    script["prompt"] = script["prompt"].replace(" --wait ", " ")

    ended = site.run("x", [SAME_LINE[0], script], max_retries=1)

    log = (site.directory(ended["job_id"]) / "logs" / "orchestrator.log").read_text()
    assert 'reason="conflict with other workers in shared.txt"' in log


def test_merging_from_below_makes_the_jobs_above_whole_again(make_project: MakeProject) -> None:
    site, project = make_project()
    ended = site.run("x", [spawning(SAME_LINE, 1)])
    job = ended["job_id"]
    [child] = ended["results"]["tasks"][0]["child_job_ids"]
    assert ended["status"] == "partial", [row["reason"] for row in ended["results"]["tasks"]]

    assert merge(site, job) == "partial"
    assert merge(site, child, strategy="theirs") == "completed"
    assert site.status(job)["status"] == "partial"
    assert merge(site, job) == "completed"

    overruled = f"1 hunk of worker_1_1 of job {child} (shared.txt:1)"
    assert site.status(job)["reason"] == f"replaced by merge_strategy theirs: {overruled}"
    assert project.show(f"orchestrator/{job}/result", "shared.txt") == "two"


def test_a_later_child_job_with_the_same_request_makes_up_for_a_loss(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    flag = tmp_path / "flag"
    second = f"if [ -e {flag} ]; then echo b > b.txt; else echo two > shared.txt; fi"
    tasks = json.dumps([edit("echo one > shared.txt; echo a >> a.txt"), edit(second)])
    again = (
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/c.json\" <<'END'\n{tasks}\nEND\n"
        'spawn() { orchestrator spawn same --tasks "$ORCHESTRATOR_WORKER_DIR/c.json" --wait; }\n'
        f"spawn || echo $? > codes.txt; touch {flag}; spawn && echo $? >> codes.txt"
    )

    ended = site.run("x", [edit(again)])

    job = ended["job_id"]
    assert [each["status"] for each in jobs_of(site, job)] == ["completed", "partial", "completed"]
    assert ended["reason"] == ""
    assert project.show(f"orchestrator/{job}/result", "codes.txt") == "6\n0"


def test_the_result_of_an_incomplete_job_lands_only_with_partial(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    failed = site.run("x", [edit("echo a = 1 > failed.py")], unjudged="fail")["job_id"]
    job = site.submit("y", [edit("echo a = 1 > a.py"), edit("sleep 600")])
    until(lambda: "success" in str(site.status(job).get("results")), "one is done")
    site.call("POST", f"/jobs/{job}/cancel")
    assert site.wait(job)["status"] == "cancelled"
    capfd.readouterr()

    assert command(site, "land", job, "--yes") == 1
    error = capfd.readouterr().err
    assert (
        f"job {job} is cancelled; nothing was changed" in error and "worker_2 (cancelled)" in error
    )
    assert f"land {job} --partial" in error
    assert command(site, "land", failed, "--yes") == 1
    assert f"job {failed} is failed; nothing was changed: not judged" in capfd.readouterr().err
    assert not project.path.joinpath("a.py").exists()

    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert f"bin/orchestrator land {job} --partial" in final
    site.call("POST", f"/jobs/{job}/retry", {})
    until(lambda: site.status_file(job)["status"] == "running", "it runs again")
    assert command(site, "land", job, "--yes") == 1
    error = capfd.readouterr().err
    assert (
        f"job {job} is running; nothing was changed. The job's result lacks:\n  worker_2 (" in error
    )
    assert not project.path.joinpath("a.py").exists()
    assert command(site, "land", job, "--yes", "--partial") == 0
    assert project.path.joinpath("a.py").exists()


def test_land_offers_no_incomplete_result_of_a_job_without_changes(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    job = site.run("x", [shell("true"), shell("exit 1", retries=0)])["job_id"]
    capfd.readouterr()

    assert command(site, "land", job) == 6

    error = capfd.readouterr().err
    assert f"job {job} is partial; nothing was changed" in error and "--partial" not in error


def test_land_without_a_merged_result_names_a_command_that_helps(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    failing = shell("exit 1", retries=0)
    unmerged = site.run("x", [edit("echo a > a.txt"), failing], merge_strategy="manual")["job_id"]
    without_git = site.run("x", [shell("echo a > a.txt"), failing])["job_id"]

    for job, helping in ((unmerged, "status"), (without_git, "apply")):
        for body in ({}, {"partial": True}):
            detail = site.call("POST", f"/jobs/{job}/land", body).json()["detail"]
            assert f"bin/orchestrator {helping} {job}" in detail, detail
            assert "--partial" not in detail
    capfd.readouterr()
    for job, helping, options, code in (
        (unmerged, "status", [], 6),
        (unmerged, "status", ["--partial"], 6),
        (without_git, "apply", [], 6),
        (without_git, "apply", ["--partial"], 3),
    ):
        assert command(site, "land", job, "--yes", *options) == code
        error = capfd.readouterr().err
        assert f"bin/orchestrator {helping} {job}" in error and "--partial" not in error


def test_land_does_not_name_merged_changes_of_a_failed_worker_as_lacking(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    failing = [edit(f"echo {n} > {n}.txt; exit 1", retries=0) for n in "bc"]
    job = site.run("x", [edit("echo a > a.txt"), *failing])["job_id"]
    merge(site, job, take=["worker_2"])
    capfd.readouterr()
    start = f"Error: job {job} is partial; nothing was changed"
    end = f"to land the incomplete result: bin/orchestrator land {job} --partial\n"

    assert command(site, "land", job, "--yes") == 6
    assert capfd.readouterr().err == (
        f"{start}. The job's result lacks:\n  worker_3 (failed): exit code 1\n"
        f"Why: worker_3 did not succeed; merged by a person: worker_2\n{end}"
    )
    merge(site, job, take=["worker_3"])
    assert command(site, "land", job, "--yes") == 6
    taken = "merged by a person: worker_2, worker_3"
    assert capfd.readouterr().err == f"{start}: {taken}\n{end}"


def test_land_names_only_work_that_the_result_lacks(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    """The result lacks neither a failed candidate nor changes that a person merged."""
    site, _ = make_project()
    first_fails = edit('echo x > x.txt; test "$ORCHESTRATOR_WORKER_ID" != worker_1', retries=0)
    both = {**first_fails, "agent": ["editor", "editor"]}
    taken = edit("echo y > y.txt; exit 1", retries=0)
    job = site.run("x", [both, taken, edit("exit 1", retries=0)])["job_id"]
    merge(site, job, take=["worker_3"])
    capfd.readouterr()

    response = site.call("POST", f"/jobs/{job}/land", {})

    assert response.status_code == 409
    assert (
        "; its result lacks: worker_4 (failed): exit code 1; to land" in response.json()["detail"]
    )
    assert command(site, "land", job, "--yes") == 6
    error = capfd.readouterr().err
    assert "result lacks:\n  worker_4 (failed): exit code 1\n" in error


def test_a_retry_of_another_task_leaves_the_job_partial(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, _ = make_project()
    flag = tmp_path / "flag"
    ended = site.run(
        "x", [*SAME_LINE, edit(f"test -e {flag} || exit 1; echo x > other.txt", retries=0)]
    )
    job = ended["job_id"]
    assert [row["status"] for row in ended["results"]["tasks"]] == ["success", "success", "failed"]
    flag.touch()

    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    again = site.wait(job)

    assert {row["status"] for row in again["results"]["tasks"]} == {"success"}
    assert (again["status"], again["merge_state"]) == ("partial", "in_part")
    assert again["reason"] == "not in the result: worker_2 (conflict in shared.txt)"
    assert [each["worker_id"] for each in again["missing"]] == ["worker_2"]
    assert site.status_file(job)["status"] == "partial"


def test_changes_that_a_person_excludes_do_not_make_a_job_partial(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    job = site.run("x", SAME_LINE)["job_id"]
    assert site.status(job)["status"] == "partial"

    assert merge(site, job, leave=["worker_2"]) == "completed"

    assert site.status(job)["reason"] == "not in the result: worker_2 (excluded by you)"


def merge(site: InProcess, job_id: str, **choice: object) -> str:
    """Merge the job again; return its status."""
    assert site.call("POST", f"/jobs/{job_id}/merge", choice).status_code == 200
    return str(site.status(job_id)["status"])


def jobs_of(site: InProcess, root_id: str) -> list[Answer]:
    """Return all facts about each job of a tree, the root job first."""
    found, ahead = [], [root_id]
    while ahead:
        found.append(site.get(f"/jobs/{ahead.pop(0)}"))
        ahead += found[-1]["child_job_ids"]
    return found
