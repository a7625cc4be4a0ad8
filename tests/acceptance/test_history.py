"""A result lands as one commit, the landing is undone, and the result becomes a pull request."""

import json
import os
import shlex
from pathlib import Path

import pytest

from tests.acceptance.embedding import copy_product, run
from tests.support.project import Project

pytestmark = pytest.mark.slow

PLAN = """\
request: Greet in two languages
tasks:
  - {id: english, git: "on", command: echo hello > english.txt}
  - {id: french, git: "on", command: echo bonjour > french.txt}
"""


@pytest.mark.nightly
def test_a_squash_is_landed_undone_and_opened_as_a_pull_request(tmp_path: Path) -> None:
    project = Project(tmp_path / "host").begin({"README.md": "host\n"})
    tool = copy_product(project.path) / "bin" / "orchestrator"
    (project.path / ".git" / "info").mkdir(exist_ok=True)
    (project.path / ".git" / "info" / "exclude").write_text("/orchestrator/\n/plan.yaml\n")
    (project.path / "plan.yaml").write_text(PLAN)
    remote = tmp_path / "remote.git"
    project.git("init", "-q", "--bare", str(remote))
    project.git("remote", "add", "origin", str(remote))
    project.git("push", "-q", "origin", "main")
    before = project.git("rev-parse", "main")

    done = run(tool, "run", "--plan", "plan.yaml", "--json", cwd=project.path)
    assert done.returncode == 0, done
    job = json.loads(done.stdout)["job_id"]

    def ran(*command: str, **extra: str) -> str:
        result = run(tool, *command, cwd=project.path, **extra)
        assert result.returncode == 0, result
        return result.stdout

    assert "one commit" in ran("land", job, "--squash", "--yes")
    assert project.git("rev-parse", "main~1") == before
    message = project.git("log", "-1", "--format=%B")
    assert message.startswith("Greet in two languages\n\n- ")
    assert message.count("Orchestrator-Worker: worker_") == 2
    assert project.git("ls-tree", "--name-only", "main").split() == [
        *("README.md", "english.txt", "french.txt")
    ]
    assert "already landed on main" in ran("land", job, "--squash")

    assert f"main is back at {before[:12]}" in ran("undo", job, "--yes")
    assert project.git("status", "--porcelain") == ""
    assert project.git("rev-parse", "main") == before

    programs, arguments = tmp_path / "programs", tmp_path / "arguments"
    programs.mkdir()
    script = "[ $2 = list ] && exit; "
    script += (
        f"printf '%s\\n' \"$@\" > {shlex.quote(str(arguments))}; cat; echo https://example.org/1"
    )
    (programs / "gh").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "gh").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    body = ran("land", job, "--pr", "--yes", PATH=path)

    assert arguments.read_text().splitlines()[2:8] == [
        *("--base", "main", "--head", f"orchestrator/{job}/result", "--title"),
        "Greet in two languages",
    ]
    assert (
        "2 of 2 tasks succeeded" in body
        and "english.txt" in body
        and "https://example.org/1" in body
    )
    pushed = project.git("-C", str(remote), "rev-parse", f"orchestrator/{job}/result")
    assert pushed == project.git("rev-parse", f"orchestrator/{job}/result")
    assert project.git("rev-parse", "main") == before
