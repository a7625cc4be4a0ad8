"""Several agents run the same task. Their results are compared, reviewed, and merged or saved."""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.command_paths import COMMAND
from tests.integration.conftest import MakeCrashing, MakeServer, MakeSite
from tests.integration.site import (
    KEY,
    Answer,
    InProcess,
    complete_lines,
    shell,
    until,
    worker_processes,
)
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

MakeProject = Callable[..., tuple[InProcess, Project]]

#: An agent that gives the answers in the files next to it, one answer per call.
JUDGE = """\
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
with open(here / "asked", "a") as log:
    log.write(json.dumps(sys.stdin.read()) + "\\n")
times = len((here / "asked").read_text().splitlines())
answers = json.loads((here / "answers").read_text())
while answers == "wait":
    time.sleep(0.01)
    answers = json.loads((here / "answers").read_text())
print("I think:", answers[min(times, len(answers)) - 1])
"""

#: Scripts of four candidates: a large change, a small change, a failure, and no change.
SCRIPT = """
case $ORCHESTRATOR_WORKER_ID in
    *_1) seq 50 > numbers.txt;;
    *_2) seq 3 > numbers.txt;;
    *_3) seq 1 > numbers.txt; exit 1;;
    *_4) true;;
esac
"""


def test_a_candidate_has_a_timeout_and_a_context_of_its_own(site: InProcess) -> None:
    """The first candidate is stopped by its own timeout; the second has the task's timeout."""
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) exec sleep 600;; *) echo done;; esac"
    both = [{"name": "shell", "timeout": 0.2}, {"name": "shell", "context": "the second"}]
    ended = site.run("x", [{"command": script, "timeout": 300, "agent": both}])
    first, second = ended["results"]["tasks"]
    assert (first["status"], second["status"]) == ("timeout", "success")
    (task,) = site.get(f"/jobs/{ended['job_id']}")["tasks"]
    assert [each["context"] for each in task["candidate_settings"]] == ["", "the second"]


class Judge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "judge.py").write_text(JUDGE)

    @property
    def settings(self) -> dict[str, Any]:
        return {"judge": {"command": [sys.executable, str(self.folder / "judge.py")]}}

    def answers(self, *answers: str) -> None:
        new = self.folder / "answers.new"
        new.write_text(json.dumps(answers))
        new.replace(self.folder / "answers")

    def waits(self) -> None:
        (self.folder / "answers").write_text('"wait"')

    @property
    def asked(self) -> list[str]:
        return [json.loads(line) for line in complete_lines(self.folder / "asked")]


def ranking(*names: str) -> str:
    return json.dumps({"ranking": [{"worker_id": each, "reason": f"so {each}"} for each in names]})


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path / "judge")


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path, judge: Judge) -> MakeProject:
    """A job manager whose folder is in the project that it works on."""

    def make(**more: Any) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin({"README.md": "hello\n"})
        settings = {"workspace_root": str(project.path / "product" / "workspace")}
        site = make_site(
            orchestrator={"project_root": str(project.path), **settings},
            agents={**agents(tmp_path), **judge.settings},
            **more,
        )
        site.workspace = project.path / "product" / "workspace"
        return site, project

    return make


def candidates_task(count: int, **more: Any) -> Answer:
    """Return a task with several candidates of the same agent."""
    return edit(
        SCRIPT, id="a", title="Count", **{"agent": ["editor"] * count, "retries": 0, **more}
    )


def final(site: InProcess, job_id: str) -> str:
    return (site.directory(job_id) / "FINAL_RESULT.md").read_text()


def level(site: InProcess, job_id: str, depth: int = 0) -> str:
    return (site.directory(job_id) / f"depth_{depth}" / f"LEVEL_{depth}_REPORT.md").read_text()


def compared(site: InProcess, job_id: str, task_id: str = "a") -> Answer:
    found: Answer = site.get(f"/jobs/{job_id}/tasks/{task_id}/candidates")
    return found


def test_the_best_is_merged_given_to_others_and_started_from(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [candidates_task(4), edit("wc -l < numbers.txt > count.txt", id="b", depends_on=["a"])]

    ended = site.run("count", tasks)

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    result = f"orchestrator/{job}/result"
    assert project.show(result, "numbers.txt") == "1\n2\n3"
    assert project.show(result, "count.txt") == "3"
    answered = [each.get("chosen") for each in ended["results"]["tasks"]]
    assert answered == [False, True, False, False, None]
    stored = [each.get("chosen") for each in site.status_file(job)["results"]["tasks"]]
    assert stored == answered
    dependencies = site.directory(job) / "depth_0" / "worker_5" / "dependencies.json"
    assert json.loads(dependencies.read_text())["a"]["worker_id"] == "worker_2"
    # The branches of the other candidates still exist.
    assert len(project.show(f"orchestrator/{job}/worker_1", "numbers.txt").splitlines()) == 50
    assert project.show(f"orchestrator/{job}/worker_3", "numbers.txt") == "1"


def test_a_person_overrules_the_choice_and_goes_back(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, project = make_project()
    tasks = [
        candidates_task(4),
        edit("wc -l < numbers.txt > count.txt", id="b", depends_on=["a"]),
        edit("echo c > c.txt"),
    ]
    job = site.run("count", tasks)["job_id"]
    result = f"orchestrator/{job}/result"
    loser = next(
        each for each in site.status(job)["made_not_in_result"] if each["worker_id"] == "worker_1"
    )
    assert loser["command"] == f"bin/orchestrator choose {job} a worker_1"

    assert run_command(site, "choose", job, "a", "worker_1") == 6

    assert "worker_5" in capfd.readouterr().out
    assert len(project.show(result, "numbers.txt").splitlines()) == 50
    # The child job's changes belong to the other candidate.
    [lost] = site.get(f"/jobs/{job}/conflicts")["missing"]
    assert (lost["worker_id"], lost["cause"]) == ("worker_5", "builds_on")
    assert lost["why"] == "depends on worker_2, which is no longer the chosen candidate"
    found = compared(site, job)
    assert (found["chosen"], found["by"]) == ("worker_1", "person")
    assert [each["place"] for each in found["candidates"]] == [1, 2, 3, 4]
    causes = {each["worker_id"]: each["cause"] for each in site.status(job)["made_not_in_result"]}
    assert causes["worker_2"] == "lost_comparison"
    assert "worker_1" not in causes
    assert site.status(job)["status"] == "partial"

    assert run_command(site, "choose", job, "a", "worker_2") == 0

    assert project.show(result, "numbers.txt") == "1\n2\n3"
    assert project.show(result, "count.txt") == "3"
    assert site.status(job)["status"] == "completed"


@pytest.mark.nightly
def test_what_cannot_be_chosen_is_refused(make_project: MakeProject) -> None:
    site, project = make_project()
    job = site.run("count", [candidates_task(4), edit("echo b > b.txt", id="b")])["job_id"]

    def refused(task: str, worker: str) -> tuple[int, str]:
        answer = site.call("POST", f"/jobs/{job}/tasks/{task}/choice", {"worker_id": worker})
        return answer.status_code, answer.json()["detail"]

    status, detail = refused("a", "worker_3")
    assert (status, f"bin/orchestrator merge {job} --include worker_3" in detail) == (409, True)
    assert refused("a", "worker_5")[0] == 422
    assert refused("b", "worker_5")[0] == 409
    error = f"job {job} has no task 'z'; its tasks: a, b"
    assert refused("z", "worker_1") == (404, error)
    for call in [("GET", "candidates"), ("GET", "question"), ("POST", "approve")]:
        answer = site.call(call[0], f"/jobs/{job}/tasks/z/{call[1]}")
        assert (answer.status_code, answer.json()["detail"]) == (404, error)
    assert project.show(f"orchestrator/{job}/result", "numbers.txt") == "1\n2\n3"


def run_command(site: InProcess, *arguments: str) -> int:
    """Run a command; return its exit code."""
    environ = {
        "PATH": os.environ["PATH"],
        "ORCHESTRATOR_API_URL": site.url,
        "ORCHESTRATOR_API_KEY": KEY,
    }
    return execute(arguments, CliContext(folder=site.folder, environ=environ))


@pytest.mark.nightly
def test_the_answer_has_all_candidates_side_by_side(make_project: MakeProject) -> None:
    site, _ = make_project()

    job = site.run("count", [candidates_task(4)])["job_id"]

    found = compared(site, job)
    assert (found["chosen"], found["by"]) == ("worker_2", "size")
    rows = {each["worker_id"]: each for each in found["candidates"]}
    assert [rows[f"worker_{number}"]["place"] for number in (1, 2, 3, 4)] == [2, 1, 4, 3]
    assert rows["worker_1"]["why"] == "47 more lines"
    assert rows["worker_2"]["why"] == "runner-up worker_1: 47 more lines"
    assert rows["worker_3"]["why"] == "status failed"
    assert rows["worker_4"]["why"] == "no changes"
    assert (rows["worker_1"]["files"], rows["worker_1"]["lines_added"]) == (1, 50)
    assert rows["worker_1"]["branch"] == f"orchestrator/{job}/worker_1"
    assert rows["worker_2"]["chosen"] is True
    answer = site.get(f"/jobs/{job}")
    assert answer["tasks"][0]["chosen"] == "worker_2"
    assert answer["tasks"][0]["candidates"] == ["worker_2", "worker_1", "worker_4", "worker_3"]
    report = final(site, job)
    assert "## Candidates" in report
    assert "47 more lines" in report
    figures = json.loads((site.directory(job) / "reports" / "analytics.json").read_text())
    assert figures["comparisons"][0]["chosen"] == "worker_2"


def test_without_git_the_files_of_candidates_decide(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(agents=agents(tmp_path))
    script = "[ $ORCHESTRATOR_WORKER_ID = worker_1 ] || echo x > $ORCHESTRATOR_WORKER_DIR/made.txt"
    tasks = [
        edit(script, id="a", agent=["editor", "editor"]),
        edit("true", id="b", depends_on=["a"]),
    ]

    ended = site.run("x", tasks)

    found = compared(site, ended["job_id"])
    assert (found["chosen"], found["by"]) == ("worker_2", "size"), found
    assert found["candidates"][1]["why"] == "no changes"
    assert (found["candidates"][0]["files"], found["candidates"][0]["branch"]) == (1, "")
    dependencies = site.directory(ended["job_id"]) / "depth_0" / "worker_3" / "dependencies.json"
    assert json.loads(dependencies.read_text())["a"]["worker_id"] == "worker_2"


@pytest.mark.nightly
@pytest.mark.usefixtures("spawning")
def test_candidates_at_depth_2_are_compared_and_merged(make_project: MakeProject) -> None:
    site, project = make_project()
    tasks = [starting("go on", [starting("count", [candidates_task(2)])])]

    ended = site.run("start", tasks)

    assert ended["status"] == "completed", ended
    job = ended["job_id"]
    assert project.show(f"orchestrator/{job}/result", "numbers.txt") == "1\n2\n3"
    [deepest] = site.get("/jobs?depth=2")["jobs"]
    assert compared(site, deepest["job_id"])["chosen"] == "worker_1_1_2"
    assert "worker_1_1_2 chosen" in level(site, job, 2)
    assert "worker_1_1_2 chosen" in final(site, job)


def starting(request: str, tasks: list[Answer]) -> Answer:
    """Return a task that starts a child job and waits for it."""
    end = f"END_{request.replace(' ', '_')}"
    return edit(
        f"cat > \"$ORCHESTRATOR_WORKER_DIR/tasks.json\" <<'{end}'\n{json.dumps(tasks)}\n{end}\n"
        f'orchestrator spawn "{request}" --tasks "$ORCHESTRATOR_WORKER_DIR/tasks.json" --wait'
    )


def test_a_review_decides_before_the_size_and_sees_what_was_changed(
    make_project: MakeProject, judge: Judge
) -> None:
    site, project = make_project()
    judge.answers(ranking("worker_1", "worker_2"))

    job = site.run("count", [candidates_task(3, review="judge")])["job_id"]

    found = compared(site, job)
    assert (found["chosen"], found["by"]) == ("worker_1", "review")
    assert found["reviewer"]["worker_id"] == "reviewer_1"
    assert found["reviewer"]["status"] == "success"
    assert [each.get("review") for each in found["candidates"]] == [1, 2, None]
    assert found["candidates"][0]["remark"] == "so worker_1"
    [prompt] = judge.asked
    assert "+50\n" in prompt
    assert "1 file changed, 3 lines added, 0 removed" in prompt
    assert "editor" not in prompt.split("compare candidates")[1], (
        "the reviewer does not know the agents"
    )
    assert "worker_3" not in prompt.split("compare candidates")[1]
    patch = site.directory(job) / "depth_0" / "reviewer_1" / "worker_2.patch"
    assert "+3\n" in patch.read_text()
    assert len(project.show(f"orchestrator/{job}/result", "numbers.txt").splitlines()) == 50
    answer = site.get(f"/jobs/{job}")
    [reviewer] = answer["reviewers"]
    assert reviewer["worker_id"] == "reviewer_1"
    # The time of the job includes the review.
    started, ended = (
        datetime.fromisoformat(each) for each in (answer["started_at"], reviewer["ended_at"])
    )
    seconds = pytest.approx((ended - started).total_seconds(), abs=0.01)
    assert (answer["seconds"], site.status(job)["seconds"]) == (seconds, seconds)
    assert site.status_file(job)["seconds"] == seconds
    assert [each["worker_id"] for each in answer["workers"]] == ["worker_1", "worker_2", "worker_3"]
    assert "so worker_2" in level(site, job)
    log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    assert "reviewer_1" in log


@pytest.mark.nightly
def test_a_review_that_makes_no_sense_is_asked_for_again_and_then_ignored(
    make_project: MakeProject, judge: Judge
) -> None:
    site, _ = make_project()
    judge.answers("they are all fine", ranking("worker_1", "worker_9"))

    job = site.run("count", [candidates_task(2, review="judge")])["job_id"]

    found = compared(site, job)
    assert (found["chosen"], found["by"]) == ("worker_2", "size")
    first, second = judge.asked
    assert "Your review was rejected" in second
    assert "Your review was rejected" not in first
    assert found["reviewer"]["status"] == "failed"
    assert "each of worker_1, worker_2 exactly once" in found["reviewer"]["reason"]
    assert "Review not used" in level(site, job)


def test_what_cannot_review_is_refused_at_once(make_project: MakeProject) -> None:
    site, _ = make_project()
    for review, words in (("shell", "cannot review"), ("nobody", "unknown agent 'nobody'")):
        response = site.post("x", tasks=[candidates_task(2, review=review)])
        assert response.status_code == 422, response.text
        assert words in response.text
    response = site.post("x", tasks=[candidates_task(1, review="judge")])
    assert (response.status_code, "at least two agents" in response.text) == (422, True)


@pytest.mark.nightly
def test_a_review_survives_its_server_and_needs_no_git(
    make_server: MakeServer, judge: Judge, tmp_path: Path
) -> None:
    judge.waits()
    server = make_server(agents={**agents(tmp_path), **judge.settings})
    script = "echo $ORCHESTRATOR_WORKER_ID > $ORCHESTRATOR_WORKER_DIR/made.txt"
    job = server.submit("x", [edit(script, id="a", agent=["editor", "editor"], review="judge")])
    until(lambda: judge.asked, "the review has begun")

    server.kill()
    judge.answers(ranking("worker_2", "worker_1"))
    until(lambda: not worker_processes(job), "it is done")
    server.start()

    assert server.wait(job)["status"] == "completed"
    found = server.get(f"/jobs/{job}/tasks/a/candidates")
    assert (found["chosen"], found["by"], len(judge.asked)) == ("worker_2", "review", 1)
    assert "made.txt" in judge.asked[0]


@pytest.mark.parametrize("point", ["worktree: committed", *nightly("attempt: end received")])
def test_a_crash_before_the_choice_is_stored_changes_nothing_of_it(
    crashing: MakeCrashing, point: str
) -> None:
    site, project = crashing(point, files={"README.md": "hello\n"})
    tasks = [candidates_task(2), edit("wc -l < numbers.txt > count.txt", id="b", depends_on=["a"])]
    job = site.submit_once(tasks)
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 40)
    site.crashes = ""
    answer = site.wait_through(job)

    assert answer["status"] == "completed", (answer, site.tail())
    assert project.show(f"orchestrator/{job}/result", "count.txt") == "3"
    log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    assert log.count(" candidate_chosen ") == 1


@pytest.mark.nightly
def test_the_command_shows_the_comparison_with_the_server_up_and_down(
    make_project: MakeProject, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    site, _ = make_project()
    job = site.run("count", [candidates_task(4), edit("true", id="b")])["job_id"]

    up = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    environ = {"PATH": os.environ["PATH"], **up}

    def command(*arguments: str) -> int:
        return execute(arguments, CliContext(folder=site.folder, environ=environ))

    def shown(*arguments: str) -> str:
        capfdbinary.readouterr()
        assert command("compare", job, "a", *arguments) == 0
        return capfdbinary.readouterr().out.decode()

    answer = json.loads(shown("--json"))
    assert answer == compared(site, job)
    text = shown()
    assert "chosen: worker_2 (runner-up worker_1: 47 more lines)" in text
    assert "1 file, +50 -0" in text
    assert "+50\n" in shown("--diff")
    assert set(json.loads(shown("--diff", "--json"))["diffs"]) == {
        "worker_1",
        "worker_3",
        "worker_4",
    }
    assert command("compare", job, "b") == 0
    assert "chosen: worker_5 (the task has one candidate)" in capfdbinary.readouterr().out.decode()
    site.stop()
    environ = {"PATH": os.environ["PATH"]}
    # Times in reports have fewer digits.
    down = json.loads(shown("--json"))
    for each in (*answer["candidates"], *down["candidates"]):
        each["seconds"] = round(each["seconds"], 3)
    assert down == answer
    assert shown() == text
    assert command("compare", job, "nothing") == 3
    # A job's status as a killed server leaves it.
    path = site.directory(job) / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running"}))
    assert command("compare", job, "a") == 1
    error = capfdbinary.readouterr().err.decode()
    assert f"the candidates of unfinished job {job} are unknown without a server" in error


def test_differences_that_cannot_be_shown_are_explained(
    make_project: MakeProject, capfd: pytest.CaptureFixture[str]
) -> None:
    site, _ = make_project()
    tasks = [shell("false", id="failed", retries=0), shell("true", id="plain")]
    job = site.run("x", tasks)["job_id"]
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}

    def refusal(task: str) -> str:
        context = CliContext(folder=site.folder, environ={"PATH": os.environ["PATH"], **environ})
        assert execute(["compare", job, task, "--diff"], context) == 1
        return capfd.readouterr().err

    assert (
        "no candidate is chosen yet, or none succeeded; show the candidates: "
        f"{COMMAND} compare {job} failed\n"
    ) in refusal("failed")
    assert (
        "the chosen candidate worker_2 has no branch with changes; compare the candidates' "
        f"results: {COMMAND} compare {job} plain\n"
    ) in refusal("plain")


@pytest.mark.nightly
def test_the_others_work_outlives_the_job_until_its_result_is_taken(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    first = site.run("count", [candidates_task(3)])["job_id"]
    second = site.run("count", [candidates_task(2)])["job_id"]
    environ = {"PATH": os.environ["PATH"]}
    context = CliContext(folder=site.folder, environ=environ)
    site.stop()
    assert execute(["land", second, "--yes"], context) == 0
    ended = time.time()
    until(lambda: time.time() > ended + 1, "they ended a second ago")

    assert execute(["clean", "--older-than", "0s", "--yes"], context) == 0

    left = project.git("for-each-ref", "--format=%(refname)", "refs/heads/orchestrator")
    names = [each.removeprefix("refs/heads/orchestrator/") for each in left.splitlines()]
    assert names == [f"{first}/result", f"{first}/worker_1", f"{first}/worker_3"]
    assert project.git("for-each-ref", "refs/orchestrator") == ""


@pytest.mark.nightly
def test_a_retry_of_the_job_tries_all_candidates_again_where_none_succeeded(
    make_project: MakeProject, tmp_path: Path
) -> None:
    site, project = make_project()
    script = f"echo $ORCHESTRATOR_WORKER_ID >> tries.txt; test -e '{tmp_path}/go'"
    ended = site.run("x", [edit(script, id="a", agent=["editor", "editor"], retries=0)])
    job = ended["job_id"]
    assert ended["status"] == "failed"
    assert (compared(site, job).get("chosen"), compared(site, job)["by"]) == (None, "")
    (tmp_path / "go").touch()

    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    assert site.wait(job)["status"] == "completed"

    found = compared(site, job)
    assert found["chosen"] in {"worker_1", "worker_2"}
    assert [each["lines_added"] for each in found["candidates"]] == [2, 2]
    chosen = project.show(f"orchestrator/{job}/result", "tries.txt")
    assert set(chosen.splitlines()) == {found["chosen"]}
