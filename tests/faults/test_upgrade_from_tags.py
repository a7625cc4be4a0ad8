"""Upgrades each tagged release to this version: old jobs are shown, and new jobs run.

The test covers the database, the workspace, and the settings that a tagged release has written. In
a clone without tags, the release is the checked-out commit. The test then shows only that the
upgrade itself works. ``test_upgrade.py`` has the stored fixture of release 0.1.0.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "key-of-the-upgraded-folder"
PLAN = """\
request: Two steps
tasks:
  - {id: one, command: echo one}
  - {id: two, command: "test -e $ORCHESTRATOR_PROJECT_ROOT/go && echo two", depends_on: [one]}
"""

pytestmark = pytest.mark.slow


def git(*arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).stdout


def states() -> list[str]:
    return git("tag", "--list", "v[0-9]*", "--sort=version:refname").decode().split() or ["HEAD"]


def cli(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if "ORCHESTRATOR" not in name}
    return subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", *words],
        cwd=folder.parent,
        env={**own, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("state", states())
def test_jobs_of_an_earlier_release_are_used_by_this_one(state: str, tmp_path: Path) -> None:
    content = git("archive", state)
    if not content:
        pytest.skip("not a clone")
    folder = tmp_path / "host" / "orchestrator"
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "config.yaml").write_text(f"api: {{port: 0, api_key: {KEY}}}\n")
    (folder.parent / "plan.yaml").write_text(PLAN)
    before = cli(folder, "run", "--plan", "plan.yaml", "--json")
    assert before.returncode == 6, before
    job = json.loads(before.stdout)["job_id"]

    shutil.rmtree(folder / "orchestrator")
    shutil.copytree(REPOSITORY / "orchestrator", folder / "orchestrator")
    (folder.parent / "go").touch()

    shown = json.loads(cli(folder, "status", job, "--json").stdout)
    assert shown["status"] == "partial" and "one" in cli(folder, "report", job).stdout
    after = cli(folder, "run", "--plan", "plan.yaml", "--json")
    assert after.returncode == 0, after
    listed = json.loads(cli(folder, "jobs", "--json").stdout)["jobs"]
    assert {each["job_id"] for each in listed} == {job, json.loads(after.stdout)["job_id"]}
