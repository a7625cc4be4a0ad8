"""Gates on the changes of workers, with real pytest, ruff, and mypy, and a real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import (
    Answer,
    InProcess,
    shell,
    until,
    worker_processes,
)
from tests.support.examples import nightly
from tests.support.project import Project, agents, edit, python_programs

#: Options that disable the plugins of this environment, because loading them takes too long.
PLAIN = "-p no:schemathesis -p no:hypothesispytest -p no:xdist -p no:anyio"
TESTS = "from app import one\n\n\ndef test_one():\n    assert one() == 1\n"
FILES = {
    "app.py": "def one():\n    return 1\n",
    "tests/__init__.py": "",
    "tests/test_app.py": TESTS,
    "pyproject.toml": f"[tool.pytest.ini_options]\naddopts = '{PLAIN}'\n",
    ".gitignore": "__pycache__/\n",
}
MakeProject = Callable[..., tuple[InProcess, Project]]


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put pytest, ruff, and mypy of this Python on the path."""
    monkeypatch.setenv("PATH", python_programs(tmp_path / "programs"))


@pytest.fixture
def make_project(make_site: MakeSite, tmp_path: Path) -> MakeProject:
    """Create a project, and a job manager whose folder is in the project."""

    def make(
        files: dict[str, str] = FILES, part: str = "", **more: Any
    ) -> tuple[InProcess, Project]:
        project = Project(tmp_path / "project").begin(files)
        workspace = project.path / "product" / "workspace"
        settings = {"project_root": str(project.path / part), "workspace_root": str(workspace)}
        site = make_site(orchestrator=settings, agents=agents(tmp_path), **more)
        site.workspace = workspace
        return site, project

    return make


def worker(site: InProcess, job_id: str) -> Answer:
    found: Answer = site.get(f"/jobs/{job_id}")["workers"][0]
    return found


def results(site: InProcess, job_id: str) -> dict[str, Answer]:
    return {each["name"]: each for each in worker(site, job_id)["gates"]}


def statuses(site: InProcess, job_id: str) -> dict[str, str]:
    return {name: each["status"] for name, each in results(site, job_id).items()}


def test_a_detected_gate_that_fails_is_in_the_reason_and_repaired_in_the_next_attempt(
    make_project: MakeProject,
) -> None:
    site, project = make_project()
    script = (
        "if grep -q 2 app.py; then sed -i 's/2/1  # again/' app.py; else sed -i s/1/2/ app.py; fi"
    )

    ended = site.run("x", [edit(script, retries=1)])

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    why = "gate pytest failed: tests.test_app::test_one: assert 2 == 1"
    assert worker(site, job)["attempts"][0]["reason"].startswith(why)
    assert statuses(site, job) == {"secrets": "passed", "pytest": "passed"}
    assert results(site, job)["pytest"]["tests"] == 1
    # The worktree of the gates' run on the base is removed in the background.
    until(lambda: project.worktrees() == [], "no worktree is left")
    assert (site.directory(job) / "logs" / "gate_worker_1.pytest.2.log").exists()
    events = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    assert "gate=pytest status=passed" in events
    assert "pytest" in (site.directory(job) / "FINAL_RESULT.md").read_text()
    level = site.directory(job) / "depth_0" / "LEVEL_0_REPORT.md"
    assert "| pytest | passed |" in level.read_text()


@pytest.mark.parametrize(
    ("attempts", "subjects"),
    [
        ("fold", ["tidy", "work"]),
        *nightly(("keep", ["tidy", "work", "third", "second", "first"])),
    ],
)
def test_commits_of_refused_attempts_are_part_of_the_next(
    make_project: MakeProject, attempts: str, subjects: list[str]
) -> None:
    site, project = make_project(git={"attempts": attempts})
    commit = "git add --all; git commit -q -m"
    script = f"""
    n=$(cat n.txt 2>/dev/null || echo 0); echo $((n + 1)) > n.txt
    case $n in
      0) echo a > a.txt; {commit} first;;
      1) echo b > b.txt; {commit} second;;
      *) echo c > c.txt; {commit} third; echo d > d.txt; {commit} tidy; exit 0;;
    esac"""
    task = edit(script, title="work", retries=2, gates=["test -e b.txt", "test -e c.txt"])

    ended = site.run("x", [task], max_retries=2)

    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{ended['job_id']}/worker_1"
    found = project.git("log", "--format=%s", f"main..{branch}").splitlines()
    assert [each for each in found if each != "work" or attempts == "fold"] == [
        each for each in subjects if each != "work" or attempts == "fold"
    ]
    assert {"a.txt", "b.txt", "c.txt", "d.txt"} <= set(project.files(branch))
    if attempts == "fold":
        message = project.git("log", "-1", "--format=%B", f"{branch}~1")
        assert message.startswith("work\n\n- first\n- second\n- third\n\nOrchestrator-Job: ")
    assert project.git("fsck", "--no-dangling") == ""


def test_a_failure_at_the_base_does_not_block_and_the_base_is_checked_twice(
    make_project: MakeProject, effects: Path
) -> None:
    broken = {**FILES, "tests/test_old.py": "def test_old():\n    assert False\n"}
    site, _ = make_project(broken)
    count = f"echo ran >> {effects}; pytest -q --junitxml=$ORCHESTRATOR_GATE_REPORT"
    gates = [{"name": "tests", "run": count, "report": "junit"}]

    ended = site.run("x", [edit("echo x > x.txt"), edit("echo y > y.txt")], gates=gates)

    assert ended["status"] == "completed", ended
    for each in site.get(f"/jobs/{ended['job_id']}")["workers"]:
        [found] = each["gates"]
        assert (found["status"], found["known"], found["tests"]) == ("known", 1, 1)
    # One run for each worker, two on the base, and one on the merged state.
    assert effects.read_text().count("ran") == 5


def test_only_new_findings_of_ruff_and_mypy_count(make_project: MakeProject) -> None:
    old = "import os\n\n\ndef f() -> int:\n    return 'x'\n"
    config = "[tool.ruff]\n[tool.mypy]\nfiles = ['old.py', 'new.py']\n"
    site, _ = make_project({"old.py": old, "new.py": "", "pyproject.toml": config})
    script = "sed -i '1i # moved down' old.py; printf 'import sys\\nx: int = 1\\n' > new.py"

    ended = site.run("x", [edit(script)])

    found = results(site, ended["job_id"])
    assert "new.py:1: F401 `sys` imported but unused" in found["ruff"]["failures"]
    assert all(each.startswith("new.py") for each in found["ruff"]["failures"])
    assert (found["ruff"]["known"], found["mypy"]["status"]) == (1, "known")
    assert ended["status"] == "failed"


@pytest.mark.needs("npm")
def test_scripts_of_npm_are_run_as_they_were_at_the_base(make_project: MakeProject) -> None:
    scripts = {"test": "node check.js", "lint": "node --check one.js"}
    package = json.dumps({"name": "x", "scripts": scripts})
    check = "process.exit(require('./one.js') === 1 ? 0 : 1)"
    site, _ = make_project(
        {"package.json": package, "one.js": "module.exports = 1", "check.js": check}
    )
    weaken = "sed -i 's/node check.js/true/' package.json; echo 'module.exports = 2' > one.js"

    ended = site.run("x", [edit(weaken)])

    assert ended["results"]["tasks"][0]["reason"] == "gate npm-test failed: exit code 1"
    found = results(site, ended["job_id"])
    assert found["npm-lint"]["status"] == "passed"
    note = "the change modifies settings of this gate: package.json"
    assert found["npm-test"]["note"] == note


def test_a_worker_cannot_pass_by_removing_or_skipping_tests(make_project: MakeProject) -> None:
    site, _ = make_project()
    tasks = [
        edit("sed -i s/1/2/ app.py; git rm -q tests/test_app.py; echo > tests/test_new.py"),
        edit("sed -i 's/^def/import pytest\\n@pytest.mark.skip\\ndef/' tests/test_app.py"),
        edit("echo 'del test_one' >> tests/test_app.py"),
        edit("echo 'collect_ignore = [\"tests\"]' > conftest.py"),
        edit("mkdir tests/unit; touch tests/unit/__init__.py; git mv tests/test_app.py tests/unit"),
    ]

    ended = site.run("x", tasks)

    reasons = [row["reason"] for row in ended["results"]["tasks"]]
    assert all("test_one: passed on the base commit" in reason for reason in reasons[:4]), reasons
    assert ended["results"]["tasks"][4]["status"] == "success", reasons
    found = site.get(f"/jobs/{ended['job_id']}")["workers"][3]["gates"][1]
    assert found["note"] == "the change modifies settings of this gate: conftest.py"


def test_a_secret_in_added_lines_blocks_and_is_not_shown(make_project: MakeProject) -> None:
    site, project = make_project({"a.txt": ""})
    key = "ghp" + "_" + "a1B2" * 9

    ended = site.run("x", [edit(f"echo 'token: {key}' > config.txt")])

    assert ended["status"] == "failed"
    [found] = worker(site, ended["job_id"])["gates"]
    failure = found["failures"][0]
    assert failure.startswith("config.txt:1: GitHub token (value not shown), added by commit ")
    assert len(found["failures"]) == 1
    assert "you need not remove it from earlier commits" in found["note"]
    # The commit's subject comes from the prompt, which contained the key.
    assert key not in project.git("log", "--all", "--format=%B")


def test_a_secret_that_is_removed_again_is_not_in_the_result(make_project: MakeProject) -> None:
    site, project = make_project({"a.txt": ""})
    key = "ghp" + "_" + "a1B2" * 9
    who = "-c user.name=a -c user.email=a@b"
    script = (
        f"if test -e b.txt; then echo 'no token' > b.txt; else echo 'token: {key}' > b.txt;"
        f" git add .; git {who} commit -qm own; echo more > c.txt; fi"
    )

    ended = site.run("x", [edit(script, retries=1)])

    job = ended["job_id"]
    assert ended["status"] == "completed", ended
    assert statuses(site, job) == {"secrets": "passed"}
    branch = f"orchestrator/{job}/result"
    assert key not in project.git("log", "-p", branch)
    assert project.show(branch, "b.txt") == "no token"
    assert project.show(branch, "c.txt") == "more"
    # Nothing is lost: the checkpoint has the changes.
    checkpoint = f"refs/orchestrator/{job}/checkpoint/worker_1/1-after"
    assert key in project.git("log", "-p", checkpoint)


def test_a_secret_that_one_commit_adds_and_another_removes_blocks(
    make_project: MakeProject,
) -> None:
    site, project = make_project({"a.txt": ""})
    key = "ghp" + "_" + "a1B2" * 9
    commit = "git add . && git -c user.name=a -c user.email=a@b commit -qm x"
    script = f"echo 'token: {key}' > b.txt; {commit}; echo none > b.txt; {commit}"

    ended = site.run("x", [edit(script)])

    assert ended["status"] == "failed"
    [found] = worker(site, ended["job_id"])["gates"]
    again = site.run("y", [edit(f"test -e b.txt || {{ {script}; }}", retries=1)])
    assert again["status"] == "completed", "the files have nothing any more"
    assert key not in project.git("log", "-p", f"orchestrator/{again['job_id']}/result")
    commit = project.git("rev-parse", f"orchestrator/{ended['job_id']}/worker_1~1")[:12]
    assert found["failures"] == [
        f"b.txt:1: GitHub token (value not shown), added by commit {commit}"
    ]


def test_gates_leave_the_worktree_as_it_was_committed(make_project: MakeProject) -> None:
    site, project = make_project({"a.txt": "a\n", ".gitignore": "*.tmp\n"})
    gate = "echo changed > a.txt; echo new > b.txt; git commit -qam x; touch c.tmp; mkdir -p d/e"

    ended = site.run("x", [edit("echo x > x.txt")], gates=[gate, "test ! -e b.txt"])

    assert ended["status"] == "completed", ended
    branch = f"orchestrator/{ended['job_id']}/result"
    assert project.files(branch) == [".gitignore", "a.txt", "x.txt"]
    assert project.show(branch, "a.txt") == "a"


def test_a_gate_runs_when_a_changed_file_matches(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    gates = [
        {"name": "docs", "run": "exit 1", "when": ["docs/**"]},
        {"name": "advisory", "run": "exit 1", "required": False},
        {"name": "text", "run": "test -d .", "when": ["*.txt"]},
    ]

    ended = site.run("x", [edit("echo x > x.txt")], gates=gates)

    assert ended["status"] == "completed", ended
    # The gate that is not required has the same failure on the base commit.
    assert statuses(site, ended["job_id"]) == {
        "docs": "skipped",
        "advisory": "known",
        "text": "passed",
    }


def test_only_gates_that_run_are_reported_as_started(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    docs = {"name": "docs", "run": "exit 1", "when": ["docs/**"]}
    text = {"name": "text", "run": "test -d .", "when": ["*.txt"]}
    tasks = [shell("true"), edit("echo x > x.txt")]

    ended = site.run("x", tasks, gates=[docs, text], git="on")

    assert ended["status"] == "completed", ended
    log = (site.directory(ended["job_id"]) / "logs" / "orchestrator.log").read_text()
    started = [line for line in log.splitlines() if " gates_started " in line]
    assert [line.partition(" gates=")[2] for line in started] == ['["text"]'], started


def test_patterns_begin_where_the_project_is_in_its_repository(make_project: MakeProject) -> None:
    site, _ = make_project({"part/src/a.txt": "", "other/a.txt": ""}, part="part")
    gates = [
        {"name": "own", "run": "test -e src/a.txt", "when": ["src/**"]},
        {"name": "top", "run": "exit 1", "when": ["part/src/**"]},
        {"name": "beside", "run": "test -d .", "when": ["../other/*.txt"]},
        {"name": "any", "run": "test -d .", "when": ["b.txt"]},
    ]

    ended = site.run("x", [edit("echo x > src/a.txt; echo x > ../other/b.txt")], gates=gates)

    assert ended["status"] == "completed", ended
    expected = {"own": "passed", "top": "skipped", "beside": "passed", "any": "passed"}
    assert statuses(site, ended["job_id"]) == expected


def test_gates_of_a_task_judge_only_this_task(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    tasks = [
        edit("echo x > x.txt", gates=["test -s x.txt"]),
        edit("true", gates=["test -s y.txt"]),
        shell("echo z > z.txt", gates=["test -s z.txt"]),
        shell("true", gates=["test -s z.txt"]),
    ]

    ended = site.run("x", tasks)

    rows = ended["results"]["tasks"]
    assert [row["status"] for row in rows] == ["success", "failed", "success", "failed"], rows
    assert rows[1]["reason"] == "gate test-s-y-txt failed: exit code 1"


@pytest.mark.nightly
def test_a_missing_program_fails_only_a_requested_gate(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = make_project({"Cargo.toml": "", "a.txt": ""})
    monkeypatch.setattr("orchestrator.engine.gates.gate_process.which", lambda *_, **__: None)

    detected = site.run("x", [edit("echo x > x.txt")])
    requested = site.run("y", [edit("echo x > x.txt")], gates=["cargo-test"])
    command = site.run("z", [edit("echo x > x.txt")], gates=["no-such-program --at-all"])

    assert detected["status"] == "completed"
    note = results(site, detected["job_id"])["cargo-test"]["note"]
    assert note == "cargo is not installed here"
    assert (requested["status"], command["status"]) == ("failed", "failed")
    assert "did not run" in command["results"]["tasks"][0]["reason"]


def test_a_gate_that_hangs_is_ended_with_all_that_it_started(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    hang = {"name": "hang", "run": "trap '' TERM; sleep 300 & sleep 300", "timeout": 0.5}

    ended = site.run("x", [edit("echo x > x.txt")], gates=[{**hang, "baseline": "none"}])

    assert ended["status"] == "failed"
    assert "timed out after 0.5 s" in ended["results"]["tasks"][0]["reason"]
    assert worker_processes(ended["job_id"]) == []


def test_a_gate_that_leaves_a_daemon_or_prints_without_end(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    daemon = "setsid -f sleep 300; test -s x.txt"
    flood = "yes 'a line of a flood' | head -c 200000000; exit 3"

    ended = site.run(
        "x",
        [edit("echo x > x.txt", gates=[daemon, flood])],
    )

    job = ended["job_id"]
    by_status = sorted(statuses(site, job).values())
    assert by_status == ["failed", "passed", "passed"]
    assert worker_processes(job) == []
    logs = list((site.directory(job) / "logs").glob("gate_*"))
    assert len(logs) == 2
    assert sum(path.stat().st_size for path in logs) < 20_000_000


def test_a_cancel_ends_the_gate_that_runs(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    job = site.submit("x", [edit("echo x > x.txt")], gates=["sleep 300"])
    until(lambda: worker(site, job)["reason"].startswith("running gate"), "the gate runs")
    until(lambda: list((site.directory(job) / "logs").glob("gate_*")), "it has a log")

    site.call("POST", f"/jobs/{job}/cancel")
    ended = site.wait(job)

    assert ended["status"] == "cancelled"
    assert ended["results"]["tasks"][0]["status"] == "cancelled"
    assert worker_processes(job) == []


def test_a_cancel_ends_a_baseline_that_no_other_job_waits_for(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})
    gate = "if [ -e x.txt ]; then exit 1; fi; sleep 300"
    job = site.submit("x", [edit("echo x > x.txt")], gates=[gate])
    until(lambda: list((site.directory(job) / "logs").glob("gate_base_*")), "the base is looked at")

    site.call("POST", f"/jobs/{job}/cancel")

    assert site.wait(job)["status"] == "cancelled"
    until(lambda: worker_processes(job) == [], "the baseline is ended")


def test_a_child_job_has_its_parents_gates_and_cannot_drop_them(
    make_project: MakeProject, spawning: None
) -> None:
    site, _ = make_project({"a.txt": ""})
    inner = '{"agent": "editor", "prompt": "echo bad > bad.txt"}'
    body = f'{{"request": "inner", "config": {{"gates": "off"}}, "tasks": [{inner}]}}'
    script = (
        f"curl -s -H \"X-API-Key: $ORCHESTRATOR_API_KEY\" -H 'Content-Type: application/json' "
        f"-d '{body}' $ORCHESTRATOR_API_URL/api/v1/orchestrate > answer.tmp; cat answer.tmp; "
        "echo x > x.txt"
    )
    gate = "test ! -e bad.txt"

    ended = site.run("x", [edit(script)], gates=[gate])

    [row] = ended["results"]["tasks"]
    child = site.get(f"/jobs/{row['child_job_id']}")
    assert [each["run"] for each in child["config"]["gates"]] == [gate]
    assert child["workers"][0]["reason"] == "gate test-e-bad-txt failed: exit code 1"


def test_the_repositorys_own_file_names_the_gates(make_project: MakeProject) -> None:
    own = "gates:\n- {name: mine, run: 'test ! -e x.txt'}\n- secrets\n"
    site, _ = make_project({".orchestrator/gates.yaml": own, "a.txt": ""})
    weaken = "echo x > x.txt; echo 'gates: []' > .orchestrator/gates.yaml"

    ended = site.run("x", [edit(weaken)])
    off = site.run("y", [edit(weaken)], gates="off")

    assert ended["results"]["tasks"][0]["reason"] == "gate mine failed: exit code 1"
    assert (off["status"], worker(site, off["job_id"])["gates"]) == ("completed", [])


@pytest.mark.parametrize("source", ["repository", *nightly("request")])
def test_each_line_of_a_gate_with_several_lines_counts(
    make_project: MakeProject, source: str
) -> None:
    gate = {"name": "mine", "run": "test ! -e x.txt\necho checked\n"}
    in_repository = source == "repository"
    own = json.dumps({"gates": [gate] if in_repository else []})
    site, _ = make_project({".orchestrator/gates.yaml": own, "a.txt": ""})

    ended = site.run("x", [edit("echo x > x.txt")], **({} if in_repository else {"gates": [gate]}))

    assert ended["results"]["tasks"][0]["reason"] == "gate mine failed: exit code 1"


def test_an_invalid_gate_is_rejected_with_the_reason(make_project: MakeProject) -> None:
    site, _ = make_project({"a.txt": ""})

    unknown = site.post("x", [edit("true")], gates=["npm-test"])
    twice = site.post(
        "x", [edit("true")], gates=[{"name": "a", "run": "x"}, {"name": "a", "run": "y"}]
    )

    assert (unknown.status_code, twice.status_code) == (422, 422)
    assert "unknown gate 'npm-test'" in unknown.json()["detail"]
    assert "duplicate gate name 'a'" in twice.json()["detail"]


@pytest.mark.parametrize(("modules", "attempts"), [("os os os os", 2), ("os sys re io", 4)])
def test_the_same_findings_twice_end_an_agents_retries_and_others_do_not(
    make_project: MakeProject, modules: str, attempts: int
) -> None:
    site, _ = make_project({"app.py": "", "pyproject.toml": "[tool.ruff]\n"})
    script = (
        "count=$ORCHESTRATOR_WORKER_DIR/count; echo >> $count; n=$(wc -l < $count); "
        'for i in $(seq $n); do echo "# $n"; done > new.py; '
        f"set -- {modules}; shift $((n - 1)); echo import $1 >> new.py; echo attempt $n"
    )

    ended = site.run("x", [edit(script, retries=3)], gates=["ruff"])

    found = worker(site, ended["job_id"])
    assert [len(found["attempts"]), found["status"]] == [attempts, "failed"], found["reason"]
    assert ("had the same failure" in found["reason"]) is (attempts == 2)
