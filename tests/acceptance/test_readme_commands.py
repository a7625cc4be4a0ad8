"""README's commands, unchanged and in their order, in a new project."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.embedding import PRODUCT, embedded
from tests.support.project import Project, python_programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BLOCK = re.compile(r"^```(bash|console|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((PRODUCT / "README.md").read_text("utf-8"))
#: A part of a line, and why the test does not run the line.
FOREIGN = {
    "--agent claude": "needs Claude Code with a login",
    "--planner claude": "needs Claude Code with a login",
    "--agent codex": "needs Codex with a login",
    "claude mcp add": "needs Claude Code",
    "pip wheel": "needs a package index",
    "uvx --from": "needs uv and a package index",
    "pipx install": "needs pipx and a package index",
}
#: Beginning of a command that runs inside a worker.
IN_A_WORKER = "orchestrator spawn "
PROJECT = {
    "app.py": "def add(a,b):\n  return a+b\n",
    "test_app.py": "from app import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
    "pyproject.toml": '[tool.ruff]\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
    ".gitignore": "__pycache__/\n.pytest_cache/\n.ruff_cache/\n",
}


@contextmanager
def confirming() -> Iterator[int]:
    """A terminal on which two questions are answered with yes."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"y\ny\n")
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def environment(home: Path) -> dict[str, str]:
    names = ("PYTHON", "ORCHESTRATOR_", "VIRTUAL_ENV", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    return kept | {"PATH": python_programs(home / "programs")}


class Reader:
    """Types the blocks of the page. Each block starts where the previous block ended."""

    def __init__(self, home: Path) -> None:
        self.project = Project(home / "my-app").begin(PROJECT)
        self.source = embedded(home / "path-to")
        for stamp in (self.source / ".venv").glob(".installed-*"):
            # install.sh finds these packages in the copy, so that it needs no network.
            copy = str(self.project.path / "orchestrator")
            stamp.write_text(stamp.read_text().replace(str(self.source), copy, 1))
        self.directory, self.job = self.project.path, ""
        self.where = home / "directory"
        self.environment = environment(home)

    def save(self, text: str) -> None:
        if name := re.match(r"# (\S+\.yaml)\n", text):
            (self.directory / name[1]).write_text(text)

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        script = text.replace("/path/to/orchestrator", str(self.source)).replace("JOB", self.job)
        with confirming() as terminal:
            return subprocess.run(
                ["bash", "-euc", f'{script}\npwd >"$0"', self.where],
                cwd=self.directory,
                env=self.environment,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=180,
            )

    def type(self, text: str) -> str:
        ran = self.run(text)
        assert ran.returncode == 0, f"$ {ran.args[2]}\n{ran.stdout}"
        self.directory = Path(self.where.read_text().strip())
        if accepted := re.search(r"^job (\w+) accepted$", ran.stdout, re.MULTILINE):
            self.job = accepted[1]
        return ran.stdout

    def type_in_a_worker(self, text: str) -> None:
        plan = self.directory / "in_a_worker.json"
        plan.write_text(f'{{"request": "x", "tasks": [{{"command": {json_text(text)}}}]}}')
        self.type(f"bin/orchestrator run --plan {plan.name}")


def json_text(text: str) -> str:
    return '"' + text.strip().replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path) -> None:
    reader, printed, skipped = Reader(tmp_path.resolve()), "", set()

    for kind, text in BLOCKS:
        if kind == "yaml":
            reader.save(text)
            continue
        lines = text.splitlines(keepends=True)
        foreign = {part: [line for line in lines if part in line] for part in FOREIGN}
        skipped |= {part for part, found in foreign.items() if found}
        rest = [line for line in lines if not any(line in found for found in foreign.values())]
        if text.startswith(IN_A_WORKER):
            reader.type_in_a_worker(text)
        elif rest:
            printed += reader.type("".join(rest))

    assert skipped == set(FOREIGN)
    assert "attempt 2 of worker_4 resolved a merge conflict" in printed
    assert "Survey of `my-app`" in printed
    assert "+def add(a, b):" in printed
    landed, undone = reader.project.git("reflog", "-2", "--format=%gs").splitlines()[::-1]
    assert landed.startswith("orchestrator land") and undone.startswith("orchestrator undo")
    assert reader.project.git("status", "--porcelain") == ""
    assert "def add(a,b)" in (reader.project.path / "app.py").read_text()

    (reader.project.path / "unused.py").write_text("import os\n")
    failing = reader.run("bin/orchestrator run --plan plan.yaml")
    # "If `lint` fails, `size` is skipped. The job is then `partial`, and the exit code is 6."
    assert failing.returncode == 6, failing.stdout
    assert re.search(r"worker_3 +skipped", failing.stdout)
