"""Agents that only promise, ask, apologize, or report do not succeed, in a real repository."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit

FILES = {"README.md": "hello\n", "src/app.py": "one\n", "tests/test_old.py": "old\n"}
FILES[".gitignore"] = "dist/\n*.csv\nlib/\n"
LIAR = "echo 'I fixed src/app.py. All tests pass.'"
ASKER = "echo 'I looked around. Which database should I use, PostgreSQL or SQLite?'"
APOLOGY = "echo 'I am sorry, but I could not modify the files in this environment.'"
#: Script that checks the prompt of the second attempt.
IN_PROMPT = 'grep -q "{}" "$ORCHESTRATOR_WORKER_DIR/prompt.md"'

Run = Callable[..., Answer]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").begin(FILES)


@pytest.fixture
def site(make_site: MakeSite, tmp_path: Path, project: Project) -> InProcess:
    settings = {"project_root": str(project.path)}
    workers = {"max_retries": 2}
    return make_site(orchestrator=settings, agents=agents(tmp_path), workers=workers)


@pytest.fixture
def run(site: InProcess) -> Run:
    def run(script: str, **task: object) -> Answer:
        tasks = [{"agent": "editor", "prompt": script, **task}]
        return site.run("change the project", tasks, gates="off")

    return run


def only(ended: Answer) -> Answer:
    [row] = ended["results"]["tasks"]
    found: Answer = row
    return found


def failures(site: InProcess, ended: Answer) -> list[str]:
    [worker] = site.get(f"/jobs/{ended['job_id']}")["workers"]
    return [each["failure"]["cause"] for each in worker["attempts"] if "failure" in each]


# -- nothing was changed ------------------------------------------------------------------------


def test_a_builder_that_only_claims_that_all_tests_pass_has_failed(
    site: InProcess, run: Run
) -> None:
    ended = run(LIAR, role="backend")
    row = only(ended)
    assert (ended["status"], row["status"], row["attempts"]) == ("failed", "failed", 2)
    assert "no file was changed" in row["reason"]
    assert failures(site, ended) == ["no_changes", "no_changes"]


def test_a_worker_without_changes_gets_the_failure_and_a_second_attempt(run: Run) -> None:
    second = IN_PROMPT.format("failed because it changed no [f]ile")
    ended = run(f"{LIAR}; if {second}; then echo two >> src/app.py; fi", role="backend")
    row = only(ended)
    assert (row["status"], row["attempts"]) == ("success", 2)
    assert row["files_created"] == ["src/app.py"]


def test_promised_files_and_no_change_at_all_have_failed_and_are_named(run: Run) -> None:
    row = only(run(LIAR, writes=["docs/guide.md", "docs/api.md"]))
    assert row["status"] == "failed"
    assert "promised files are missing: docs/guide.md, docs/api.md" in row["reason"]


def test_a_persons_commit_on_the_branch_counts_as_a_change_after_a_recount(
    site: InProcess, run: Run, project: Project
) -> None:
    ended = run(LIAR)
    job, branch = ended["job_id"], f"orchestrator/{ended['job_id']}/worker_1"
    assert ended["reason"] == "nothing was changed by worker_1"
    project.git("checkout", "-q", branch)
    project.commit({"src/app.py": "by hand\n"})
    project.git("checkout", "-q", "main")

    assert site.call("POST", f"/jobs/{job}/workers/worker_1/recount", {}).status_code == 200

    answer = site.status(job)
    assert (answer["status"], answer["reason"]) == ("completed", "")
    assert only(answer)["files_created"] == ["src/app.py"]


def test_an_output_document_alone_is_no_work_of_a_builder(run: Run) -> None:
    script = 'echo "# Plan: add a cache" > "$ORCHESTRATOR_WORKER_DIR/output.md"'
    assert only(run(script, role="infrastructure"))["status"] == "failed"
    assert only(run(script, role="reviewer"))["status"] == "success"


@pytest.mark.parametrize("role", [None, *nightly("reviewer", "backend")])
def test_an_apology_without_a_change_has_failed_in_every_role(
    site: InProcess, run: Run, role: str | None
) -> None:
    ended = run(APOLOGY, role=role)
    assert only(ended)["status"] == "failed"
    assert "the agent reports that it did not do the work" in only(ended)["reason"]
    assert failures(site, ended) == ["no_changes", "no_changes"]


@pytest.mark.nightly
def test_work_in_the_checkout_is_named_of_a_worker_that_changed_nothing(
    run: Run, project: Project
) -> None:
    row = only(run(f"echo two >> {project.path}/src/app.py; {LIAR}", role="backend"))
    assert row["status"] == "failed"
    assert "your checkout changed while the worker ran: src/app.py" in row["reason"]


def test_work_in_the_checkout_is_named_of_a_worker_that_succeeded(
    site: InProcess, run: Run, project: Project
) -> None:
    ended = run(f"echo two >> {project.path}/src/app.py; echo x > new; echo done")
    committed = run(
        f"git -C {project.path} -c user.name=x -c user.email=x@x commit -qam x; "
        f"echo y > {project.path}/data.csv; rm {project.path}/README.md; echo x > new; echo done"
    )

    assert only(ended)["reason"] == "your checkout changed while the worker ran: src/app.py"
    assert ended["status"] == "completed"
    assert ended["reason"] == "your checkout changed while worker_1 ran: src/app.py"
    final = (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
    assert ended["reason"] in final
    # Ignored files are no work, and the committed file is older than they are.
    files, _, repository = committed["reason"].partition("; ")
    assert files == "your checkout changed while worker_1 ran: README.md"
    assert "branch main moved" in repository


def test_all_workers_are_named_that_ran_when_the_checkout_changed(
    site: InProcess, project: Project, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    meets = "touch {}; until [ -e {} ]; do sleep 0.02; done; {}; sleep 0.2; echo x > {}"
    writes = f"echo 2 >> {project.path}/src/app.py"
    tasks = [
        edit("echo x > first; sleep 0.2", id="first"),
        edit(meets.format(one, two, writes, "a"), id="a", depends_on=["first"]),
        edit(meets.format(two, one, "true", "b"), id="b", depends_on=["first"]),
        edit("sleep 0.2; echo x > last", depends_on=["a", "b"]),
    ]

    ended = site.run("change the project", tasks, gates="off")

    reason = "your checkout changed while worker_2 and worker_3 ran: src/app.py"
    assert (ended["status"], ended["reason"]) == ("completed", reason)


# -- a question ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [None, *nightly("backend")])
def test_a_worker_that_asks_and_waits_has_failed_with_its_question_as_reason(
    site: InProcess, run: Run, role: str | None
) -> None:
    ended = run(ASKER, role=role)
    row = only(ended)
    assert (row["status"], row["attempts"]) == ("failed", 2)
    assert "Which database should I use, PostgreSQL or SQLite?" in row["reason"]
    assert failures(site, ended) == ["asked", "asked"]
    assert only(ended)["asked"] is True
    status_file = json.loads((site.directory(ended["job_id"]) / "status.json").read_text())
    assert status_file["results"]["tasks"][0]["asked"] is True


def test_a_worker_that_asked_is_to_decide_in_its_second_attempt(run: Run) -> None:
    second = IN_PROMPT.format("[d]ecide yourself, write")
    ended = run(f"if {second}; then echo sqlite > src/db.py; echo done; else {ASKER}; fi")
    assert (only(ended)["status"], only(ended)["attempts"]) == ("success", 2)


def test_a_question_after_a_change_is_an_offer(run: Run) -> None:
    row = only(run(f"echo two >> src/app.py; {ASKER}", role="backend"))
    assert (row["status"], row["attempts"]) == ("success", 1)


# -- child jobs that end after the worker's process ------------------------------------------------

_CHILD = json.dumps([{"agent": "editor", "prompt": "sleep 1; SCRIPT; echo done", "role": None}])
#: Command that starts a child job without waiting for it.
DELEGATES = (
    f"cat > ../c.json <<'END'\n{_CHILD}\nEND\n"
    "orchestrator spawn child --tasks ../c.json; echo 'All is done.'"
)


@pytest.mark.parametrize(
    ("script", "status", "attempts"),
    [("true", "failed", 2), *nightly(("echo two >> src/app.py", "recursive_success", 1))],
)
def test_a_worker_that_delegates_all_is_judged_when_its_child_jobs_have_ended(
    run: Run, script: str, status: str, attempts: int
) -> None:
    ended = run(DELEGATES.replace("SCRIPT", script), role="backend", retries=1)
    row = only(ended)
    assert (row["status"], row["attempts"]) == (status, attempts), ended
    assert ("no file was changed" in row["reason"]) is (status == "failed")


# -- half a promise -----------------------------------------------------------------------------


def test_half_a_promise_is_partial_until_a_retry_keeps_the_other_half(
    site: InProcess, run: Run
) -> None:
    second = IN_PROMPT.format("[p]romised files are missing: docs/b.md")
    ended = run(
        f"mkdir -p docs; if {second}; then echo b > docs/b.md; else echo a > docs/a.md; fi; echo",
        writes=["docs/a.md", "docs/b.md"],
    )
    row, job = only(ended), ended["job_id"]
    assert (row["status"], row["missing"]) == ("success", ["docs/b.md"])
    assert row["reason"] == "promised files are missing: docs/b.md"
    assert (ended["status"], ended["merge_state"]) == ("partial", "merged")
    command = f"bin/orchestrator retry {job}"
    assert ended["reason"] == f"worker_1: {row['reason']}; to create the files: {command}"
    [lost] = ended["missing"]
    assert (lost["cause"], lost["paths"], lost["command"]) == ("not_made", ["docs/b.md"], command)
    assert ended["made_not_in_result"] == [], "no worker created the file"
    assert ended["reason"] in (site.directory(job) / "FINAL_RESULT.md").read_text()
    # A repeated merge creates nothing.
    assert site.call("POST", f"/jobs/{job}/merge", {}).status_code == 200
    assert site.status(job)["status"] == "partial"

    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    again = site.wait(job)

    assert (again["status"], again["reason"], again["missing"]) == ("completed", "", [])
    assert only(again)["files_created"] == ["docs/a.md", "docs/b.md"]
    report = (site.directory(job) / "FINAL_RESULT.md").read_text()
    assert "Attempt 1 succeeded: promised files are missing: docs/b.md." in report


def test_a_retry_that_fails_names_the_half_that_was_delivered_before(
    site: InProcess, run: Run, project: Project
) -> None:
    second = IN_PROMPT.format("[p]romised files are missing: b.md")
    ended = run(
        f"if {second}; then echo broken > a.md; exit 3; else echo a > a.md; echo; fi",
        writes=["a.md", "b.md"],
        retries=0,
    )
    job = ended["job_id"]
    assert site.call("POST", f"/jobs/{job}/retry", {}).status_code == 202
    ended = site.wait(job)

    assert ended["status"] == "failed"
    back = f"bin/orchestrator rollback {job} worker_1 1-after --yes"
    take = f"bin/orchestrator merge {job} --include worker_1"
    assert "; worker_1: the files of attempt 1 are not in the result" in ended["reason"]
    assert ended["reason"].endswith(f"to merge them: {back} && {take}")

    path = f"/jobs/{job}/workers/worker_1/rollback"
    assert site.call("POST", path, {"checkpoint": "1-after"}).status_code == 200
    assert site.call("POST", f"/jobs/{job}/merge", {"take": ["worker_1"]}).status_code == 200
    assert project.show(f"orchestrator/{job}/result", "a.md") == "a"
    assert "the files of attempt" not in site.status(job)["reason"]


def test_a_promised_file_that_another_worker_creates_is_not_missing(site: InProcess) -> None:
    tasks = [
        {"agent": "editor", "prompt": "echo a > a.md; echo ok", "writes": ["a.md", "b.md"]},
        {"agent": "editor", "prompt": "echo b > b.md; echo ok"},
    ]
    ended = site.run("x", tasks)
    assert (ended["status"], ended["reason"]) == ("completed", "")


def test_a_promised_file_that_git_ignores_is_saved_and_named(site: InProcess, run: Run) -> None:
    script = "mkdir -p dist/js; echo x > dist/js/app.js; echo 1,2 > data.csv; echo built"
    ended = run(script, writes=["dist/", "*.csv"], role="frontend")
    row = only(ended)
    assert (row["status"], row["saved"]) == ("success", ["data.csv", "dist/js/app.js"])
    # Landing does not bring these files into the project.
    why = "git ignores promised files, saved only in the worker's directory: dist/, *.csv"
    assert (ended["status"], ended["reason"]) == ("partial", f"not in the result: worker_1 ({why})")
    [outside] = ended["made_not_in_result"]
    assert (outside["cause"], outside["branch"], outside["command"]) == ("left_out", "", "")
    final = (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()
    assert "| **Not merged** | worker_1 (git ignores promised files, saved only in " in final
    assert row["reason"] in final
    saved = Path(row["workspace"]) / "files"
    assert (saved / "dist/js/app.js").read_text() == "x\n"
    assert (saved / "data.csv").read_text() == "1,2\n"
    assert "dist/js/app.js" in row["reason"]


@pytest.mark.parametrize(
    ("makes", "status"),
    [
        ("echo x > dist/app.js; echo two > src/app.py", "partial"),
        *nightly(
            ("echo x > dist/app.js; git add -f dist/app.js", "completed"),
            ("echo x > dist/app.js; echo > .gitignore", "completed"),
        ),
        # The result has a promised file, and the task does not name the ignored files.
        ("touch dist/app.js src/x.csv; echo two > README.md", "completed"),
    ],
)
def test_a_job_is_partial_if_git_ignores_all_files_of_a_promise(
    run: Run, makes: str, status: str
) -> None:
    promised = ["src/"] if "x.csv" in makes else ["dist/app.js"]
    ended = run(f"mkdir -p dist; {makes}; echo done", writes=promised)
    assert (ended["status"], only(ended)["status"]) == (status, "success"), ended["reason"]


def test_a_new_source_that_git_ignores_is_saved_and_named(site: InProcess, run: Run) -> None:
    written = ["lib/guide.md", "lib/schema.sql", "lib/test_util.py", "lib/util.py"]
    created = ["lib/out/a.py", "dist/b.py", "lib/c.csv", "lib/test-results/e.md", "lib/.cache/f.md"]
    script = "mkdir -p lib/out lib/test-results lib/.cache dist; echo 'x = 1' | tee "
    script += " ".join([*written, *created])
    ended = run(f"{script}; echo 'import util' >> src/app.py; echo done", role="backend")
    row = only(ended)
    assert (ended["status"], row["saved"]) == ("completed", written)
    assert "lib/util.py" in ended["reason"]
    assert (Path(row["workspace"]) / "files" / "lib/util.py").read_text() == "x = 1\n"


def test_a_source_that_git_ignores_is_no_change_of_the_result(run: Run) -> None:
    row = only(run("mkdir lib; echo 'x = 1' > lib/util.py; echo done", role="backend", retries=0))
    assert (row["status"], row["saved"]) == ("failed", ["lib/util.py"])


def test_a_source_that_the_checkout_ignores_too_is_not_named(project: Project, run: Run) -> None:
    (project.path / "lib").mkdir()
    (project.path / "lib/util.py").write_text("x = 0\n")
    script = "mkdir -p lib; echo 'x = 1' > lib/util.py; echo 'import util' >> src/app.py; echo done"
    row = only(run(script, role="backend"))
    assert (row["status"], row["saved"], row["reason"]) == ("success", [], "")


def test_an_empty_directory_keeps_no_promise_because_git_does_not_commit_it(run: Run) -> None:
    script = "mkdir -p logs/empty docs; echo a > docs/a.md; echo done"
    ended = run(script, writes=["logs/", "docs/"])
    assert ended["status"] == "partial"
    assert only(ended)["missing"] == ["logs/"]


def test_a_pattern_a_directory_and_a_removal_keep_a_promise(run: Run) -> None:
    script = "git rm -q tests/test_old.py; mkdir docs; echo a > docs/a.md; echo done"
    row = only(run(script, role="testing", writes=["tests/test_old.py", "docs/", "**/*.md"]))
    assert (row["status"], row["reason"], row["missing"]) == ("success", "", [])


def test_a_link_out_of_the_worktree_keeps_no_promise(run: Run) -> None:
    elsewhere = 'd="$ORCHESTRATOR_WORKER_DIR/out"; mkdir "$d"; echo x > "$d/a.md"'
    links = 'ln -s "$d" gen; ln -s "$d/a.md" a.md; ln -s none b.md; ln -s README.md c.md'
    ended = run(f"{elsewhere}; {links}; echo done", writes=["gen/a.md", "a.md", "b.md", "c.md"])
    assert ended["status"] == "partial"
    assert only(ended)["missing"] == ["gen/a.md", "a.md", "b.md"]


@pytest.mark.nightly
def test_a_job_whose_result_has_only_such_a_link_is_partial(site: InProcess) -> None:
    linked = {"agent": "editor", "prompt": "ln -s none b.md", "writes": ["b.md"]}
    other = {"agent": "editor", "prompt": "echo x > c.md"}
    ended = site.run("change the project", [linked, other], gates="off")
    assert ended["status"] == "partial"
    assert "b.md" in ended["reason"]


# -- without a worktree -------------------------------------------------------------------------

IN_PROJECT = {"workdir": "project"}


@pytest.fixture(params=["own", *nightly("project")])
def bare(
    make_site: MakeSite, tmp_path: Path, project: Project, request: pytest.FixtureRequest
) -> Run:
    """A project without git."""
    shutil.rmtree(project.path / ".git")
    site = make_site(
        orchestrator={"project_root": str(project.path)},
        agents=agents(tmp_path),
        workers={"max_retries": 2},
    )

    def run(script: str, **task: object) -> Answer:
        tasks = [{"agent": "editor", "prompt": script, "workdir": request.param, **task}]
        return site.run("change the project", tasks, gates="off")

    return run


def test_a_worker_that_only_talks_has_failed_also_without_a_worktree(bare: Run) -> None:
    by_role, by_promise = bare(LIAR, role="backend"), bare(LIAR, writes=["docs/api.md"])
    unclear = bare(LIAR)

    for ended in (by_role, by_promise):
        row = only(ended)
        assert (ended["status"], row["status"], row["attempts"]) == ("failed", "failed", 2)
        assert "no file was changed" in row["reason"]
    assert "promised files are missing: docs/api.md" in only(by_promise)["reason"]
    assert (unclear["status"], unclear["reason"]) == (
        "completed",
        "nothing was changed by worker_1",
    )


def test_a_worker_that_creates_only_caches_has_changed_nothing(bare: Run) -> None:
    caches = "mkdir -p src/__pycache__ .pytest_cache; echo x > src/__pycache__/app.pyc; "
    ended = bare(f"{caches} echo x > .pytest_cache/v; echo 'All tests pass.'", role="backend")

    assert (ended["status"], only(ended)["attempts"]) == ("failed", 2)
    assert "no file was changed" in only(ended)["reason"]


def test_a_promise_is_checked_also_without_a_worktree(bare: Run) -> None:
    half = bare("mkdir docs; echo a > docs/a.md; echo done", writes=["docs/a.md", "docs/b.md"])
    whole = bare("mkdir -p lib; echo x > lib/x.py; echo done", writes=["lib/", "**/*.py"])

    assert only(half)["missing"] == ["docs/b.md"]
    assert half["reason"].startswith("worker_1: promised files are missing: docs/b.md")
    assert half["status"] == "partial"
    assert (whole["status"], whole["reason"]) == ("completed", "")


def test_a_link_to_a_file_elsewhere_keeps_no_promise_without_a_worktree_either(bare: Run) -> None:
    links = "ln -s /etc etc; ln -s /etc/hostname a.md; ln -s none b.md"
    inside = "echo x > d.md; ln -s d.md c.md; echo done"
    promised = ["etc/hostname", "a.md", "b.md", "c.md"]
    ended = bare(f"{links}; {inside}", writes=promised)

    assert ended["status"] == "partial"
    assert only(ended)["missing"] == promised[:3]


def test_work_in_the_project_is_work_of_a_worker_with_a_directory_of_its_own(
    bare: Run, project: Project
) -> None:
    ended = bare(f"echo two >> {project.path}/src/app.py; echo done", role="backend")

    assert (ended["status"], only(ended)["attempts"]) == ("completed", 1)
    assert only(ended)["unchanged"] is False


@pytest.mark.parametrize("has_git", [True, *nightly(False)])
@pytest.mark.parametrize(
    ("place", "then", "lacking"),
    [
        (IN_PROJECT, "git init -q .; git clean -fdxq", True),
        (IN_PROJECT, "git rm -qf src/app.py || rm src/app.py", False),
        ({"workdir": "own"}, "rm ../worker_1/dist/app.js", True),
        ({"workdir": "own"}, "mv ../worker_1/dist .", False),
    ],
)
def test_a_promised_file_that_is_removed_later_without_a_worktree_is_missing(
    site: InProcess, project: Project, has_git: bool, place: Answer, then: str, lacking: bool
) -> None:
    if not has_git:
        shutil.rmtree(project.path / ".git")
    makes = "mkdir -p dist src; echo x > dist/app.js; echo two > src/app.py"
    made = {"id": "a", "command": makes, "writes": ["dist/app.js", "src/app.py"], **place}
    ended = site.run("build", [made, {"command": then, "depends_on": ["a"], **place}], gates="off")

    rows = [row["status"] for row in ended["results"]["tasks"]]
    assert rows == ["success", "success"]
    missing = "worker_1: promised files are missing: dist/app.js; to create the files: "
    assert ended["status"] == ("partial" if lacking else "completed")
    assert ended["reason"].startswith(missing) is lacking


@pytest.mark.parametrize(
    ("then", "lacking"),
    [
        ("rm docs/new.md", True),
        *nightly(("git mv docs/new.md docs/other.md", True), ("rm src/app.py", False)),
        ("git checkout HEAD~1 src/app.py; mkdir lib; mv docs/new.md lib", True),
        ("echo x >> docs/new.md", False),
    ],
)
def test_a_promised_file_that_a_later_branch_removes_is_missing(
    site: InProcess, then: str, lacking: bool
) -> None:
    makes = "mkdir docs; echo x > docs/new.md; echo two > src/app.py"
    made = edit(makes, id="a", writes=["docs/new.md", "src/app.py"])
    tasks = [made, edit(then, id="b", depends_on=["a"], writes=["src/app.py"] * (not lacking))]
    ended = site.run("build", tasks, gates="off")

    assert [row["status"] for row in ended["results"]["tasks"]] == ["success", "success"], ended
    missing = "worker_1: promised files are missing: docs/new.md; to create the files: "
    assert ended["status"] == ("partial" if lacking else "completed"), ended
    assert ended["reason"].startswith(missing) is lacking
    # Another attempt of the first worker changes nothing: the later branch removes the file again.
    assert (f"continue {ended['job_id']} 'Create docs/new.md'" in ended["reason"]) is lacking


@pytest.mark.parametrize("task", [{"role": "reviewer"}, *nightly({"files": ["src/app.py"]})])
def test_good_work_stays_completed_without_a_worktree(bare: Run, task: Answer) -> None:
    explains = bare("echo 'It maps URLs to views.'", title="Explain how the views work", **task)
    assert (explains["status"], explains["reason"]) == ("completed", ""), explains


def test_a_command_is_held_to_its_promise_wherever_it_works(run: Run, project: Project) -> None:
    ignored = "mkdir -p dist; echo x > dist/app.js"
    shell = {"agent": "shell", "prompt": "", "retries": 0}

    built = run("", **shell, **IN_PROJECT, command=ignored, writes=["dist/app.js"])
    lacking = run("", **shell, **IN_PROJECT, command="true", writes=["dist/b.js"])
    own = run("", **shell, command="echo x > report.txt", writes=["report.txt", "lost.txt"])

    assert (built["status"], built["reason"]) == ("completed", "")
    assert lacking["status"] == "failed"
    assert "promised files are missing: dist/b.js" in only(lacking)["reason"]
    assert only(own)["missing"] == ["lost.txt"]


# -- unresolved conflicts -----------------------------------------------------------------------

#: A merge of the user's branch, which conflicts in README.md.
MERGE = "echo ours > README.md; git commit -qam ours; git merge -q theirs || true"


@pytest.fixture
def theirs(project: Project) -> None:
    project.git("switch", "-q", "-c", "theirs")
    project.commit({"README.md": "theirs\n"})
    project.git("switch", "-q", "main")


@pytest.mark.usefixtures("theirs")
def test_conflicts_that_an_agent_leaves_unresolved_are_no_work(site: InProcess, run: Run) -> None:
    ended = run(f"{MERGE}; echo Done.", retries=0)

    assert (ended["status"], only(ended)["status"]) == ("failed", "failed")
    assert only(ended)["reason"] == (
        "unfinished work in git: unresolved conflicts in README.md; unfinished merge; "
        "conflict markers remain in README.md"
    )
    assert failures(site, ended) == ["broken worktree"]


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("then", [":", *nightly("git add README.md", "git commit -qam both")])
def test_conflicts_that_an_agent_resolves_without_git_add_are_work(
    run: Run, project: Project, then: str
) -> None:
    ended = run(f"{MERGE}; echo both > README.md; {then}; echo Done.", retries=0)

    assert ended["status"] == "completed"
    assert project.show(f"orchestrator/{ended['job_id']}/result", "README.md") == "both"


# -- good work stays good -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "task"),
    [
        ("echo 'It maps URLs to views. Would you like me to explain more?'", {}),
        ("git rm -q tests/test_old.py; echo 'Removed the old test.'", {"role": "testing"}),
        *nightly(
            ("echo 'The parser is fine. Let me know if you want a longer review.'", {}),
            ("echo 'I could not find any problem in src/app.py.'", {"role": "reviewer"}),
            ("echo 'Why is it slow? Because of src/app.py.'", {"files": ["src/app.py"]}),
        ),
    ],
)
def test_good_work_stays_completed(run: Run, script: str, task: Answer) -> None:
    ended = run(script, **task)
    assert (ended["status"], only(ended)["attempts"]) == ("completed", 1), ended


def test_a_success_without_changes_is_marked_as_unchanged(run: Run) -> None:
    assert only(run("echo 'It maps URLs to views.'"))["unchanged"] is True
    assert only(run("echo 2 > two; echo done"))["unchanged"] is False


@pytest.mark.parametrize("path", ["/etc/passwd", "~/a", "../a", "src/../../a", ".."])
def test_a_path_outside_of_the_project_cannot_be_promised(site: InProcess, path: str) -> None:
    task = {"agent": "editor", "prompt": "x", "writes": [path]}
    response = site.post("change", [task])
    assert response.status_code == 422
    assert f"{path!r} is not a path in the project" in response.json()["detail"]
