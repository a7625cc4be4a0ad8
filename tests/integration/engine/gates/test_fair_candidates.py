"""Candidates are compared by the base's tests and configuration before their own tests."""

from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.integration.engine.gates.conftest import PLAIN, MakeProject
from tests.integration.site import Answer, InProcess
from tests.support.project import edit

TESTS = (
    "import app\n\n\ndef test_one():\n    assert app.one() == 1\n\n\n"
    "def test_two():\n    assert app.two() == 2\n"
)
FILES = {
    "app.py": "def one():\n    return 1\n\n\ndef two():\n    return 0\n",
    "tests/__init__.py": "",
    "tests/test_app.py": TESTS,
    "pytest.ini": f"[pytest]\naddopts = {PLAIN}\n",
}
#: Script that repairs the base's failing test, with more changed lines than other candidates.
FIX = "sed -i s/0/2/ app.py\nseq 9 | sed 's/^/# /' >> app.py\n"
NOTE = "echo '# a note' >> app.py\n"
#: A test of the base with fifty parameters.
FIFTY = (
    "def pytest_collection_modifyitems(items):\n"
    "    items += [each for each in items if each.name == 'test_one'] * 49\n"
)
TRIVIAL = "".join(f"def test_{number}():\n    pass\n" for number in range(50))
MEANT = "from app import one\n\n\ndef test_meant():\n    assert one() == 1\n"


def write_command(path: str, text: str) -> str:
    return f"cat > {path} <<'END'\n{text}END\n"


def compare_candidates(
    make_project: MakeProject, *scripts: str, prompt: str = "", **task: object
) -> tuple[Answer, InProcess, str]:
    """Run candidates with these scripts, and return their comparison."""
    files = {f"do/worker_{number}.sh": text for number, text in enumerate(scripts, 1)}
    site, _ = make_project({**FILES, **files})
    work = edit(f"# {prompt}\nsh do/$ORCHESTRATOR_WORKER_ID.sh", id="a", retries=0, **task)
    job = site.run("x", [{**work, "agent": ["editor"] * len(scripts)}])["job_id"]
    return site.get(f"/jobs/{job}/tasks/a/candidates"), site, job


def rows(found: Answer) -> dict[str, Answer]:
    return {each["worker_id"]: each for each in found["candidates"]}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("task", "by"),
    [
        pytest.param({}, "base_tests", id="it may not"),
        pytest.param(
            {"writes": ["app.py", "tests/conftest.py"]},
            "gates",
            id="it may",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_conftest_that_multiplies_tests_does_not_win(
    make_project: MakeProject, task: dict[str, object], by: str
) -> None:
    found, _, _ = compare_candidates(
        make_project, NOTE + write_command("tests/conftest.py", FIFTY), FIX, **task
    )

    assert (found["chosen"], found["by"]) == ("worker_2", by), found
    row = rows(found)["worker_1"]
    assert (row["tests"], row["base_tests"], row["new_tests"]) == (50, 1, 0)


def test_fifty_trivial_tests_do_not_win(
    make_project: MakeProject, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    trivial = NOTE + write_command("tests/test_more.py", TRIVIAL)

    found, site, job = compare_candidates(make_project, trivial, FIX)

    assert (found["chosen"], found["by"]) == ("worker_2", "base_tests"), found
    by_worker = rows(found)
    assert by_worker["worker_1"]["why"] == "1 fewer existing test passed"
    assert (by_worker["worker_1"]["base_tests"], by_worker["worker_2"]["base_tests"]) == (1, 2)
    assert (by_worker["worker_1"]["new_tests"], by_worker["worker_1"]["new_tests_counted"]) == (
        50,
        0,
    )
    report = (site.directory(job) / "depth_0" / "LEVEL_0_REPORT.md").read_text()
    assert "1 existing, 50 new (0 counted)" in report
    assert "base_tests: 1 fewer existing test passed" in report
    site.stop()
    environ = {"PATH": "/usr/bin:/bin"}
    capfdbinary.readouterr()
    assert (
        execute(["compare", job, "a"], CliContext(folder=Path(site.folder), environ=environ)) == 0
    )
    shown = capfdbinary.readouterr().out.decode()
    assert "1 existing, 50 new (0 counted)" in shown
    assert "base_tests" in shown


@pytest.mark.nightly
def test_tests_of_its_own_do_not_help_where_all_else_is_equal_but_size(
    make_project: MakeProject,
) -> None:
    found, _, _ = compare_candidates(
        make_project, NOTE + write_command("tests/test_more.py", TRIVIAL), NOTE
    )

    assert (found["chosen"], found["by"]) == ("worker_2", "size"), found


@pytest.mark.nightly
def test_a_new_test_that_passes_on_two_counts_against_the_third(make_project: MakeProject) -> None:
    agreeing = NOTE + write_command("tests/test_meant.py", MEANT)

    found, _, _ = compare_candidates(make_project, NOTE, agreeing, f"{agreeing}{NOTE}")

    assert (found["chosen"], found["by"]) == ("worker_2", "size"), found
    by_worker = rows(found)
    assert by_worker["worker_1"]["why"] == "1 fewer new test counted (tests.test_meant::test_meant)"
    assert by_worker["worker_1"]["place"] == 3


@pytest.mark.nightly
def test_a_new_test_that_the_task_names_counts_with_two(make_project: MakeProject) -> None:
    meant = NOTE + write_command("tests/test_meant.py", MEANT)

    found, _, _ = compare_candidates(make_project, NOTE, meant, prompt="add the test test_meant")

    assert (found["chosen"], found["by"]) == ("worker_2", "new_tests"), found
