"""The results of jobs are correct in a real repository: a release of Flask, with its tests.

Flask is installed in editable mode, as its developers install it. Its tests would therefore import
the checkout's code, unless the product makes them import the worker's code.
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.embedding import copy_product, run
from tests.support.programs import skip_or_fail
from tests.support.project import Project, agents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RELEASE = "flask==3.0.3"
#: The latest versions of packages with which the tests of the Flask release pass.
TOOLS = ("pytest<8.3", "click<8.2", "werkzeug<3.1", "ruff")
#: Replacement of a line of Flask, with which every request fails.
BREAK = "sed -i 's/self.aborter = self.make_aborter()/self.aborter = None/' src/flask/sansio/app.py"
#: Configuration that makes every test pass without running it.
HIDE = (
    r"printf '\n\ndef pytest_itemcollected(item):\n    item.runtest = print\n'"
    " >> tests/conftest.py"
)


def pip(host: Path, *arguments: str) -> None:
    """Skip the test if pip cannot fetch packages; in CI, fail."""
    done = subprocess.run(
        [host / ".venv/bin/python", "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        reason = f"pip cannot install Flask's release: {done.stderr[-500:]}"
        skip_or_fail(reason)


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the release, its environment, and the product's folder."""
    place = tmp_path_factory.mktemp("release")
    host = Project(place / RELEASE.replace("==", "-"))
    subprocess.run([sys.executable, "-m", "venv", host.path / ".venv"], check=True, timeout=120)
    pip(host.path, "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(place), RELEASE)
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        archive.extractall(place, filter="data")
    host.write(".gitignore", ".venv/\norchestrator/\n__pycache__/\n*.egg-info/\n")
    host.git("init", "-q", "-b", "main")
    host.git("add", "--all")
    host.git("commit", "-q", "-m", "Flask's release")
    pip(host.path, "install", "-q", "-e", str(host.path), *TOOLS)
    folder = copy_product(host.path)
    with (folder / "config.yaml").open("a") as config:
        config.write(f"agents: {json.dumps(agents(place))}\n")
    return host.path


def work(flask: Path, *scripts: str, **task: Any) -> tuple[int, dict[str, Any]]:
    """Return exit code and answer of a run with one worker for each script."""
    plan = {
        "request": "Change Flask",
        "config": {"gates": ["ruff", "pytest"], "max_retries": 0},
        "tasks": [{"agent": "editor", "prompt": each, **task} for each in scripts],
    }
    (flask.parent / "plan.json").write_text(json.dumps(plan))
    tool, file = flask / "orchestrator/bin/orchestrator", flask.parent / "plan.json"
    done = run(tool, "run", "--plan", file, "--json", cwd=flask)
    return done.returncode, json.loads(done.stdout)


def reason(answer: dict[str, Any]) -> str:
    return str(answer["results"]["tasks"][0]["reason"])


@pytest.mark.nightly
def test_good_work_is_completed_and_judged_by_its_own_tests(flask: Path) -> None:
    code = "printf '\\n\\ndef answer() -> int:\\n    return 42\\n' >> src/flask/helpers.py"
    test = (
        "printf 'from flask.helpers import answer\\n\\n\\ndef test_answer():\\n"
        "    assert answer() == 42\\n' > tests/test_answer.py"
    )
    done, answer = work(flask, f"{code}\n{test}\necho 'Done. Would you like a changelog entry?'")

    assert (done, answer["status"]) == (0, "completed"), answer
    assert answer["reason"] == ""


@pytest.mark.nightly
def test_broken_code_fails_although_the_checkout_is_sound(flask: Path) -> None:
    done, answer = work(flask, f"{BREAK}\necho 'All tests pass.'")

    assert (done, answer["status"]) == (1, "failed"), answer
    assert reason(answer).startswith("gate pytest failed: tests.test_")


@pytest.mark.nightly
def test_a_worker_that_silences_the_tests_fails_and_the_reason_names_the_file(flask: Path) -> None:
    done, answer = work(flask, f"{BREAK}\n{HIDE}\necho done")

    assert (done, answer["status"]) == (1, "failed"), answer
    assert "tests/conftest.py" in reason(answer)


@pytest.mark.nightly
def test_an_unused_import_is_found_and_not_repaired(flask: Path) -> None:
    """Flask's settings have ``fix = true``: ``ruff check`` alone would repair the code and pass."""
    done, answer = work(flask, "printf 'import os\\n' > src/flask/extra.py\necho done")

    assert (done, answer["status"]) == (1, "failed"), answer
    assert "F401" in reason(answer)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("I implemented the feature and all tests pass.", "no file was changed"),
        ("I can do it in app.py or anew. Which one do you prefer?", "Which one do you prefer?"),
    ],
)
def test_a_builder_that_only_talks_has_failed(flask: Path, words: str, expected: str) -> None:
    done, answer = work(flask, f"echo '{words}'", role="backend")

    assert (done, answer["status"]) == (1, "failed"), answer
    assert expected in reason(answer)


@pytest.mark.nightly
def test_three_workers_that_append_to_one_file_all_come_through(flask: Path) -> None:
    names = ("ada", "bea", "cleo")
    done, answer = work(flask, *(f"echo 'line of {each}' >> CHANGES.rst" for each in names))

    assert (done, answer["status"]) == (0, "completed"), answer
    changes = f"orchestrator/{answer['job_id']}/result:CHANGES.rst"
    last = Project(flask).git("show", changes).splitlines()[-3:]
    assert last == [f"line of {each}" for each in names]
