"""A user who has only the wheel installs it offline, uses it in a repository, and removes it."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance import wheelhouse
from tests.acceptance.embedding import PRODUCT, link_packages
from tests.support.programs import require_programs, search_path
from tests.support.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.needs("hatchling", "uv")]

#: Maximum duration of a first run in a new repository, in seconds.
FIRST_RUN_SECONDS = 10.0
LINE = "/.orchestrator/local/"
#: A plan in which a worker starts a child job, and a gate of the repository judges the commits.
PLAN = """\
request: Write two pages
tasks:
  - id: pages
    git: on
    command: |
      orchestrator spawn --command 'echo child > child.txt' --wait
      orchestrator locks > /dev/null
      ls -A "$ORCHESTRATOR_PROJECT_ROOT" > listed.txt
      echo page > page.txt && git add page.txt && git commit -qm page
"""
GATES = "gates:\n  - {name: page, run: test -e page.txt && test ! -e .orchestrator/local}\n"


@dataclass(frozen=True)
class Stranger:
    """A machine that has only the wheel and its packages: no network, and no settings of this
    machine.
    """

    top: Path
    wheel: Path

    @property
    def home(self) -> Path:
        return self.top / "user"

    @property
    def packages(self) -> Path:
        return self.top / "packages"

    @property
    def environment(self) -> Path:
        return self.top / "environment"

    def run(
        self, *command: str | Path, cwd: Path, stdin_text: str = "", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(self.environment / "bin"), "/usr/local/bin:/usr/bin:/bin"))
        return subprocess.run(
            command,
            cwd=cwd,
            # A free port, because servers of parallel tests would compete for the default port.
            env={"HOME": str(self.home), "PATH": path, "ORCHESTRATOR_API__PORT": "0", **extra},
            input=stdin_text,
            capture_output=True,
            text=True,
            timeout=110,
        )

    def uv(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        program = shutil.which("uv", path=search_path())
        assert program
        own = ("--cache-dir", self.top / "cache", "--no-config", "--offline")
        return self.run(program, *own, *arguments, cwd=self.top)

    def offline(self) -> tuple[str | Path, ...]:
        return ("--no-index", "--find-links", self.packages)

    def done(self, *command: str | Path, cwd: Path, **extra: str) -> str:
        found = self.run(*command, cwd=cwd, **extra)
        assert found.returncode == 0, found
        return found.stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    # The fixture ``needed`` checks later, because it is of each test.
    with pytest.MonkeyPatch.context() as patch:
        require_programs(patch, "hatchling", "uv")
    top = tmp_path_factory.mktemp("stranger").resolve()
    built = subprocess.run(
        ["hatchling", "build", "-t", "wheel", "-d", str(top / "dist")],
        cwd=PRODUCT,
        env={**os.environ, "PATH": search_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built
    [wheel] = (top / "dist").iterdir()
    found = Stranger(top, wheel)
    found.home.mkdir()
    wheelhouse.fill(found.packages)
    for arguments in (
        ("venv", "-q", "--python", sys.executable, found.environment),
        ("pip", "install", "-q", "--python", found.environment, *found.offline(), wheel),
    ):
        done = found.uv(*arguments)
        assert done.returncode == 0, done
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield Project(tmp_path.resolve() / "a shop").begin({"main.py": "print(1)\n"})


def test_the_wheel_runs_in_a_fresh_repository_and_leaves_only_its_home(
    stranger: Stranger, project: Project
) -> None:
    done = stranger.run("orchestrator", "run", "Survey this repository", cwd=project.path)

    assert done.returncode == 0, done
    assert "created" in done.stderr and "excluded in .git/info/exclude" in done.stderr
    assert "bin/orchestrator" not in done.stdout + done.stderr
    home = project.path / ".orchestrator" / "local"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "config.yaml").stat().st_mode) == 0o600
    exclude = (project.path / ".git" / "info" / "exclude").read_text()
    assert exclude.splitlines().count(LINE) == 1 and ".orchestrator" not in exclude.replace(
        LINE, ""
    )
    assert project.git("status", "--porcelain") == ""
    [job] = json.loads(stranger.done("orchestrator", "jobs", "--json", cwd=project.path))["jobs"]
    assert job["status"] == "completed"
    shown = stranger.done("orchestrator", "status", job["job_id"], cwd=home / "workspace")
    assert job["job_id"] in shown
    stranger.done("orchestrator", "doctor", cwd=project.path)

    own = ("--python", stranger.environment)
    removed = stranger.uv("pip", "uninstall", *own, "recursive-orchestrator")
    try:
        assert removed.returncode == 0, removed
        assert not (stranger.environment / "bin" / "orchestrator").exists()
        assert not list(stranger.environment.rglob("orchestrator*"))
        assert sorted(each.name for each in project.path.iterdir()) == [
            *(".git", ".orchestrator", "main.py"),
        ]
        assert list(stranger.home.iterdir()) == []
    finally:
        again = ("pip", "install", "-q", *own, *stranger.offline())
        assert stranger.uv(*again, stranger.wheel).returncode == 0


@pytest.mark.nightly
def test_a_first_run_takes_less_than_ten_seconds(stranger: Stranger, tmp_path: Path) -> None:
    def first_run(number: int) -> float:
        path = Project(tmp_path / f"shop {number}").begin({"main.py": "print(1)\n"}).path
        began = time.monotonic()
        stranger.done("orchestrator", "run", "Survey this repository", cwd=path)
        return time.monotonic() - began

    # The best of at most three runs, because other tests may load the machine.
    seconds = []
    while len(seconds) < 3 and min(seconds, default=FIRST_RUN_SECONDS) >= FIRST_RUN_SECONDS:
        seconds.append(first_run(len(seconds)))
    assert min(seconds) < FIRST_RUN_SECONDS, seconds


def test_workers_find_the_command_and_the_home_is_in_no_result(
    stranger: Stranger, project: Project
) -> None:
    (project.path / ".orchestrator").mkdir()
    (project.path / ".orchestrator" / "gates.yaml").write_text(GATES)
    (project.path / "plan.yaml").write_text(PLAN)
    project.git("add", "--all")
    project.git("commit", "-qm", "plan")
    (project.path / "new.txt").write_text("mine")

    run = ("orchestrator", "run", "--plan", "plan.yaml", "--include-dirty", "--json")
    ended = json.loads(stranger.done(*run, cwd=project.path))

    assert ended["status"] == "completed", ended
    [task] = ended["results"]["tasks"]
    assert task["status"] == "recursive_success"
    assert "page" in stranger.done("orchestrator", "gates", cwd=project.path)
    diff = stranger.done("orchestrator", "diff", ended["job_id"], cwd=project.path)
    assert "page.txt" in diff
    assert ".orchestrator/local" not in diff.replace("listed.txt", "")
    assert ".orchestrator/local" not in project.git("log", "--all", "--name-only")


def test_read_commands_create_nothing_and_a_home_directory_is_no_project(
    stranger: Stranger, project: Project
) -> None:
    for words in (["jobs"], ["status"], ["--help"], ["doctor"], ["gates"]):
        stranger.run("orchestrator", *words, cwd=project.path)
    refused = stranger.run("orchestrator", "run", "Survey this repository", cwd=stranger.home)

    assert not (project.path / ".orchestrator").exists()
    assert refused.returncode == 2 and "is a home directory" in refused.stderr
    assert "orchestrator run --project" in refused.stderr
    assert list(stranger.home.iterdir()) == []


def test_the_wheel_serves_ai_tools_by_mcp(stranger: Stranger, project: Project) -> None:
    messages = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "a", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    lines = "".join(json.dumps(each) + "\n" for each in messages)
    done = stranger.run("orchestrator", "mcp", cwd=project.path, stdin_text=lines)
    tools = {each["name"] for each in json.loads(done.stdout.splitlines()[1])["result"]["tools"]}
    assert "orchestrate" in tools


@pytest.mark.nightly
def test_the_wheel_creates_the_portable_folder(stranger: Stranger, project: Project) -> None:
    made = project.path / "tools" / "orchestrator"
    stranger.done("orchestrator", "init", "--folder", made, cwd=project.path)
    assert stranger.run("orchestrator", "init", "--folder", made, cwd=project.path).returncode != 0
    assert not (made / "tests").exists() and not (made / "orchestrator" / "portable").exists()
    link_packages(made)

    done = stranger.run(made / "quick-start.sh", "Survey this repository", cwd=project.path)
    assert done.returncode == 0, done
    assert (made / "config.yaml").exists() and not (project.path / ".orchestrator").exists()


@pytest.mark.nightly
def test_uvx_runs_the_wheel(stranger: Stranger, project: Project) -> None:
    program = shutil.which("uv", path=search_path())
    assert program
    own = ("--offline", "--no-config", "--cache-dir", stranger.top / "cache")
    uvx = (program, "tool", "run", *own, "--python", sys.executable)
    words = ("--from", stranger.wheel, "orchestrator", "run", "Survey this repository")
    # uvx would write its data to ~/.local, and other tests require an empty home directory.
    data = str(stranger.top / "data")
    stranger.done(*uvx, *stranger.offline(), *words, cwd=project.path, XDG_DATA_HOME=data)
    assert list(stranger.home.iterdir()) == []
    assert (project.path / ".orchestrator" / "local" / "workspace").is_dir()
