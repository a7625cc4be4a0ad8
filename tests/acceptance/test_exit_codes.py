"""Whoever asks about a job gets the same exit code: the table of docs/exit-codes.md."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.exit_codes import MEANINGS
from tests.acceptance.conftest import wait_until
from tests.acceptance.embedding import PRODUCT, embedded, run
from tests.project import Project

pytestmark = pytest.mark.slow

ONE = {"agent": "shell", "git": "on", "command": "echo one > shared.txt", "retries": 0}
TWO = {**ONE, "command": "echo two > shared.txt"}
FAILS = {**ONE, "command": "echo three > three.txt; exit 3"}
PLANS = {0: [ONE], 6: [ONE, TWO], 1: [FAILS]}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    project = Project(tmp_path / "host").begin({"shared.txt": "zero\n"})
    folder = embedded(project.path)
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


@pytest.mark.parametrize("code", PLANS)
def test_the_same_job_has_the_same_code_whoever_asks(folder: Path, code: int) -> None:
    plan = folder.parent / "plan.json"
    plan.write_text(json.dumps({"request": f"ends {code}", "tasks": PLANS[code]}))
    orchestrator = folder / "bin" / "orchestrator"

    def asked(*command: str | Path) -> int:
        ran = run(*command, cwd=folder.parent)
        outputs.append(f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
        return ran.returncode

    outputs: list[str] = []
    codes = [
        asked(folder / "quick-start.sh", "--plan", plan),
        asked(orchestrator, "run", "--plan", plan),
    ]
    [job, *_] = sorted((folder / "workspace").glob("job_*"))
    job_id = job.name.removeprefix("job_")
    asks = [("wait", job_id), ("status", job_id), ("land", job_id, "--yes")]
    codes += [asked(orchestrator, *command) for command in asks]

    assert codes == [code] * 5, "\n".join(outputs)
    shared = (folder.parent / "shared.txt").read_text()
    if code == 6:
        assert shared == "zero\n", "land has refused what lacks something"
        told = outputs[-1]
        assert f"worker_2 (orchestrator/{job_id}/worker_2): conflict in shared.txt" in told
        assert f"orchestrator merge {job_id} --strategy theirs" in told
        assert asked(orchestrator, "land", job_id, "--yes", "--partial") == 0, outputs[-1]
        assert (folder.parent / "shared.txt").read_text() == "one\n"


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    page = (PRODUCT / "docs" / "exit-codes.md").read_text()

    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")]
    told = {number.strip(): meaning.strip() for number, meaning in rows}

    assert {str(code.value): meaning for code, meaning in MEANINGS.items()}.items() <= told.items()
