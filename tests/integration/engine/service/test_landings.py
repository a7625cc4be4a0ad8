"""``land`` and ``undo`` by the API: the commands' rules, and keys with the scope ``admin`` only."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import requests

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.faults import crash_points
from tests.faults.site import STORE, FaultSite
from tests.integration.conftest import MakeCrashing, MakeServer, MakeSite
from tests.integration.site import HOLD, KEY, Answer, InProcess, Site, shell, until
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

FILES = {"a.txt": "one\n"}
SUBMIT, READ = "a-key-that-submits-jobs", "a-key-that-reads-jobs"
MakeProject = Callable[[], tuple[InProcess, Project]]

pytestmark = pytest.mark.slow


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    def make() -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin(FILES)
        keys = [
            {"name": "sub", "key": SUBMIT, "scopes": ["submit"]},
            {"name": "watch", "key": READ, "scopes": ["read"]},
        ]
        return make_site(
            orchestrator={"project_root": str(project.path)},
            agents=agents(tmp_path),
            api={"port": 0, "api_key": KEY, "keys": keys},
        ), project

    return make


def call(site: Site, job: str, action: str, key: str = KEY, **body: object) -> requests.Response:
    return site.call("POST", f"/jobs/{job}/{action}", body, key=key)


def done(site: Site, job: str, action: str, **body: object) -> Answer:
    response = call(site, job, action, **body)
    assert response.status_code == 200, response.text
    found: Answer = response.json()
    return found


def check_problem(response: requests.Response, status: int, type: str) -> Answer:
    assert response.status_code == status, response.text
    problem: Answer = response.json()
    assert problem["type"] == type, problem
    return problem


def events(site: InProcess, job: str) -> list[tuple[str, Answer]]:
    kinds = ("job_landed", "landing_undone")
    found = site.manager.parts.store.events(job, 0, 1000)
    return [(str(each.kind), dict(each.data)) for each in found if each.kind in kinds]


def test_after_a_retry_the_job_still_names_the_branch_with_the_earlier_result(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    flaky = edit("test -e $ORCHESTRATOR_WORKER_DIR/again; echo b > b.txt", retries=0)
    ended = site.run("x", [edit("echo a > a.txt"), flaky])
    job = ended["job_id"]
    done(site, job, "land", partial=True)
    (site.directory(job) / "depth_0/worker_2/again").touch()

    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202

    retried = site.wait(job)
    assert (retried["status"], retried["landed"]) == ("completed", [])
    assert "main has an earlier result; to add the new result: " in retried["reason"]
    done(site, job, "land")
    assert "earlier result" not in (site.status(job)["reason"] or "")
    done(site, job, "undo")
    assert "main has an earlier result" in site.status(job)["reason"]


def test_a_landing_with_a_worker_that_was_excluded_later_is_undone_first(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo a > a.txt"), edit("echo b > b.txt")])["job_id"]
    done(site, job, "land")
    done(site, job, "merge", exclude=["worker_2"])

    problem = check_problem(call(site, job, "land"), 409, "conflict")

    assert f"first remove the earlier result: bin/orchestrator undo {job}" in problem["detail"]
    done(site, job, "undo")
    assert "earlier result" not in site.status(job)["reason"]
    done(site, job, "land")
    assert not (project.path / "b.txt").exists() and (project.path / "a.txt").exists()


def test_a_result_is_landed_and_undone_with_an_event_for_each(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("Add a file", [edit("echo new > new.txt")])["job_id"]
    before = project.git("rev-parse", "main")

    checked = done(site, job, "land", check=True)
    assert (checked["landed"], checked["branch"], checked["files"]) == (False, "main", ["new.txt"])
    assert project.git("rev-parse", "main") == before

    landed = done(site, job, "land")
    tip = project.git("rev-parse", "main")
    assert (landed["landed"], landed["changed"], landed["commit"]) == (True, True, tip)
    assert (landed["before"], landed["files_changed"]) == (before, 1)
    assert (project.path / "new.txt").read_text() == "new\n"
    (known,) = site.get(f"/jobs/{job}")["landed"]
    assert (known["branch"], known["commit"], known["by"]) == ("main", tip, "default")
    assert site.status_file(job)["landed"][0]["commit"] == tip

    again = done(site, job, "land")
    assert (again["landed"], again["changed"]) == (True, False)
    assert "nothing to do" in again["text"]

    # A repeated merge with the same result: the branch has this result already.
    done(site, job, "merge")
    assert site.get(f"/jobs/{job}")["landed"] == []
    assert "to add the new result: " in site.status(job)["reason"]
    assert not done(site, job, "land")["changed"]
    assert [each["commit"] for each in site.get(f"/jobs/{job}")["landed"]] == [tip]
    assert "land" not in (site.status(job)["reason"] or "")

    undone = done(site, job, "undo")
    assert (undone["commit"], undone["before"]) == (before, tip)
    assert project.git("rev-parse", "main") == before
    assert site.get(f"/jobs/{job}")["landed"] == []
    assert "earlier result" not in (site.status(job)["reason"] or "")
    data = {"by": "default", "branch": "main", "commit": tip, "before": before}
    assert events(site, job) == [("job_landed", data)] * 2 + [("landing_undone", data)]
    check_problem(call(site, job, "undo"), 404, "not-found")
    done(site, job, "land", squash=True, author="worker")
    assert project.git("log", "-1", "--format=%s", "main") == "Add a file"


def first_screen(site: InProcess, job: str) -> str:
    final = (site.directory(job) / "FINAL_RESULT.md").read_text()
    return final.partition("## Request")[0]


@pytest.mark.parametrize("up", [True, *nightly(False)], ids=["server up", "server down"])
def test_the_report_names_a_landing_instead_of_the_command_that_lands(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str], up: bool
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    land, undo = f"bin/orchestrator land {job}", f"bin/orchestrator undo {job}"
    assert land in first_screen(site, job)
    if not up:
        site.stop()
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY} if up else {}
    context = CliContext(folder=site.folder, environ={"PATH": os.environ["PATH"], **server})

    assert execute(["land", job, "--yes"], context) == 0
    tip = project.git("rev-parse", "main")
    until(lambda: "| **Landed** |" in first_screen(site, job), "the report is rewritten")
    report = first_screen(site, job)
    assert f"| `main`, commit {tip[:12]}, " in report
    assert land not in report and undo in report
    capfd.readouterr()
    assert execute(["status", job], context) == 0
    output = "".join(capfd.readouterr())
    assert land not in output and f", commit {tip[:12]}\n" in output and undo in output

    assert execute(["undo", job, "--yes"], context) == 0
    until(lambda: land in first_screen(site, job), "the report is rewritten")
    assert undo not in first_screen(site, job)


def test_undo_asks_nothing_if_there_is_nothing_to_undo(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    context = CliContext(folder=site.folder, environ={"PATH": os.environ["PATH"], **server})

    def refusal(code: int) -> str:
        capfd.readouterr()
        assert execute(["undo", job], context) == code
        return capfd.readouterr().err

    assert f"nothing to undo: job {job} is not landed on main" in refusal(3)
    done(site, job, "land")
    assert "without confirmation" in refusal(1)
    project.commit({"a.txt": "three\n"}, "three")
    assert "main has moved since the landing" in refusal(1)
    project.git("checkout", "-q", "-b", "other")
    assert f"job {job} was landed on main" in refusal(1)
    project.git("checkout", "-q", "main")
    project.git("reset", "-q", "--hard", "HEAD^")
    done(site, job, "undo")
    assert f"nothing to undo: job {job} is not landed on main" in refusal(3)


def test_a_result_that_was_merged_again_since_its_landing_can_land(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    tasks = [edit("echo a > a.txt"), edit("echo b > b.txt; exit 1", retries=0)]
    job = site.run("x", tasks)["job_id"]
    done(site, job, "land", partial=True)
    until(lambda: "| **Landed** |" in first_screen(site, job), "the report is rewritten")

    done(site, job, "merge", include=["worker_2"])
    land = f"bin/orchestrator land {job}"
    until(lambda: land in first_screen(site, job), "the report is rewritten")
    answer = site.status(job)
    assert answer["landed"] == []
    assert "main has an earlier result" in answer["reason"]
    done(site, job, "land", partial=True)
    assert "earlier result" not in site.status(job)["reason"]
    assert (project.path / "b.txt").exists()


def test_the_undo_of_an_earlier_landing_is_recorded(make_project: MakeProject) -> None:
    site, _ = make_project()
    tasks = [edit("echo a > a.txt"), edit("echo b > b.txt; exit 1", retries=0)]
    job = site.run("x", tasks)["job_id"]
    done(site, job, "land", partial=True)
    done(site, job, "merge", include=["worker_2"])
    until(lambda: "earlier result" in site.status(job)["reason"], "the merge is recorded")
    done(site, job, "undo")
    assert "earlier result" not in site.status(job)["reason"]


def test_a_server_lands_and_undoes_with_the_umask_of_its_user(
    make_server: MakeServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin(FILES)
    server = make_server(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    script = "echo two > a.txt; mkdir new; echo x > new/run; chmod +x new/run"
    job = server.run("x", [edit(script)])["job_id"]

    done(server, job, "land")
    names = ("a.txt", "new", "new/run", ".git/refs/heads/main")
    assert modes(project, names) == [0o644, 0o755, 0o755, 0o644]

    done(server, job, "undo")
    assert modes(project, ["a.txt"]) == [0o644]


def modes(project: Project, names: Sequence[str]) -> list[int]:
    return [stat.S_IMODE((project.path / name).stat().st_mode) for name in names]


def test_files_that_block_a_landing_are_named(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo two > a.txt; echo new > new.txt")])["job_id"]
    before = project.git("rev-parse", "main")

    project.write("a.txt", "mine\n")
    assert check_problem(call(site, job, "land"), 409, "dirty-checkout")["files"] == ["a.txt"]
    project.git("checkout", "-q", "a.txt")
    project.write("new.txt", "mine\n")
    assert check_problem(call(site, job, "land"), 409, "dirty-checkout")["files"] == ["new.txt"]
    assert (project.path / "new.txt").read_text() == "mine\n"
    (project.path / "new.txt").unlink()
    project.commit({"a.txt": "three\n"}, "three")
    assert check_problem(call(site, job, "land"), 409, "merge-conflict")["files"] == ["a.txt"]
    project.git("reset", "-q", "--hard", before)
    check_problem(call(site, job, "land", squash=True, no_ff=True), 422, "invalid-request")

    done(site, job, "land")
    project.write("a.txt", "mine\n")
    assert check_problem(call(site, job, "undo"), 409, "dirty-checkout")["files"] == ["a.txt"]
    assert [kind for kind, _ in events(site, job)] == ["job_landed"]


def test_an_incomplete_job_lands_only_with_partial(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo a > b.txt"), edit("false")])["job_id"]

    problem = check_problem(call(site, job, "land"), 409, "partial")
    assert problem["job_status"] == "partial" and "worker_2" in problem["detail"]
    assert not (project.path / "b.txt").exists()

    assert done(site, job, "land", partial=True)["files"] == ["b.txt"]
    assert (project.path / "b.txt").exists()


def test_a_job_that_runs_has_nothing_to_land_yet(make_project: MakeProject, tmp_path: Path) -> None:
    site, _ = make_project()
    release = tmp_path / "release"
    job = site.submit("x", [edit(f"while [ ! -e {release} ]; do sleep 0.02; done; echo a > a")])
    until(lambda: site.status(job)["workers"].get("running"), "it runs")

    detail = check_problem(call(site, job, "land"), 409, "conflict")["detail"]

    assert detail.endswith(f"has no result yet; wait for its end: bin/orchestrator wait {job}")
    release.touch()
    assert site.wait(job)["status"] == "completed"


def test_a_result_whose_branch_was_removed_can_be_merged_again(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo a > a.txt")])["job_id"]
    project.git("branch", "-D", f"orchestrator/{job}/result")

    detail = check_problem(call(site, job, "land"), 404, "not-found")["detail"]

    assert detail.endswith(f"repeat the merge: bin/orchestrator merge {job}")
    done(site, job, "merge")
    assert done(site, job, "land")["files"] == ["a.txt"]


@pytest.mark.parametrize("to", ["earlier", *nightly("main", "newer")])
def test_a_result_branch_that_was_moved_back_is_not_landed(
    make_project: MakeProject, to: str
) -> None:
    site, project = make_project()
    tasks = [edit("echo a > a.txt; git commit -qam a; echo b > b.txt")]
    job = site.run("x", tasks)["job_id"]
    branch = f"orchestrator/{job}/result"
    result = project.git("rev-parse", branch)
    project.git("branch", "earlier", f"{branch}~1")
    if to == "newer":
        project.commit({"c.txt": "c\n"})
    project.git("branch", "-f", branch, "main" if to == "newer" else to)

    detail = check_problem(call(site, job, "land"), 409, "conflict")["detail"]

    assert detail == (
        f"branch {branch} was moved: it no longer contains commit {result[:12]}, the result of job "
        f"{job}; nothing was changed; restore the branch while another branch is checked out: "
        f"git -C {project.path} branch -f {branch} {result[:12]}"
    )
    project.git("branch", "-f", branch, result[:12])
    assert done(site, job, "land")["files"] == ["a.txt", "b.txt"]
    project.git("branch", "-f", branch, "main~1")
    assert done(site, job, "land")["text"].startswith("nothing to do")


def test_another_branch_must_be_named(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    project.git("switch", "-q", "-c", "fix&more")

    detail = check_problem(call(site, job, "land"), 409, "other-branch")["detail"]
    assert "started from branch main" in detail
    assert detail.endswith(f": bin/orchestrator land {job} --onto 'fix&more'"), "it can be pasted"
    detail = check_problem(call(site, job, "land", onto="main"), 409, "other-branch")["detail"]
    assert f"git -C {project.path} switch main" in detail
    assert done(site, job, "land", check=True)["base_branch"] == "main"

    assert done(site, job, "land", onto="fix&more")["branch"] == "fix&more"
    assert project.show("fix&more", "new.txt") == "new"


def test_only_a_key_that_may_do_everything_lands(make_project: MakeProject) -> None:
    site, project = make_project()
    before = project.snapshot()
    job = site.call(
        "POST",
        "/orchestrate",
        {"request": "x", "tasks": [edit("echo n > n.txt"), shell(HOLD, env={"RELEASE": "/gone"})]},
        key=SUBMIT,
    ).json()["job_id"]
    worker = site.key_of(job, "worker_2")
    for key, status in ((SUBMIT, 403), (READ, 403), (worker, 404)):
        for action in ("land", "undo"):
            assert call(site, job, action, key=key).status_code == status, (key, action)
    site.call("POST", f"/jobs/{job}/cancel", {})
    site.wait(job)

    assert project.snapshot() == before


def test_a_job_without_changes_or_without_git_has_nothing_to_land(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    job = site.run("x", [shell("true")])["job_id"]

    answer = done(site, job, "land")
    assert answer["nothing_to_land"] and not answer["landed"]
    assert answer["text"] == f"nothing to land: job {job} changed nothing"
    failed = site.run("x", [edit("false")])["job_id"]
    detail = check_problem(call(site, failed, "land"), 409, "conflict")["detail"]
    assert detail == (
        f"the job is failed; job {failed} has no merged result: the branches of the job's workers "
        "have no changes"
    )


def test_the_command_does_the_same_without_a_server(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    job = site.run("x", [edit("echo new > new.txt")])["job_id"]
    before = project.git("rev-parse", "main")
    site.stop()
    context = CliContext(folder=site.folder, environ={"PATH": os.environ["PATH"]})

    assert execute(["land", job, "--yes"], context) == 0
    assert "main is at" in capfd.readouterr().out
    (landed,) = site.status_file(job)["landed"]
    assert (landed["by"], landed["before"]) == ("command line", before)
    assert execute(["undo", job, "--yes"], context) == 0
    assert project.git("rev-parse", "main") == before
    assert site.status_file(job)["landed"] == []
    audit = (site.folder / "logs" / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in audit[-2:]] == ["(land)", "(undo)"]


LANDINGS = (*crash_points.OF_STORED_LANDINGS, *crash_points.OF_LANDING)


def stored_kinds(site: FaultSite, job: str) -> list[str]:
    """After a crash, the log may lack the latest lines, as for any event after a job's end."""
    with sqlite3.connect(site.workspace / "orchestrator.db") as database:
        query = (
            "SELECT kind FROM events WHERE kind IN ('job_landed', 'landing_undone') ORDER BY seq"
        )
        return [kind for (kind,) in database.execute(query)]


@pytest.mark.skipif(STORE != "sqlite", reason="reads the events from the file")
@pytest.mark.parametrize(
    ("point", "action"),
    [
        (LANDINGS[0], "undo"),
        (LANDINGS[2], "land"),
        *nightly(
            *((point, "land") for point in LANDINGS if point != LANDINGS[2]),
            *((point, "undo") for point in LANDINGS[1:]),
        ),
    ],
)
def test_a_landing_has_one_event_at_any_crash(
    crashing: MakeCrashing, point: str, action: str
) -> None:
    # The undo reaches each failpoint for the second time.
    site, project = crashing(f"{point}#{1 + (action == 'undo')}", files=FILES)
    job = site.submit_once([edit("echo new > new.txt")])
    site.wait_through(job)
    before = project.git("rev-parse", "main")
    if action == "undo":
        done(site, job, "land")

    with pytest.raises(requests.ConnectionError):
        call(site, job, action)
    site.insist(lambda: site.call("GET", f"/jobs/{job}"))

    assert [each.partition("#")[0] for each in site.crashed_at()] == [point]
    if point == "landing: recorded":
        assert stored_kinds(site, job) == ["job_landed"] * (action == "undo")
        done(site, job, action)
    expected = ["job_landed"] + ["landing_undone"] * (action == "undo")
    until(lambda: stored_kinds(site, job) == expected, f"the log has {expected}")
    assert (project.git("rev-parse", "main") == before) == (action == "undo")
    assert len(site.get(f"/jobs/{job}")["landed"]) == (action == "land")
    assert not list((site.workspace / ".landings").iterdir())


def test_a_pull_request_that_the_server_could_not_open_is_in_status_inbox_and_report(
    make_project: MakeProject,
) -> None:
    site, _ = make_project()
    job_id = site.run("Add a file", [edit("echo new > new.txt")])["job_id"]
    store, landings = site.manager.parts.store, site.manager.service.landings
    command = f"land {job_id} --pr"

    def shown() -> list[bool]:
        texts = (
            site.status(job_id)["reason"],
            str(site.get("/needs")["needs"]),
            (site.directory(job_id) / "FINAL_RESULT.md").read_text(),
        )
        return ["Error: no network" in each and command in each for each in texts]

    job = store.job(job_id)
    assert job is not None
    landings.record_pull_request(job, "Error: no network")
    until(lambda: shown() == [True] * 3, "the error is shown")
    landings.record_pull_request(job, "")
    until(lambda: shown() == [False] * 3, "the error is no longer shown")
