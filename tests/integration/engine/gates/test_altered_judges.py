"""Workers that change tests or gates; a change that passes only with the altered tests fails."""

from pathlib import Path
from shutil import which

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing
from tests.integration.engine.gates.conftest import PLAIN, MakeProject, gates, reasons
from tests.integration.site import until
from tests.support.project import edit

TEST = "from app import one\n\n\ndef test_one():\n    assert one() == 1\n"
FILES = {
    "app.py": "def one():\n    return 1\n",
    "tests/__init__.py": "",
    "tests/test_app.py": TEST,
    "pytest.ini": f"[pytest]\naddopts = {PLAIN}\n",
}
BREAK = "sed -i s/1/2/ app.py"
#: Configuration of pytest with which every test passes.
HOOK = (
    "import pytest\n\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item):\n"
    "    report = yield\n    report.outcome = 'passed'\n    return report\n"
)
MYPY = "[mypy]\nfiles = app.py\nstrict = true\n"
LINT = {"app.py": "x = 1\n", "old.py": ""}


def write_command(path: str, text: str) -> str:
    return f"cat > {path} <<'END'\n{text}END\n"


@pytest.mark.parametrize(
    ("more", "script", "gate", "file", "finding"),
    [
        pytest.param(
            {}, write_command("conftest.py", HOOK), "pytest", "conftest.py", "2 == 1", id="new"
        ),
        pytest.param(
            {"tests/conftest.py": "import pytest\n"},
            write_command("tests/conftest.py", HOOK),
            "pytest",
            "tests/conftest.py",
            "2 == 1",
            id="conftest",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {"checks.py": "", "pytest.ini": f"[pytest]\naddopts = {PLAIN} -p checks\n"},
            write_command("checks.py", HOOK),
            "pytest",
            "checks.py",
            "2 == 1",
            id="plugin",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {},
            "sed -i 's/assert .*/assert True/' tests/test_app.py",
            "pytest",
            "tests/test_app.py",
            "2 == 1",
            id="assert True",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {},
            "mkdir tests/unit; touch tests/unit/__init__.py; git mv tests/test_app.py tests/unit; "
            "sed -i 's/assert .*/assert True/' tests/unit/test_app.py",
            "pytest",
            "tests/unit/test_app.py",
            "2 == 1",
            id="moved",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_tests_that_pass_only_with_the_works_own_judges_fail(
    make_project: MakeProject, more: dict[str, str], script: str, gate: str, file: str, finding: str
) -> None:
    site, _ = make_project({**FILES, **more})

    ended = site.run("x", [edit(f"{BREAK}; {script}")])

    assert ended["status"] == "failed", ended
    [reason] = reasons(ended)
    assert reason.startswith(f"gate {gate} failed: with {file} from the base commit: "), reason
    assert finding in reason


@pytest.mark.parametrize(
    ("files", "script", "file"),
    [
        pytest.param(
            {**LINT, "ruff.toml": "lint.select = ['F']\n"},
            "echo 'import os' > app.py; echo \"lint.select = ['E9']\" > ruff.toml",
            "ruff.toml",
            id="ruff",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {**LINT, "ruff.toml": "lint.select = ['F']\n", "src/a.py": "x = 1\n"},
            "echo 'import os' > src/a.py; echo \"lint.select = ['E9']\" > src/ruff.toml",
            "src/ruff.toml",
            id="ruff below",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {**LINT, "mypy.ini": MYPY},
            "echo \"x: int = ''\" > app.py; echo 'ignore_errors = true' >> mypy.ini",
            "mypy.ini",
            id="mypy",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {**LINT, "Makefile": "test:\n\tgrep -q 1 app.py\n"},
            "echo 'x = 2' > app.py; printf 'test:\\n\\ttrue\\n' > Makefile",
            "Makefile",
            id="make",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {**LINT, "Makefile": "test:\n\tsh ./check.sh\n", "check.sh": "grep -q 1 app.py\n"},
            "echo 'x = 2' > app.py; echo true > check.sh",
            "check.sh",
            id="script",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {
                **{**LINT, "Makefile": "test:\n\t@sh check.sh\n", "lib.sh": "grep -q 1 app.py\n"},
                "check.sh": ". ./lib.sh\n",
            },
            "echo 'x = 2' > app.py; echo true > lib.sh",
            "lib.sh",
            id="script of a script",
        ),
    ],
)
def test_what_passes_only_with_loosened_settings_or_scripts_fails(
    make_project: MakeProject, files: dict[str, str], script: str, file: str
) -> None:
    site, _ = make_project(files)

    ended = site.run("x", [edit(script)])

    assert ended["status"] == "failed", ended
    assert f"failed: with {file} from the base commit: " in reasons(ended)[0], ended


@pytest.mark.parametrize(
    ("files", "command", "script", "file"),
    [
        pytest.param(
            {"Makefile": "test:\n\tgrep -q 1 app.py\n"},
            "make test",
            "printf 'test:\\n\\tgrep -q def app.py\\n' > Makefile",
            "Makefile",
            id="make",
        ),
        pytest.param(
            {"package.json": '{"scripts": {"test": "grep -q 1 app.py"}}'},
            "npm test",
            """echo '{"scripts": {"test": "grep -q def app.py"}}' > package.json""",
            "package.json",
            id="npm",
            marks=[
                pytest.mark.nightly,
                pytest.mark.skipif(not which("npm"), reason="npm is not installed"),
            ],
        ),
        pytest.param(
            {"tests/test_two.py": "def test_two(): pass\n"},
            "pytest -q",
            "echo 'addopts = --ignore=tests/test_app.py' >> pytest.ini; sed -i 2d pytest.ini",
            "pytest.ini",
            id="pytest",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {},
            "pytest -q",
            write_command("conftest.py", HOOK),
            "conftest.py",
            id="conftest",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_command_is_also_judged_with_the_settings_of_its_tools_at_the_base(
    make_project: MakeProject, files: dict[str, str], command: str, script: str, file: str
) -> None:
    site, _ = make_project({**FILES, **files})

    ended = site.run("x", [edit(f"{BREAK}; {script}")], gates=[command])

    assert ended["status"] == "failed", ended
    assert f"failed: with {file} from the base commit: " in reasons(ended)[0], ended


TRUE = "printf 'test:\\n\\ttrue\\n' > Makefile"


def test_a_target_that_now_always_succeeds_has_not_passed_where_no_other_run_judges(
    make_project: MakeProject,
) -> None:
    passing = {"Makefile": "test:\n\tgrep -q x app.sh\n", "app.sh": "x=1\n"}
    site, project = make_project(passing)
    allowed = site.run("x", [edit(f"{TRUE}; echo a > a.sh", writes=["Makefile"])])
    project.write("app.sh", "y=1\n")
    project.git("commit", "-qam", "The target fails")
    failing = site.run("y", [edit(f"{TRUE}; echo a > a.sh")])

    unrun = "gate make-test did not run: its command always succeeds, so it judges nothing"
    for each in (allowed, failing):
        assert each["status"] == "completed", each
        assert f"not judged: {unrun}" in each["reason"]
        assert gates(site, each)["make-test"]["cause"] == "always_succeeds"


def test_a_merged_result_is_judged_with_the_settings_of_the_jobs_base(
    make_project: MakeProject,
) -> None:
    site, project = make_project({"Makefile": "test:\n\tgrep -q x app.sh\n", "app.sh": "x=1\n"})
    weaken = edit(f"{TRUE}; echo a > a.sh", id="a")
    breaks = edit("echo y=1 > app.sh", id="b", depends_on=["a"], retries=0)

    ended = site.run("x", [weaken, breaks])

    assert ended["status"] == "partial", ended
    assert "with Makefile from the base commit: exit code 2" in reasons(ended)[1]
    assert project.show(f"orchestrator/{ended['job_id']}/result", "app.sh") == "x=1"


NPM = '{"scripts": {"test": "grep -q def app.py"}}'


@pytest.mark.parametrize(
    ("files", "script", "file"),
    [
        pytest.param(
            {"Makefile": "test:\n\tgrep -q def app.py\n"},
            "printf 'test:\\n\\ttrue\\n' > Makefile",
            "Makefile",
            id="make",
        ),
        pytest.param(
            {"package.json": NPM},
            """echo '{"scripts": {"test": "true"}}' > package.json""",
            "package.json",
            id="npm",
            marks=[
                pytest.mark.nightly,
                pytest.mark.skipif(not which("npm"), reason="npm is not installed"),
            ],
        ),
        pytest.param(
            {"tests/test_app.py": TEST, "pytest.ini": f"[pytest]\naddopts = {PLAIN}\n"},
            "echo 'testpaths = tests' >> pytest.ini",
            "pytest.ini",
            id="pytest",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            {"ruff.toml": ""},
            "mkdir .orchestrator; echo 'gates: []' > .orchestrator/gates.yaml",
            ".orchestrator/gates.yaml",
            id="list of gates",
        ),
    ],
)
def test_altered_settings_of_gates_are_named_although_the_gate_passes(
    make_project: MakeProject, files: dict[str, str], script: str, file: str
) -> None:
    site, _ = make_project({"app.py": FILES["app.py"], "tests/__init__.py": "", **files})

    ended = site.run("x", [edit(f"echo '# a note' >> app.py; {script}")])

    assert ended["status"] == "completed", ended
    note = f"changed gate settings, which apply to later jobs: {file}"
    assert reasons(ended) == [note]
    assert ended["reason"].startswith(f"worker_1: {note}")
    altered = [each["altered_settings"] for each in gates(site, ended).values()]
    assert [file] in altered


CHANGE = f"{BREAK}; sed -i 's/== 1/== 2/' tests/test_app.py"


@pytest.mark.parametrize(
    ("task", "config"),
    [
        pytest.param({"writes": ["tests/test_app.py"]}, {}, id="promised"),
        pytest.param(
            {},
            {"gates": [{"name": "pytest", "tests_may_change": True}]},
            id="gate",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_task_that_may_change_tests_succeeds_with_a_note(
    make_project: MakeProject, task: dict[str, object], config: dict[str, object]
) -> None:
    site, _ = make_project(FILES)

    ended = site.run("x", [edit(CHANGE, **task)], **config)

    assert ended["status"] == "completed", ended
    assert gates(site, ended)["pytest"]["judges"] == ["tests/test_app.py"]
    note = (
        "changed tests or gate settings that judge the worker's work, together with code: "
        "tests/test_app.py"
    )
    assert reasons(ended) == [note]
    assert ended["reason"] == f"worker_1: {note}"


FAILING = f"{TEST}\n\ndef test_wrong():\n    assert one() == 3\n"
REPAIR = "sed -i 's/== 3/== 1/' tests/test_app.py"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        pytest.param(
            CHANGE,
            "with tests/test_app.py from the base commit: ",
            id="weakened",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            f"{BREAK}; sed -i '/test_one/,$d' tests/test_app.py; echo 'def test_more(): pass' >> "
            "tests/test_app.py",
            "tests.test_app::test_one: passed on the base commit, but does not run now",
            id="removed",
        ),
    ],
)
def test_the_role_testing_excuses_no_tests_that_other_code_of_the_same_change_breaks(
    make_project: MakeProject, script: str, found: str
) -> None:
    site, _ = make_project(FILES)

    ended = site.run("x", [edit(script, role="testing")])

    assert ended["status"] == "failed", ended
    assert reasons(ended)[0].startswith(f"gate pytest failed: {found}"), ended
    assert "to allow this change: add writes: [tests/test_app.py] to the task" in reasons(ended)[0]


@pytest.mark.parametrize(
    ("script", "more"),
    [
        pytest.param(
            f"{REPAIR}; {write_command('tests/test_two.py', TEST)}",
            "",
            id="tests alone",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            f"{REPAIR}; sed -i '/test_one/,/assert/d' tests/test_app.py",
            "",
            id="removed",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            f"{REPAIR}; echo '# a note' >> app.py", ", together with code", id="repaired with code"
        ),
    ],
)
def test_the_role_testing_may_repair_and_remove_tests(
    make_project: MakeProject, script: str, more: str
) -> None:
    site, _ = make_project({**FILES, "tests/test_app.py": FAILING})

    ended = site.run("x", [edit(script, role="testing")])

    assert ended["status"] == "completed", ended
    assert reasons(ended) == [
        f"changed tests or gate settings that judge the worker's work{more}: tests/test_app.py"
    ]


def test_a_setting_lets_any_work_change_tests_and_land_prints_a_note(
    make_project: MakeProject, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    site, _ = make_project(FILES, gates={"tests_may_change": True})

    ended = site.run("x", [edit(CHANGE)])

    assert ended["status"] == "completed", ended
    assert gates(site, ended)["pytest"]["judges"] == ["tests/test_app.py"]
    site.stop()
    context = CliContext(folder=Path(site.folder), environ={"PATH": "/usr/bin:/bin"})
    assert execute(["land", ended["job_id"], "--yes"], context) == 0
    note = (
        b"Note: worker_1: changed tests or gate settings that judge the worker's work, "
        b"together with code: tests/test_app.py"
    )
    assert note in b" ".join(capfdbinary.readouterr().err.split())


def test_other_tasks_may_not_change_what_tests_expect(make_project: MakeProject) -> None:
    site, _ = make_project(FILES)

    ended = site.run("x", [edit(CHANGE)])

    assert ended["status"] == "failed", ended
    assert reasons(ended)[0].startswith(
        "gate pytest failed: with tests/test_app.py from the base commit: "
    )


FIXTURE = "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n"
NEW = "def test_two(two):\n    assert two == 2\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            write_command("tests/conftest.py", FIXTURE) + write_command("tests/test_two.py", NEW),
            id="fixtures",
        ),
        pytest.param(
            "printf '\\n\\ndef test_more():\\n    assert one()\\n' >> tests/test_app.py",
            id="more tests",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "mkdir t; touch t/__init__.py; git mv tests/test_app.py t; sed -i s/x/y/ app.py",
            id="moved tests",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "printf '[project]\\nname = \"x\"\\ndependencies = []\\n' > pyproject.toml",
            id="manifest",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_good_work_stays_good(make_project: MakeProject, script: str) -> None:
    manifest = '[project]\nname = "x"\n'
    site, _ = make_project({**FILES, "pyproject.toml": manifest})

    ended = site.run("x", [edit(f"echo '# a note' >> app.py; {script}")])

    assert ended["status"] == "completed", ended
    assert gates(site, ended)["pytest"]["status"] == "passed"


@pytest.mark.nightly
def test_a_candidate_that_alters_what_judges_it_loses(make_project: MakeProject) -> None:
    site, _ = make_project(FILES)
    honest = "echo '# a note' >> app.py; echo 'x = 1' > new.py; seq 9 >> new.py"
    script = f"case $PWD in *worker_1*) {CHANGE};; *) {honest};; esac"
    both = ["editor", "editor"]

    ended = site.run("x", [{**edit(script, writes=["tests/", "app.py"]), "agent": both}])

    assert ended["status"] == "completed", ended
    task = site.get(f"/jobs/{ended['job_id']}")["tasks"][0]["id"]
    best, other = site.get(f"/jobs/{ended['job_id']}/tasks/{task}/candidates")["candidates"]
    assert (best["worker_id"], other["worker_id"]) == ("worker_2", "worker_1")
    assert (
        other["why"]
        == "the candidate changed tests or gate settings that judge its work (tests/test_app.py)"
    )


@pytest.mark.parametrize("point", crash_points.OF_SECOND_RUNS)
def test_a_crash_in_a_second_run_costs_no_change(crashing: MakeCrashing, point: str) -> None:
    files = {"a.txt": "a\n", "check.sh": "test -e b.txt\n"}
    site, project = crashing(point, files=files)
    task = edit("echo b > b.txt; echo 'test -e b.txt  # quick' > check.sh")
    body = {"request": "x", "config": {"gates": ["sh check.sh"]}, "tasks": [task]}
    headers = {"Idempotency-Key": "one"}
    job = str(
        site.insist(lambda: site.call("POST", "/orchestrate", body, headers=headers))["job_id"]
    )
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 40)
    site.crashes = ""

    answer = site.wait_through(job)

    assert answer["status"] == "completed", (answer, site.tail())
    assert "quick" in project.show(f"orchestrator/{job}/result", "check.sh")
