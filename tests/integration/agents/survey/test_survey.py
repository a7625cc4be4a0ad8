"""The survey as a worker process, with and without child jobs: its files, output, and exit code.

Child jobs run with a small replacement of the ``orchestrator`` command. It runs the workers of a
child job one after another, and prints the job's final status, as the job manager does.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
import pytest
from markdown_it import MarkdownIt

from orchestrator.agents.survey import command
from orchestrator.agents.survey.assignment.request_analysis import NOTHING_BUILT
from tests.support.examples import nightly
from tests.unit.agents.survey.trees import commit, git, plant

REPOSITORY = Path(__file__).parents[4]
PLAIN = {"id": "1", "title": "Survey", "prompt": "Survey it", "request": "Survey this project"}

#: Starts with the shell, because this Python's path may have a space. The stand-in leaves no
#: result, or fails, for tasks whose files have these names.
STAND_IN = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import json, os, pathlib, subprocess, sys
_, verb, request, flag, plan, *rest = sys.argv
assert (verb, flag, rest) == ("spawn", "--tasks", ["--wait", "--json"])
tasks = json.loads(pathlib.Path(plan).read_text())
log = pathlib.Path(os.environ["STAND_IN_LOG"])
with log.open("a") as stream:
    stream.write(json.dumps([request, len(tasks), os.environ["ORCHESTRATOR_DEPTH"]]) + "\\n")
if code := int(os.environ.get("STAND_IN_EXIT", "0")):
    sys.exit(code)
rows, broken = [], os.environ.get("STAND_IN_BREAKS")
for number, task in enumerate(tasks, 1):
    worker = pathlib.Path.cwd() / f"child_{{request.replace('/', '_')}}_{{number}}"
    worker.mkdir(parents=True)
    (worker / "task.json").write_text(json.dumps({{**task, "request": request}}))
    depth = str(int(os.environ["ORCHESTRATOR_DEPTH"]) + 1)
    own = {{"ORCHESTRATOR_DEPTH": depth, "ORCHESTRATOR_WORKER_DIR": str(worker)}}
    environment = {{**os.environ, **own}}
    status = "failed"
    if task["files"] != [broken]:
        ended = subprocess.run({argv!r}, cwd=worker, env=environment, stdout=sys.stderr)
        status = "success" if ended.returncode == 0 else "failed"
    rows.append({{"worker_id": f"worker_1_{{number}}", "task_id": task["id"], "status": status,
                 "workspace": str(worker)}})
ok = all(row["status"] == "success" for row in rows)
print(json.dumps({{"status": "completed" if ok else "partial", "results": {{"tasks": rows}}}}))
sys.exit(0 if ok else 6)
"""


@dataclass(frozen=True)
class Ended:
    """A survey worker that has ended."""

    code: int
    output: str
    errors: str
    directory: Path

    @property
    def report(self) -> str:
        return (self.directory / "output.md").read_text(encoding="utf-8")

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "result.json").read_text())
        return content


def run_survey(
    project: Path, directory: Path, task: dict[str, Any] | None = None, **environment: str
) -> Ended:
    """Run one worker in ``directory`` on ``project`` and wait for it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "task.json").write_text(json.dumps(task or PLAIN), encoding="utf-8")
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "ORCHESTRATOR_PROJECT_ROOT": str(project),
        "ORCHESTRATOR_WORKER_DIR": str(directory),
        **environment,
    }
    done = subprocess.run(
        command(sys.executable),
        cwd=directory,
        env=variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, directory)


@pytest.fixture
def recursion(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a worker that can start child jobs with the stand-in."""
    program = tmp_path / "bin" / "orchestrator"
    program.parent.mkdir()
    text = STAND_IN.format(python=sys.executable, argv=list(command(sys.executable)))
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "ORCHESTRATOR_API_URL": "http://127.0.0.1:1",
        "ORCHESTRATOR_API_KEY": "key",
        "ORCHESTRATOR_DEPTH": "0",
        "ORCHESTRATOR_MAX_DEPTH": "3",
        "STAND_IN_LOG": str(tmp_path / "spawned"),
    }


def _spawned(recursion: dict[str, str]) -> list[list[Any]]:
    log = Path(recursion["STAND_IN_LOG"])
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def large_project(tmp_path: Path) -> Path:
    """Create a repository that the survey divides twice: at its top, and in ``app``."""
    source = "# TODO: tidy up\nimport os\n\n\ndef function():\n    return os.name\n" * 5
    prose = "Some words.\n\n" * 12_000
    root = tmp_path / "large project"
    for directory in ("app/a", "app/b", "app/c", "app/d", "app/e", "docs", "lib", "tools", "web"):
        plant(root, {f"{directory}/deep/m.py": source, f"{directory}/text.txt": prose})
        plant(root, {f"{directory}/x.js": "export const one = 1;\n"})
    plant(root, {"README.md": "# Hello\n", "setup.cfg": "[options]\n", "app/direct.py": source})
    git(root, "init", "-q")
    commit(root, author="Ada")
    plant(root, {"app/a/deep/m.py": source * 2, "lib/deep/m.py": "x = 1\n"})
    commit(root, author="Grace")
    return root


_SAME = (
    *("totals", "languages", "directories", "modules", "symbols", "imports", "entry_points"),
    *("tests", "todos", "config_files", "dependencies", "churn"),
)


def test_a_survey_of_flask_counts_names_and_explains_itself(tmp_path: Path) -> None:
    ended = run_survey(Path(flask.__file__).parent, tmp_path / "worker")
    assert (ended.code, ended.errors) == (0, "")
    result = ended.result
    assert result["schema"] == 1 and "built" not in result
    lines = ended.output.splitlines()
    assert lines[0].startswith("surveying the project: ")
    totals = result["totals"]
    assert lines[-1].startswith(
        f"surveyed {totals['files']} files, {totals['code']:,} lines of code"
    )
    assert {"path": "app.py", "name": "Flask", "kind": "class"}.items() <= next(
        row for row in result["symbols"] if row["name"] == "Flask" and row["path"] == "app.py"
    ).items()
    assert "| `globals.py` |" in ended.report and "`Flask`" in ended.report
    assert "Blank: nothing but white space" in ended.report


@pytest.mark.nightly
def test_the_result_of_recursion_equals_that_of_one_worker(
    tmp_path: Path, large_project: Path, recursion: dict[str, str]
) -> None:
    alone = run_survey(large_project, tmp_path / "alone")
    shared = run_survey(large_project, tmp_path / "shared", **recursion)
    assert (alone.code, shared.code) == (0, 0), shared.errors
    assert {name: alone.result[name] for name in _SAME} == {
        name: shared.result[name] for name in _SAME
    }
    assert alone.output.splitlines()[-1] == shared.output.splitlines()[-1]
    spawned = _spawned(recursion)
    assert [(request, depth) for request, _, depth in spawned] == [
        ("Survey the parts of the project", "0"),
        ("Survey the parts of app", "1"),
    ]
    assert len(shared.result["parts"]) == spawned[0][1] >= 5
    assert {owner["name"] for owner in shared.result["churn"]["owners"]} == {"Ada", "Grace"}
    assert not list(shared.directory.glob("survey-tasks-*"))


def test_at_the_last_depth_a_worker_surveys_everything_itself(
    tmp_path: Path, large_project: Path, recursion: dict[str, str]
) -> None:
    ended = run_survey(large_project, tmp_path / "w", **recursion | {"ORCHESTRATOR_DEPTH": "3"})
    assert ended.code == 0 and _spawned(recursion) == []
    assert "without child jobs: the maximum depth of child jobs is reached (3)" in ended.output


@pytest.mark.parametrize("exit_code", [4, *nightly(2, 5, 7)])
def test_the_part_of_a_rejected_child_job_is_surveyed_here_with_a_note(
    tmp_path: Path, large_project: Path, recursion: dict[str, str], exit_code: int
) -> None:
    ended = run_survey(
        large_project, tmp_path / "w", **recursion | {"STAND_IN_EXIT": str(exit_code)}
    )
    assert ended.code == 0
    reason = f"`orchestrator spawn` ended with exit code {exit_code}"
    assert f"the project is surveyed without a child job: {reason}\n" in ended.output
    alone = run_survey(large_project, tmp_path / "alone")
    assert {name: alone.result[name] for name in _SAME} == {
        name: ended.result[name] for name in _SAME
    }


@pytest.mark.nightly
def test_a_part_whose_worker_failed_is_named_and_the_survey_fails(
    tmp_path: Path, large_project: Path, recursion: dict[str, str]
) -> None:
    ended = run_survey(large_project, tmp_path / "w", **recursion | {"STAND_IN_BREAKS": "lib"})
    assert ended.code == 1
    assert ended.errors.splitlines()[-1] == "survey: missing or incomplete: lib (failed)"
    assert "This survey is not complete" in ended.report and "- `lib`: failed" in ended.report
    assert not [row for row in ended.result["modules"] if row["path"].startswith("lib/")]
    assert [row for row in ended.result["modules"] if row["path"].startswith("app/")]


def test_a_child_job_that_ends_without_a_status_leaves_its_parts_missing(
    tmp_path: Path, large_project: Path, recursion: dict[str, str]
) -> None:
    ended = run_survey(large_project, tmp_path / "w", **recursion | {"STAND_IN_EXIT": "130"})
    assert ended.code == 1
    assert "missing or incomplete: app (unknown)" in ended.errors


def test_files_limit_the_survey(tmp_path: Path, large_project: Path) -> None:
    task = PLAIN | {"files": ["app/*", "./lib/"]}
    ended = run_survey(large_project, tmp_path / "w", task)
    assert [row["path"] for row in ended.result["modules"]] == [
        "app/direct.py",
        "lib/deep/m.py",
        "lib/x.js",
    ]
    assert ended.output.startswith("surveying app/*, lib: 4 files")


def test_a_task_that_must_create_files_states_that_nothing_was_built(tmp_path: Path) -> None:
    task = {
        "id": "price",
        "title": "A function that shows prices",
        "prompt": "price.py with show(cents)",
        "request": "Show prices",
        "writes": ["price.py"],
    }
    project = plant(tmp_path / "project", {"shop.py": "price = 3\n"})

    ended = run_survey(project, tmp_path / "w", task)

    assert NOTHING_BUILT in ended.output and NOTHING_BUILT in ended.report[:700]


def test_a_request_to_build_states_that_nothing_was_built_and_lists_matches(
    tmp_path: Path,
) -> None:
    task = {
        "id": "1",
        "title": "authentication",
        "prompt": "authentication",
        "request": "Build a REST API with authentication, user management and CRUD",
    }
    project = plant(
        tmp_path / "project",
        {
            "auth/tokens.py": "def check_token(): ...\n",
            "shop.py": "from auth import tokens\n",
            "geometry.py": "def area(): ...\n",
            "requirements.txt": "pyjwt==2.0\nnumpy\npython-oauth2\n",
        },
    )
    ended = run_survey(project, tmp_path / "w", task)
    assert ended.code == 0
    assert NOTHING_BUILT in ended.output and NOTHING_BUILT in ended.report[:700]
    assert ended.result["built"] is False
    assert [row["path"] for row in ended.result["matches"]] == ["auth/tokens.py", "shop.py"]
    assert "`imports auth`" in ended.report and "`defines check_token`" in ended.report


@pytest.fixture(params=["no tree_sitter at all", "no grammar that fits"])
def no_grammars(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Environment of a worker whose Python cannot import the grammars of Go and JavaScript."""
    blocked = ["tree_sitter"]
    if request.param == "no grammar that fits":
        blocked = ["tree_sitter_go", "tree_sitter_javascript"]
    hooks = plant(
        tmp_path / "hooks",
        {"sitecustomize.py": f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\n"},
    )
    return {"PYTHONPATH": f"{hooks}{os.pathsep}{REPOSITORY}"}


@pytest.fixture
def mixed_project(tmp_path: Path) -> Path:
    return plant(
        tmp_path / "mixed",
        {
            "app.py": "import os\n\n\ndef run():\n    return os.name\n",
            "tests/test_app.py": "def test_run():\n    pass\n",
            "cmd/main.go": "package main\n\n// Main starts.\nfunc main() {\n\tRun()\n}\n",
            "cmd/auth.go": "package main\n\nfunc Run() {}\n",
            "cmd/auth_test.go": "package main\n\nfunc TestRun(t *T) {}\n",
            "web/a.js": "/* TODO: more */\nexport const one = 1;\n",
            "web/min.js": "x=1;" * 500,
            "run.sh": "run() { :; }\n",
        },
    )


NOT_INSTALLED = "install the grammars"


def test_without_grammars_all_files_are_counted_and_the_result_names_what_is_missing(
    tmp_path: Path, mixed_project: Path, no_grammars: dict[str, str]
) -> None:
    whole = run_survey(mixed_project, tmp_path / "whole")
    plain = run_survey(mixed_project, tmp_path / "plain", **no_grammars)

    assert (plain.code, plain.errors) == (0, "")
    for name in ("totals", "languages", "directories", "modules", "todos", "config_files"):
        assert plain.result[name] == whole.result[name], name
    assert not [row for row in plain.result["symbols"] if row["path"].startswith(("cmd", "web"))]
    assert "Run" in {row["name"] for row in whole.result["symbols"]}
    [python] = [row for row in plain.result["symbols"] if row["path"] == "app.py"]
    assert python["name"] == "run"
    # Once in the text for readers, and once in the log; programs get the list.
    assert plain.report.count(NOT_INSTALLED) == plain.output.count(NOT_INSTALLED) == 1
    assert "`./install.sh --grammars`" in plain.report
    assert {"Go", "JavaScript"} <= set(plain.result["unparsed"])
    assert (NOT_INSTALLED in whole.report, whole.result["unparsed"]) == (False, [])


def test_without_grammars_tests_are_not_called_missing(
    tmp_path: Path, mixed_project: Path, no_grammars: dict[str, str]
) -> None:
    both = run_survey(mixed_project, tmp_path / "both", **no_grammars)
    assert "1 test case in 1 file; 0 other test files have no test case." in both.report
    assert "Test cases of 1 file were not counted: their grammars are not installed." in both.report
    task = PLAIN | {"files": ["cmd"]}
    other = run_survey(mixed_project, tmp_path / "other", task, **no_grammars)
    assert (
        "## Tests\n\nTest cases of 1 file were not counted: their grammars are not installed.\n"
        in other.report
    )
    assert "No tests were found" not in other.report


def test_without_grammars_a_request_to_build_is_matched_by_paths(
    tmp_path: Path, mixed_project: Path, no_grammars: dict[str, str]
) -> None:
    task = PLAIN | {"prompt": "authentication", "request": "Build a REST API with authentication"}
    ended = run_survey(mixed_project, tmp_path / "w", task, **no_grammars)
    assert ended.result["built"] is False
    assert "cmd/auth.go" in {row["path"] for row in ended.result["matches"]}
    assert ended.report.count(NOT_INSTALLED) == 1


@pytest.mark.nightly
def test_files_that_child_jobs_could_not_parse_are_named_once_in_the_result(
    tmp_path: Path,
    large_project: Path,
    recursion: dict[str, str],
    no_grammars: dict[str, str],
) -> None:
    ended = run_survey(large_project, tmp_path / "w", **recursion | no_grammars)
    assert (ended.code, len(_spawned(recursion))) == (0, 2), ended.errors
    assert ended.result["unparsed"] == ["JavaScript"]
    assert ended.report.count(NOT_INSTALLED) == 1


def test_our_own_folder_and_workspace_are_not_surveyed(tmp_path: Path) -> None:
    project = plant(tmp_path / "p", {"a.py": "x = 1\n", "tool/b.py": "", "tool/workspace/c.py": ""})
    directory = project / "elsewhere/job_1/depth_0/worker_1"
    ended = run_survey(project, directory, ORCHESTRATOR_HOME=str(project / "tool"))
    assert [row["path"] for row in ended.result["modules"]] == ["a.py"]
    assert ended.result["totals"]["files"] == 1


def test_the_folder_itself_can_be_the_project(tmp_path: Path) -> None:
    project = plant(tmp_path / "p", {"a.py": "x = 1\n"})
    directory = project / "workspace/job_1/depth_0/worker_1"
    ended = run_survey(project, directory, ORCHESTRATOR_HOME=str(project))
    assert ended.result["totals"]["files"] == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "must hold one JSON object"),
        ('{"files": "src"}', "'files' must be a list"),
        ('{"files": ["../etc"]}', "'../etc' is not a path inside the project"),
        ('{"files": ["/etc"]}', "'/etc' is not a path inside the project"),
        ('{"files": ["nope\\n"]}', "does not exist"),
    ],
)
def test_a_wrong_task_ends_with_one_clear_line(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "task.json").write_text(content)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    argv = command(sys.executable)
    done = subprocess.run(
        argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert complaint in done.stderr
    assert not (tmp_path / "result.json").exists()


HOSTILE = (
    "<script>alert(1)</script>",
    "`code` | pipe",
    "[link](http:x)",
    "**bold** _it_ # h",
    "![x](y)",
    "new\nline",
    "\u202egnp.exe",
    "$(touch pwned) `touch pwned`",
)


def test_hostile_names_and_texts_stay_text(tmp_path: Path) -> None:
    project = tmp_path / "<b>|`project`\n# title"
    for name in HOSTILE:
        content = f"# TODO: {name!r}<img src=x onerror=alert(1)>|`\ndef f(): ...\n"
        plant(project, {f"{name.replace('/', '')}/t.py": content})
    scripts = json.dumps({name: name for name in HOSTILE})
    plant(project, {"package.json": f'{{"name": "x", "scripts": {scripts}}}'})
    (project / os.fsdecode(b"bad-\xff.py")).write_bytes(b"x = 1\n")
    ended = run_survey(project, tmp_path / "w")
    assert ended.code == 0, ended.errors
    html = MarkdownIt("commonmark").enable("table").render(ended.report)
    for tag in ("<script", "<img", "<b>", "<a ", "<em>", "onerror=alert(1)>"):
        assert tag not in html
    assert html.count("<h1>") == 1
    assert "\u202e" not in ended.report
    assert not list(tmp_path.rglob("pwned"))
    rows = [row for row in html.split("<tr>") if "npm script" in row]
    assert len(rows) == len(HOSTILE) and all(row.count("<td") == 4 for row in rows)


def test_files_of_an_earlier_attempt_are_removed(tmp_path: Path) -> None:
    plant(tmp_path / "w", {"result.json": "{}", "output.md": "old"})
    ended = run_survey(tmp_path, tmp_path / "w", PLAIN | {"files": ["missing"]})
    assert ended.code == 1
    assert not (tmp_path / "w/result.json").exists() and not (tmp_path / "w/output.md").exists()


def test_an_empty_project_is_surveyed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run_survey(tmp_path / "empty", tmp_path / "w")
    assert ended.code == 0
    assert ended.output.splitlines()[-1] == "surveyed 0 files, 0 lines of code in 0 languages"
