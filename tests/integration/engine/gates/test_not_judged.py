"""Sources that no gate checked, or that no test imported, although gates passed."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from orchestrator.cli.output.job_summary import summary_lines
from tests.integration.engine.gates.conftest import PLAIN, MakeProject, gates, reasons
from tests.integration.site import Answer, InProcess
from tests.support.project import edit

TESTS = """import os
import runpy
import subprocess
import sys

from app import one


def test_one():
    assert one() == 1


def test_tools():
    assert subprocess.run([sys.executable, "tools/exits.py"]).returncode == 0
    runpy.run_path("tools/run.py")
    if os.path.exists("plugins/loaded.py"):
        path = os.path.abspath("plugins/loaded.py")
        exec(compile(open(path).read(), path, "exec"))
"""
FILES = {
    "pytest.ini": f"[pytest]\naddopts = {PLAIN}\npythonpath = .\n",
    "app.py": "def one():\n    return 1\n",
    "old.js": "old()\n",
    "tools/exits.py": "import os\n\nos._exit(0)\n",
    "tools/run.py": "DONE = 1\n",
    # Python imports the first file that it finds.
    "sitecustomize.py": "import app\n",
    "tests/test_app.py": TESTS,
    ".gitignore": "__pycache__/\n",
}
#: Files on which pytest gives no verdict.
ALONE = "mkdir -p web src; echo '((' > web/app.js; echo 'int m(' > m.c; echo 'x = (' > src/x.py"
#: Files that need no gate: documents, data, configuration, markup, tests, and files that tests run
#: without an import.
QUIET = """
mkdir -p docs static templates plugins pkg tests/data .github web/vendor
echo '# more' | tee -a app.py tools/exits.py tools/run.py > plugins/loaded.py
echo 'DONE = 2' >> plugins/loaded.py
: > pkg/__init__.py; echo '# nothing yet' > pkg/later.py
for each in setup.py docs/conf.py noxfile.py conftest.py tests/data/sample.py web/vendor/lib.py
do echo 'X = 1' > $each; done
for each in README.md data.json schema.sql static/style.css templates/page.html Dockerfile Makefile
do echo more > $each; done
for each in static/lib.min.js jest.config.js .eslintrc.cjs tests/data/sample.js web/a.test.js x.d.ts
do echo 'let x' > $each; done
echo 'def test_more(): pass' > tests/test_more.py
git rm -q old.js
"""


def final(site: InProcess, ended: Answer) -> str:
    return (site.directory(ended["job_id"]) / "FINAL_RESULT.md").read_text()


@pytest.fixture
def site(make_project: MakeProject) -> InProcess:
    return make_project(FILES)[0]


def test_sources_that_no_gate_checked_are_named(site: InProcess) -> None:
    default = site.run("x", [edit(f"{ALONE}; echo '# more' >> app.py")])
    failing = site.run("y", [edit("mkdir -p web; echo '((' > web/app.js")], unjudged="fail")

    why = (
        "passed pytest; not judged: m.c (no gate for C); web/app.js (no gate for JavaScript); "
        "no test imports src/x.py"
    )
    assert (default["status"], default["reason"]) == ("completed", f"judged in part: {why}")
    files = [
        {"path": "m.c", "language": "C", "cause": "no_gate"},
        {"path": "src/x.py", "language": "Python", "cause": "not_imported"},
        {"path": "web/app.js", "language": "JavaScript", "cause": "no_gate"},
    ]
    stored = json.loads((site.directory(default["job_id"]) / "status.json").read_text())
    for answer in (default, site.get(f"/jobs/{default['job_id']}"), stored):
        assert (answer["not_judged"], answer["unjudged_files"]) == (why, files)
    assert f"Note: judged in part: {why}" in summary_lines(default, 300)
    assert f"judged in part: {why}" in final(site, default)
    assert failing["status"] == "failed"
    assert failing["reason"] == "not judged: web/app.js (no gate for JavaScript)"


def test_the_reason_names_the_requested_gates_and_the_failed_tests(site: InProcess) -> None:
    breaks = edit("sed -i s/1/2/ app.py")

    secrets = site.run("x", [breaks], gates=["secrets"])
    failing = site.run("y", [breaks], gates=["pytest -q"])

    assert secrets["reason"] == "not judged: only the gate secrets was requested"
    why = "gate pytest-q failed: exit code 1: tests/test_app.py::test_one - assert 2 == 1"
    assert reasons(failing) == [why]


def test_work_that_is_judged_and_what_is_no_source_stay_quiet(site: InProcess) -> None:
    ended = site.run("x", [edit(QUIET)], unjudged="fail")

    assert (ended["status"], ended["reason"]) == ("completed", ""), reasons(ended)
    assert gates(site, ended)["pytest"]["outcome"] == "passed"
    assert ended["unjudged_files"] == []


@pytest.mark.nightly
def test_a_linter_and_own_gates_count_for_the_files_that_they_check(
    site: InProcess,
) -> None:
    alone = edit(ALONE.replace("x = (", "import os  # noqa"))
    own = {"name": "own", "run": "test -e web/app.js", "when": ["*.c", "web/"]}

    linted = site.run("x", [alone], gates=["pytest", "ruff", own], unjudged="fail")
    any_file = site.run("y", [alone], gates=["pytest", "test -e web/app.js"], unjudged="fail")
    of_task = site.run("z", [edit(ALONE, gates=["test -e m.c"]), edit("echo 'x()' > b.js")])

    noted = "new comments switch off ruff: src/x.py:1"
    assert (linted["status"], linted["reason"]) == ("completed", noted), reasons(linted)
    assert gates(site, linted)["ruff"]["switched_off"] == ["src/x.py:1"]
    assert (any_file["status"], any_file["reason"]) == ("completed", ""), reasons(any_file)
    why = "passed test-e-m-c, pytest; not judged: b.js (no gate for JavaScript)"
    assert of_task["reason"] == f"judged in part: {why}"


@pytest.mark.nightly
def test_modules_are_not_named_if_python_reports_no_executed_files(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -E`` ignores ``PYTHONPATH``, so it reports no executed files."""
    program = tmp_path / "programs" / "pytest"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -E -m pytest "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    site, _ = make_project(FILES)

    ended = site.run("x", [edit(ALONE)])

    assert gates(site, ended)["pytest"]["outcome"] == "passed", gates(site, ended)
    assert [each["path"] for each in ended["unjudged_files"]] == ["m.c", "web/app.js"]
