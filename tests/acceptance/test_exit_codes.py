"""All commands have the same exit code for a job, as in docs/reference/exit-codes.md."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.output.exit_codes import MEANINGS
from tests.acceptance.conftest import wait_until
from tests.acceptance.embedding import PRODUCT, copy_product, run
from tests.support.examples import nightly
from tests.support.project import Project

pytestmark = pytest.mark.slow

ONE = {"agent": "shell", "git": "on", "command": "echo one > shared.txt", "retries": 0}
TWO = {**ONE, "command": "echo two > shared.txt"}
FAILS = {**ONE, "command": "echo three > three.txt; exit 3"}
NOTHING = {**ONE, "command": "echo nothing to do"}
HALF = {**ONE, "writes": ["shared.txt", "half.txt"]}
PLANS = {"one": [ONE], "two": [ONE, TWO], "half": [HALF], "fails": [FAILS], "nothing": [NOTHING]}
CODES = {"one": 0, "two": 6, "half": 6, "fails": 1, "nothing": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all plans, because a copy of the folder and a server's start are slow."""
    project = Project(tmp_path_factory.mktemp("acceptance") / "host")
    project.begin({"shared.txt": "zero\n"}).git("tag", "begun")
    folder = copy_product(project.path)
    (project.path / ".git" / "info").mkdir(exist_ok=True)
    (project.path / ".git" / "info" / "exclude").write_text("/orchestrator/\n/plan.json\n")
    command = [folder / "bin" / "orchestrator", "serve"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=project.path, stderr=subprocess.DEVNULL, **quiet) as server:
        try:
            wait_until((folder / "workspace" / "server.json").exists)
            yield folder
        finally:
            server.terminate()


@pytest.mark.parametrize("name", ["two", "fails", *nightly("one", "half", "nothing")])
def test_all_commands_for_a_job_end_with_the_same_exit_code(folder: Path, name: str) -> None:
    plan, code, project = folder.parent / "plan.json", CODES[name], Project(folder.parent)
    project.git("reset", "-q", "--hard", "begun")
    plan.write_text(json.dumps({"request": name, "tasks": PLANS[name]}))
    orchestrator = folder / "bin" / "orchestrator"
    outputs: list[str] = []

    def exit_code(*command: str | Path) -> int:
        ran = run(*command, cwd=folder.parent)
        outputs.append(f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
        return ran.returncode

    codes = [
        exit_code(folder / "quick-start.sh", "--plan", plan),
        exit_code(orchestrator, "run", "--plan", plan),
    ]
    [job_id] = re.findall(r"^job (\w+): ", outputs[-1], re.MULTILINE)
    asks = [("wait", job_id), ("status", job_id), ("merge", job_id), ("land", job_id, "--yes")]
    codes += [exit_code(orchestrator, *command) for command in asks]

    assert codes == [code] * 6, "\n".join(outputs)
    ending = outputs[1].partition("\nResult: ")[2].partition("\nproject: ")[0].split("\n")[1:]
    # The next commands are the last lines of "run"; "land" has no command that retries.
    own = ("to show the ", "to merge the changes into ", "to retry the tasks ")
    lines = [line for line in ending if line.strip() and not line.startswith(own)]
    assert bool(lines) is bool(code), "every outcome except a plain success has a reason"
    for each in outputs[2:4]:
        assert {*lines} <= {*each.splitlines()}, (lines, each)
    if name == "two":
        command = f"orchestrator/bin/orchestrator merge {job_id} --strategy theirs"
        assert lines[-1] == f"to merge the missing changes: {command}"
    if name == "nothing":
        assert f"nothing to land: job {job_id} changed nothing" in outputs[-1]
    assert not (folder / ".install.log").exists(), "quick-start.sh has fetched no package"
    if code != 6:
        return
    output, shared = outputs[-1], folder.parent / "shared.txt"
    assert shared.read_text() == "zero\n", "land rejects an incomplete result"
    if name == "two":
        assert f"worker_2 (orchestrator/{job_id}/worker_2): conflict in shared.txt" in output
        assert f"orchestrator merge {job_id} --strategy theirs" in output
    else:
        assert "worker_1: promised files are missing: half.txt" in output
        assert f"to create the file: orchestrator/bin/orchestrator retry {job_id}" in output
    assert exit_code(orchestrator, "land", job_id, "--yes", "--partial") == 0, outputs[-1]
    assert shared.read_text() == "one\n"
    if name == "two":
        assert exit_code(orchestrator, "merge", job_id, "--leave", "worker_2") == 0, outputs[-1]
        assert exit_code(orchestrator, "status", job_id) == 0, outputs[-1]


def test_the_exit_codes_of_the_docs_are_those_of_the_code() -> None:
    page = (PRODUCT / "docs" / "reference" / "exit-codes.md").read_text()

    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")]
    documented = {number.strip(): meaning.strip() for number, meaning in rows}

    assert {
        str(code.value): meaning for code, meaning in MEANINGS.items()
    }.items() <= documented.items()
