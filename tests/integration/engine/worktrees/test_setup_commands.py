"""``git.setup``: commands that prepare each worktree, before its worker and its gates."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, until, worker_processes
from tests.support.project import Project, agents, edit

FILES = {"README.md": "", ".gitignore": ".venv/\nnode_modules/\n"}
#: Command that creates an environment with one program, which prints its own path.
MAKE = [
    "mkdir -p .venv/bin; touch .venv/pyvenv.cfg",
    "printf '#!/bin/sh\\necho tool of %s\\n' \"$PWD\" > .venv/bin/tool; chmod +x .venv/bin/tool",
]
Make = Callable[..., InProcess]


@pytest.fixture
def make_site_with_setup(make_site: MakeSite, tmp_path: Path) -> Make:
    def make(*commands: str, files: dict[str, str] | None = None, timeout: float = 60) -> InProcess:
        project = Project(tmp_path / "project").begin({**FILES, **(files or {})})
        workspace = project.path / "product" / "workspace"
        settings = {"project_root": str(project.path), "workspace_root": str(workspace)}
        site = make_site(
            orchestrator=settings,
            agents=agents(tmp_path),
            git={"setup": list(commands), "setup_timeout": timeout},
        )
        site.workspace = workspace
        return site

    return make


def gates(site: InProcess, ended: Answer) -> dict[str, Answer]:
    [worker] = site.get(f"/jobs/{ended['job_id']}")["workers"]
    return {each["name"]: each for each in worker["gates"]}


def gate(run: str, **more: Any) -> list[Answer]:
    return [{"name": "unit", "run": run, **more}]


def test_workers_and_gates_run_programs_of_the_setup_in_their_worktree(
    make_site_with_setup: Make, effects: Path
) -> None:
    site = make_site_with_setup(*MAKE, f'echo "$PWD" >> {effects}')
    script = "tool; [ -e x ] || { echo x > x; exit 1; }; echo y > y"

    ended = site.run("x", [edit(script, retries=1)], gates=gate("tool; [ -e y ]"))

    assert ended["status"] == "completed", ended
    job = ended["job_id"]
    assert f"tool of {site.directory(job)}/depth_0/worker_1/worktree\n" in site.log(job, "worker_1")
    logs = site.directory(job) / "logs"
    assert "/worker_1/worktree" in (logs / "gate_worker_1.unit.1.log").read_text()
    assert (logs / "gate_worker_1.setup.1.log").exists()
    # Once for the worker's worktree, despite two attempts, and once for the merged worktree.
    places = effects.read_text().splitlines()
    assert len(places) == len(set(places)) == 2


def test_the_setup_runs_again_after_a_rollback(make_site_with_setup: Make) -> None:
    site = make_site_with_setup(*MAKE)
    breaks = (
        'tool; if [ "${ORCHESTRATOR_WORKER##*/}" = 1 ]; then '
        "echo a > README.md; git checkout -qb other; git commit -qam a; git checkout -q -; "
        "echo b > README.md; git commit -qam b; git merge -q other; exit 1; fi; echo x > x"
    )

    ended = site.run("x", [edit(f"set -e; {breaks}", retries=1)])

    job = ended["job_id"]
    assert ended["status"] == "completed", (ended, site.log(job, "worker_1"))
    [worker] = site.get(f"/jobs/{job}")["workers"]
    assert worker["attempts"][0]["failure"]["strategy"] == "rollback_last"
    assert site.log(job, "worker_1").count("tool of ") == 2


def test_an_attempt_whose_setup_fails_has_failed_with_its_reason(
    make_site_with_setup: Make,
) -> None:
    site = make_site_with_setup("echo no such package; exit 3")

    ended = site.run("x", [edit("echo x > x")])

    [row] = ended["results"]["tasks"]
    assert row["status"] == "failed"
    assert "git.setup failed: exit code 3 (no such package)" in row["reason"]
    assert "log: logs/gate_worker_1.setup.1.log" in row["reason"]


@pytest.mark.nightly
def test_a_setup_that_takes_too_long_is_ended(make_site_with_setup: Make) -> None:
    site = make_site_with_setup("sleep 600", timeout=1)

    ended = site.run("x", [edit("echo x > x")])

    [row] = ended["results"]["tasks"]
    assert "git.setup failed: timed out after 1 s" in row["reason"]
    assert not worker_processes(ended["job_id"])


def test_a_gate_whose_worktree_cannot_be_set_up_did_not_run(make_site_with_setup: Make) -> None:
    """If the setup fails only on the base, the base's findings are unknown: all findings count."""
    site = make_site_with_setup("case $PWD in */gates/base_*) exit 3 ;; esac")

    ended = site.run("x", [edit("echo x > x")], gates=gate("exit 1"))

    assert ended["status"] == "failed"
    found = gates(site, ended)["unit"]
    assert found["outcome"] != "passed", found
    assert found["blocks"], found


@pytest.mark.nightly
def test_a_cancel_ends_the_setup(make_site_with_setup: Make, effects: Path) -> None:
    site = make_site_with_setup(f"echo begun >> {effects}; sleep 600")
    job = site.submit("x", [edit("echo x > x")])
    until(effects.read_text, "it has begun")

    site.call("POST", f"/jobs/{job}/cancel", {})

    assert site.wait(job)["status"] == "cancelled"
    until(lambda: not worker_processes(job), "nothing of it is left")


@pytest.mark.nightly
@pytest.mark.needs("npm")
def test_npm_installs_into_each_worktree(make_site_with_setup: Make) -> None:
    files = {
        "package.json": json.dumps({"name": "root", "private": True, "workspaces": ["lib"]}),
        "lib/package.json": json.dumps({"name": "lib", "version": "1.0.0"}),
        "lib/index.js": "exports.one = 1\n",
        "test.js": "process.exit(require('lib').one - 1)\n",
    }
    site = make_site_with_setup("npm install --offline --no-audit --no-package-lock", files=files)

    broken = site.run("x", [edit("echo 'exports.one = 2' > lib/index.js")], gates=gate("node test"))
    sound = site.run("x", [edit("echo '// sound' >> lib/index.js")], gates=gate("node test"))

    assert gates(site, broken)["unit"]["outcome"] == "failed", gates(site, broken)
    assert gates(site, sound)["unit"]["outcome"] == "passed", gates(site, sound)
