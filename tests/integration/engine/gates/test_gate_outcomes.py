"""A gate that checks nothing does not pass. With real pytest and a real server."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.follow.tree_progress import TreeProgress
from orchestrator.cli.output.job_summary import summary_lines
from tests.integration.engine.gates.test_gates import (
    FILES,
    PLAIN,
    MakeProject,
    make_project,
    programs,
    results,
    statuses,
    worker,
)
from tests.integration.site import Answer, InProcess
from tests.support.examples import nightly
from tests.support.project import edit

__all__ = ["make_project", "programs"]

CONFIG = f"[tool.pytest.ini_options]\naddopts = '{PLAIN}'\n"
JUNIT = "pytest -q --junitxml=$ORCHESTRATOR_GATE_REPORT"
BREAKS = "sed -i s/1/2/ app.py"


def outcome(site: InProcess, ended: Answer, gate: str) -> tuple[Any, ...]:
    found = results(site, ended["job_id"])[gate]
    return found["outcome"], found.get("cause"), found["blocks"]


def merge(site: InProcess, ended: Answer) -> str:
    return (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()


@pytest.mark.nightly
@pytest.mark.slow
def test_tests_that_cannot_run_at_the_base_did_not_run(make_project: MakeProject) -> None:
    needs = "import a_package_that_is_missing\nfrom app import one\n\n\ndef test(): assert one()\n"
    site, _ = make_project({**FILES, "tests/test_app.py": needs})

    detected = site.run("x", [edit(BREAKS)])
    requested = site.run("y", [edit(BREAKS)], gates=["pytest"])

    why = (
        "tests already fail on the base commit: "
        "ModuleNotFoundError: No module named 'a_package_that_is_missing'"
    )
    assert detected["status"] == "completed"
    assert outcome(site, detected, "pytest") == ("did_not_run", "fails_at_base", False)
    assert results(site, detected["job_id"])["pytest"]["note"] == why
    assert "secrets: passed; pytest: did not run (" in merge(site, detected)
    assert requested["status"] == "failed"
    assert worker(site, requested["job_id"])["reason"] == f"gate pytest did not run: {why}"


@pytest.mark.parametrize(
    "gate",
    [
        {"name": "none", "run": "pytest -q -k no_such_test"},
        *nightly(
            {"name": "none", "run": f"{JUNIT} -k no_such_test", "report": "junit"},
            {
                "name": "none",
                "run": "echo '?   	example.com/x	[no test files]'",
                "report": "go",
            },
            {"name": "none", "run": "printf 'No tests found, exiting with code 0'"},
        ),
    ],
    ids=["pytest exit code 5", "junit", "go", "jest --passWithNoTests"],
)
def test_a_report_without_a_test_is_no_pass_also_where_the_gate_is_required(
    make_project: MakeProject, gate: dict[str, object]
) -> None:
    site, _ = make_project()

    ended = site.run("x", [edit(BREAKS)], gates=[{**gate, "required": True}])

    assert ended["status"] == "failed"
    assert outcome(site, ended, "none") == ("did_not_run", "no_tests", True)
    assert worker(site, ended["job_id"])["reason"] == "gate none did not run: no tests found"


def test_a_requested_gate_whose_directory_is_missing_blocks(make_project: MakeProject) -> None:
    site, _ = make_project({"app.py": FILES["app.py"], "pyproject.toml": CONFIG})
    mine = {"name": "mine", "run": JUNIT.replace("-q", "-q tests"), "report": "junit"}

    ended = site.run("x", [edit(BREAKS)], gates=["auto", {**mine, "required": True}])

    assert ended["status"] == "failed", ended
    assert outcome(site, ended, "mine") == ("did_not_run", "fails_at_base", True)
    assert "gate mine did not run: " in worker(site, ended["job_id"])["reason"]


NO_NODE_MODULES = {
    "a module": {"test": "node test.js"},
    "a program": {"test": "one-that-nobody-has"},
}


@pytest.mark.slow
@pytest.mark.needs("npm", "node")
@pytest.mark.parametrize("what", ["a module", *nightly("a program")])
def test_without_node_modules_nothing_is_judged(what: str, make_project: MakeProject) -> None:
    """The import of a dependency fails, or a dependency's program is missing."""
    package = {"scripts": NO_NODE_MODULES[what], "dependencies": {"one-that-nobody-has": "1"}}
    files = {"package.json": json.dumps(package), "test.js": "require('one-that-nobody-has')\n"}
    site, _ = make_project(files)

    detected = site.run("x", [edit("echo '// more' >> test.js")])
    requested = site.run("y", [edit("echo '// more' >> test.js")], gates=["npm-test"])

    assert outcome(site, detected, "npm-test") == ("did_not_run", "program_missing", False)
    assert "gate npm-test did not run: node_modules is missing" in str(detected["reason"])
    assert detected["status"] == "completed", detected
    assert requested["status"] == "failed", requested
    why = "gate npm-test did not run: node_modules is missing"
    assert worker(site, requested["job_id"])["reason"].startswith(why)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_detected_gate_without_tests_does_not_block_and_is_no_pass(
    make_project: MakeProject,
) -> None:
    site, _ = make_project({"app.py": FILES["app.py"], "pyproject.toml": CONFIG})

    ended = site.run("x", [edit(BREAKS)])

    assert ended["status"] == "completed"
    assert outcome(site, ended, "pytest") == ("did_not_run", "no_tests", False)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_worker_that_removes_all_tests_has_failed(make_project: MakeProject) -> None:
    site, _ = make_project()

    ended = site.run("x", [edit("rm -r tests")])

    assert ended["status"] == "failed"
    assert statuses(site, ended["job_id"])["pytest"] == "failed"


@pytest.mark.nightly
@pytest.mark.slow
def test_a_test_that_failed_once_of_two_runs_at_the_base_excuses_nothing(
    make_project: MakeProject, effects: Path
) -> None:
    """The base's first run of the test fails; its second run passes. The test also fails for the
    worker.
    """
    site, _ = make_project()
    flaky = (
        f"echo >> {effects}; runs=$(wc -l < {effects}); "
        f"if [ $runs = 2 ]; then sed -i s/1/2/ app.py; fi; {JUNIT}"
    )
    gates = [{"name": "tests", "run": flaky, "report": "junit"}]

    ended = site.run("x", [edit(BREAKS)], gates=gates)

    assert ended["status"] == "failed"
    assert effects.read_text().count("\n") == 3
    found = results(site, ended["job_id"])["tests"]
    assert found["failures"] == ["tests.test_app::test_one: assert 2 == 1 + where 2 = one()"]
    note = "two runs on the base commit gave different results: tests.test_app::test_one"
    assert found["note"].endswith(note)


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", ["kill -9 $$", *nightly("sleep 300")], ids=["killed", "out of time"]
)
def test_a_base_run_that_was_killed_or_out_of_time_excuses_nothing(
    make_project: MakeProject, end: str
) -> None:
    site, _ = make_project()
    at_base = f"if grep -q 'return 1' app.py; then {end}; fi; {JUNIT}"
    gates = [{"name": "tests", "run": at_base, "report": "junit", "timeout": 5}]

    ended = site.run("x", [edit(BREAKS)], gates=gates)

    assert ended["status"] == "failed"
    assert outcome(site, ended, "tests") == ("failed", None, True)


@pytest.mark.nightly
@pytest.mark.slow
def test_what_fails_in_both_runs_of_the_base_is_excused(make_project: MakeProject) -> None:
    old = {**FILES, "tests/test_old.py": "def test_old():\n    assert False\n"}
    site, _ = make_project(old)

    ended = site.run("x", [edit("echo >> app.py")])

    assert ended["status"] == "completed"
    assert outcome(site, ended, "pytest") == ("passed", None, False)
    assert results(site, ended["job_id"])["pytest"]["known"] == 1


@pytest.mark.nightly
@pytest.mark.slow
def test_a_test_that_fails_for_another_reason_than_at_the_base_is_not_excused(
    make_project: MakeProject,
) -> None:
    old = "import app, tempfile\n\n\ndef test_old():\n    open(tempfile.mkdtemp() + '/none')\n"
    site, _ = make_project(
        {**FILES, "tests/test_old.py": old.replace("open", "app.one() and open")}
    )

    same = site.run("x", [edit("echo >> app.py")])
    other = site.run("y", [edit("sed -i '1i two = 2' app.py; echo 'del one' >> app.py")])
    worse = site.run("z", [edit("printf 'def one():\\n    return one_more\\n' > app.py")])

    assert same["status"] == "completed", same
    assert results(site, same["job_id"])["pytest"]["known"] == 1
    assert other["status"] == worse["status"] == "failed"
    differs = "tests.test_old::test_old: fails for another reason than on the base commit: "
    [finding] = (
        each
        for each in results(site, worse["job_id"])["pytest"]["failures"]
        if each.startswith(differs)
    )
    assert "NameError: name 'one_more' is not defined (base: FileNotFoundError: " in finding


@pytest.mark.slow
def test_the_baseline_of_a_gate_is_stored_for_the_next_job(
    make_project: MakeProject, effects: Path
) -> None:
    old = {**FILES, "tests/test_old.py": "def test_old():\n    assert False\n"}
    site, _ = make_project(old)
    gates = [{"name": "tests", "run": f"echo >> {effects}; {JUNIT}", "report": "junit"}]

    for request in ("x", "y"):
        assert site.run(request, [edit("echo >> app.py")], gates=gates)["status"] == "completed"

    # One run for the worker, one for the merged state, and two of the base for both jobs.
    assert effects.read_text().count("\n") == 2 + 2 + 2
    assert len(list((site.workspace / "base_results").glob("*.json"))) == 1


def test_a_change_to_code_that_no_gate_checked_is_not_judged(make_project: MakeProject) -> None:
    """Scripts and targets that pass on every change do not count as gates."""
    constant = {
        "package.json": json.dumps({"scripts": {"test": "exit 0", "lint": "echo ok"}}),
        "Makefile": "test:\n\t@echo none yet\n",
    }
    site, _ = make_project({"app.py": FILES["app.py"], "README.md": "An app.\n", **constant})

    code = site.run("x", [edit(BREAKS)])
    documents = site.run("y", [edit("echo more >> README.md")])
    requested = site.run("z", [edit(BREAKS, gates=["grep -q 2 app.py"])])
    failing = site.run("w", [edit(BREAKS)], unjudged="fail")

    assert (code["status"], code["reason"]) == (
        "completed",
        "not judged: no gate tested the changes (no tests found)",
    )
    assert code["not_judged"] == "no gate tested the changes (no tests found)"
    assert "Note: not judged: no gate tested the changes (no tests found)" in summary_lines(
        code, 100
    )
    assert "not judged: no gate tested the changes (no tests found)" in merge(site, code)
    assert (documents["status"], documents["reason"]) == ("completed", "")
    assert (requested["status"], requested["reason"]) == ("completed", "")
    assert (failing["status"], failing["reason"]) == (
        "failed",
        "not judged: no gate tested the changes (no tests found)",
    )


def test_a_requested_gate_that_always_succeeds_does_not_count_as_passed(
    make_project: MakeProject,
) -> None:
    """The worker's scripts count, so a job may replace a script that checks nothing."""
    scripts = json.dumps({"scripts": {"check": "grep -q x app.py || true"}})
    site, _ = make_project({"app.py": FILES["app.py"], "package.json": scripts})
    real = json.dumps({"scripts": {"check": "grep -q return app.py"}})
    makes_real = edit(f"{BREAKS}\necho {shlex.quote(real)} > package.json")

    constant = site.run("x", [edit(BREAKS)], gates=["npm run check"])
    mended = site.run("y", [makes_real], gates=["npm run check"])
    refused = site.post("z", [edit(BREAKS)], gates=["grep -q x app.py || true"])

    why = "its command always succeeds, so it judges nothing"
    assert constant["status"] == "failed"
    assert outcome(site, constant, "npm-run-check") == ("did_not_run", "always_succeeds", True)
    assert worker(site, constant["job_id"])["reason"] == f"gate npm-run-check did not run: {why}"
    assert (mended["status"], mended["unjudged_gates"]) == ("completed", [])
    assert refused.status_code == 422
    assert "'grep -q x app.py || true' always succeeds" in refused.json()["detail"]


def test_a_required_gate_that_did_not_run_has_not_judged_though_another_passed(
    make_project: MakeProject,
) -> None:
    needs = "import a_package_that_is_missing\n\n\ndef test(): pass\n"
    site, _ = make_project({**FILES, "tests/test_app.py": needs})
    also = ["auto", {"name": "lint", "run": "grep -q return app.py"}]
    advice = ["lint", {"name": "pytest", "required": False}]
    gates = {"gates": also}
    unrun = (
        "gate pytest did not run: tests already fail on the base commit: "
        "ModuleNotFoundError: No module named 'a_package_that_is_missing'"
    )
    why = f"passed lint; {unrun}"

    default = site.run("x", [edit(BREAKS)], **gates)
    failing = site.run("y", [edit(BREAKS)], unjudged="fail", **gates)
    documents = site.run("z", [edit("echo more >> README.md")], unjudged="fail", **gates)
    advisory = site.run("w", [edit(BREAKS)], unjudged="fail", gates=[also[1], advice[1]])

    assert (default["status"], default["reason"]) == ("completed", f"judged in part: {why}")
    assert (failing["status"], failing["reason"]) == ("failed", f"judged in part: {why}")
    for answer in (default, site.get(f"/jobs/{default['job_id']}")):
        assert answer["not_judged"] == why
        [gate] = answer["unjudged_gates"]
        assert (gate["name"], gate["cause"]) == ("pytest", "fails_at_base")
    stored = json.loads((site.directory(default["job_id"]) / "status.json").read_text())
    assert stored["not_judged"] == why
    assert stored["unjudged_gates"] == default["unjudged_gates"]
    assert f"Note: judged in part: {why}" in summary_lines(default, 300)
    assert f"judged in part: {why}" in merge(site, default)
    assert documents["status"] == "completed"
    assert documents["unjudged_gates"] == []
    assert (advisory["status"], advisory["reason"]) == ("completed", unrun)


def test_with_unjudged_fail_in_the_settings_such_a_job_has_failed(
    make_project: MakeProject,
) -> None:
    site, _ = make_project({"app.py": FILES["app.py"]}, gates={"unjudged": "fail"})

    assert site.run("x", [edit(BREAKS)])["status"] == "failed"
    assert site.run("y", [edit("echo more >> README.md")])["status"] == "completed"
    assert site.run("z", [edit(BREAKS)], gates="off")["status"] == "completed"


@pytest.mark.nightly
def test_the_reason_names_why_the_gates_of_a_change_did_not_run(make_project: MakeProject) -> None:
    needs = "import a_package_that_is_missing\n\n\ndef test(): pass\n"
    site, _ = make_project({**FILES, "tests/test_app.py": needs})

    ended = site.run("x", [edit(BREAKS)])

    assert ended["status"] == "completed"
    assert ended["reason"] == (
        "not judged: gate pytest did not run: tests already fail on the base commit: "
        "ModuleNotFoundError: No module named 'a_package_that_is_missing'"
    )


def test_an_advisory_gate_that_fails_is_in_the_reason(make_project: MakeProject) -> None:
    site, _ = make_project()
    gates = ["auto", {"name": "lint", "run": "exit 3", "required": False, "baseline": "none"}]

    ended = site.run("x", [edit("echo >> app.py")], gates=gates)

    assert ended["status"] == "completed"
    assert ended["reason"] == "advisory gate lint failed: exit code 3"
    assert ended["results"]["tasks"][0]["reason"] == "advisory gate lint failed: exit code 3"


HIDES = "exit code 0, although the output reports failed tests: 1 failed"


@pytest.mark.parametrize("run", ["pytest -q | grep .", *nightly("make -i test")])
def test_a_gate_that_hides_failed_tests_has_not_passed(make_project: MakeProject, run: str) -> None:
    site, _ = make_project({**FILES, "pyproject.toml": CONFIG, "Makefile": "test:\n\tpytest -q\n"})
    gate = {"name": "tests", "run": run}

    ended = site.run("x", [edit(BREAKS)], gates=[gate])

    assert ended["status"] == "failed"
    assert worker(site, ended["job_id"])["reason"].startswith(f"gate tests failed: {HIDES}")


@pytest.mark.nightly
def test_failed_tests_that_a_gate_hides_are_excused_if_they_fail_at_the_base(
    make_project: MakeProject,
) -> None:
    site, _ = make_project(
        {**FILES, "pyproject.toml": CONFIG, "test_fails.py": "def test_f(): assert 0\n"}
    )
    gate = {"name": "tests", "run": "pytest -q | grep ."}

    ended = site.run("x", [edit("echo '# a note' >> app.py")], gates=[gate])

    reason = f"not judged: gate tests did not run: already fails on the base commit: {HIDES}"
    assert ended["status"] == "completed"
    assert ended["reason"].startswith(reason)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_candidate_whose_gate_did_not_run_is_not_taken_before_one_that_passed(
    make_project: MakeProject,
) -> None:
    """The first candidate has the smaller change, but no gate checks it."""
    site, _ = make_project(FILES)
    script = (
        'if [ "$ORCHESTRATOR_WORKER_ID" = worker_1 ]; then echo > killed; echo "# a" >> app.py; '
        "else printf '# a\\n# b\\n# c\\n' >> app.py; fi"
    )
    gate = {"name": "tests", "run": "if [ -e killed ]; then kill -9 $$; fi; " + JUNIT}
    gates = [{**gate, "report": "junit", "required": False}]

    ended = site.run("x", [edit(script, agent=["editor", "editor"])], gates=gates)

    assert [each["chosen"] for each in ended["results"]["tasks"]] == [False, True]


@pytest.mark.slow
def test_events_and_the_terminal_name_the_gate_and_the_commit_that_it_checks(
    make_project: MakeProject,
) -> None:
    old = {**FILES, "tests/test_old.py": "def test_old():\n    assert False\n"}
    site, _ = make_project(old)

    ended = site.run("x", [edit("echo >> app.py")])

    stream = site.call("GET", f"/jobs/{ended['job_id']}/events").text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    runs = [each for each in events if each["kind"].startswith("gate_run_")]
    assert [(each["kind"], each["data"]["on"]) for each in runs] == [
        ("gate_run_started", "worker_1"),
        ("gate_run_ended", "worker_1"),
        ("gate_run_started", "base commit"),
        ("gate_run_ended", "base commit"),
        ("gate_run_started", "merged result"),
        ("gate_run_ended", "merged result"),
        # The check of the merged result reuses the run on the base commit.
    ]
    assert all(each["data"]["seconds"] > 0 for each in runs if each["kind"] == "gate_run_ended")
    progress = TreeProgress()
    lines = [line for each in events if (line := progress.record(each))]
    assert "worker_1: running gate pytest on the base commit" in lines
    assert "running gate pytest on the merged result" in lines
    assert site.get("/stats")["gates"] == {"passed": 2, "failed": 0, "did_not_run": 0}
