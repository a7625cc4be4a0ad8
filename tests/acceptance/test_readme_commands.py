"""README's commands, unchanged and in their order, in a new project.

Stand-ins replace the AI tools, and a directory of wheels replaces the package index. The repository
that the commands clone contains the present working tree.
"""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance import wheelhouse
from tests.acceptance.embedding import PRODUCT, copy_product, link_packages
from tests.support.programs import search_path
from tests.support.project import Project, python_programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.needs("hatchling", "pipx", "uvx"),
]

BLOCK = re.compile(r"^```(bash|console|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((PRODUCT / "README.md").read_text("utf-8"))
#: The line after which the test links the packages, so that install.sh needs no network.
CLONE = "git clone --depth 1 URL orchestrator"
#: Beginning of a command that runs inside a worker.
IN_A_WORKER = "orchestrator spawn "
#: Keys for the stand-ins, which otherwise would need logins. Blocks without AI tools have no keys,
#: because other agents would call their services.
KEYS = {"ANTHROPIC_API_KEY": "sk-of-a-reader", "OPENAI_API_KEY": "sk-of-a-reader"}
PROJECT = {
    "app.py": "def add(a,b):\n  return a+b\n",
    "test_app.py": "from app import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
    "pyproject.toml": '[tool.ruff]\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
    ".gitignore": "__pycache__/\n.pytest_cache/\n.ruff_cache/\n/dist/\n",
}
#: Claude Code and Codex: they write one file and answer, or plan one task if a schema asks for a
#: plan. Codex' session file names the model, whose price the limit of costs needs.
#: ``claude mcp add NAME -- COMMAND`` starts the command as an AI tool does.
AI_TOOL = """\
import json, os, subprocess, sys
from pathlib import Path

program, words = Path(sys.argv[0]), sys.argv[1:]
plan = {"id": "a", "title": "Limits", "prompt": "Add limits", "depends_on": [], "role": None}
plan = {"tasks": [plan | {"files": [], "gates": [], "locks": []}]}
plans = "--json-schema" in words or "--output-schema" in words
hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
hello["clientInfo"] = {"name": "claude", "version": "1"}


def emit(kind, **event):
    print(json.dumps({"type": kind, **event}), flush=True)


if words == ["--version"]:
    print("1.0.0")
elif words[:2] == ["mcp", "add"]:
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    command, asked = words[words.index("--") + 1 :], json.dumps(request) + "\\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    print("added", words[2], json.loads(done.stdout)["result"]["serverInfo"]["name"])
elif program.stem == "claude":
    sys.stdin.readline()
    made = {"structured_output": plan} if plans else {}
    if not plans:
        Path("limits.md").write_text("by claude\\n")
    emit("result", subtype="success", is_error=False, result="done", num_turns=1, **made)
else:
    sys.stdin.read()
    sessions = Path(os.environ["CODEX_HOME"], "sessions", "2026", "11", "26")
    sessions.mkdir(parents=True, exist_ok=True)
    model = {"payload": {"thread_settings": {"model": "gpt-5-codex"}}}
    (sessions / "rollout-1.jsonl").write_text(json.dumps(model) + "\\n")
    if not plans:
        Path("codex.md").write_text("by codex\\n")
    text = json.dumps(plan) if plans else "done"
    emit("thread.started", thread_id="a-thread")
    emit("item.completed", item={"id": "1", "type": "agent_message", "text": text})
    emit("turn.completed", usage={"input_tokens": 10, "output_tokens": 1})
"""


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


def programs(home: Path) -> str:
    """Return a search path with the stand-ins first, and this machine's directories last."""
    path = python_programs(home / "programs")
    for name in ("claude", "codex"):
        tool = home / "programs" / name
        tool.with_suffix(".py").write_text(AI_TOOL)
        # The first line does not name Python, because its path may contain a space.
        tool.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tool))}.py "$@"\n'
        )
        tool.chmod(0o755)
    return path + os.pathsep + search_path()


def offline(home: Path) -> dict[str, str]:
    """Return variables with which pip, pipx, and uv use only the packages in a directory."""
    packages = home / "packages"
    wheelhouse.fill(packages)
    wheelhouse.fill_for_build(packages)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_CONFIG_FILE": os.devnull}
    index |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(packages), "UV_NO_CONFIG": "1"}
    index |= {"UV_OFFLINE": "1", "UV_PYTHON": sys.executable, "UV_CACHE_DIR": str(home / "cache")}
    index |= {"PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "pipx" / "bin")}
    return index | {"PIPX_DEFAULT_PYTHON": sys.executable, "PIPX_MAN_DIR": str(home / "pipx/man")}


def environment(home: Path) -> dict[str, str]:
    names = ("PYTHON", "ORCHESTRATOR_", "VIRTUAL_ENV", "PYTEST_", "PIP_", "PIPX_", "UV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    # A free port, because servers of parallel tests would compete for the default port.
    own = {"PATH": programs(home), "HOME": str(home / "user"), "ORCHESTRATOR_API__PORT": "0"}
    return kept | own | offline(home)


class Reader:
    """Types the blocks of the page. Each block starts where the previous block ended."""

    def __init__(self, home: Path) -> None:
        self.project = Project(home / "my-app").begin(PROJECT)
        (home / "user").mkdir()
        self.source = copy_product(home / "path-to")
        self._make_repository()
        self.directory, self.job = self.project.path, ""
        self.where = home / "directory"
        self.environment = environment(home)

    def _make_repository(self) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        for words in (["init", "-q"], ["add", "--all"], [*who, "commit", "-qm", "all"]):
            subprocess.run(["git", *words], cwd=self.source, check=True)

    def save(self, text: str) -> None:
        if name := re.match(r"# (\S+\.yaml)\n", text):
            (self.directory / name[1]).write_text(text)

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        script = text.replace("/path/to/orchestrator", str(self.source)).replace("JOB", self.job)
        script = script.replace(" URL ", f" file://{self.source} ")
        keys = KEYS if re.search(r"\b(claude|codex)\b", text) else {}
        with confirming() as terminal:
            return subprocess.run(
                ["bash", "-euc", f'{script}\npwd >"$0"', self.where],
                cwd=self.directory,
                env=self.environment | keys,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=240,
            )

    def type(self, text: str) -> str:
        ran = self.run(text)
        assert ran.returncode == 0, f"$ {ran.args[2]}\n{ran.stdout}"
        self.directory = Path(self.where.read_text().strip())
        if accepted := re.search(r"^job (\w+) accepted$", ran.stdout, re.MULTILINE):
            self.job = accepted[1]
        return ran.stdout

    def type_and_install(self, text: str) -> str:
        clone, rest = text.split("\n", 1)
        printed = self.type(clone)
        link_packages(self.directory / "orchestrator")
        return printed + self.type(rest)

    def type_in_a_worker(self, text: str) -> None:
        plan = self.directory / "in_a_worker.json"
        task = {"command": text.strip()}
        plan.write_text(json.dumps({"request": "x", "tasks": [task]}))
        self.type(f"bin/orchestrator run --plan {plan.name}")


def test_the_commands_of_the_readme_have_the_described_results(tmp_path: Path) -> None:
    reader, printed = Reader(tmp_path.resolve()), ""

    for kind, text in BLOCKS:
        if kind == "yaml":
            reader.save(text)
        elif text.startswith(IN_A_WORKER):
            reader.type_in_a_worker(text)
        elif text.startswith(CLONE):
            printed += reader.type_and_install(text)
        else:
            printed += reader.type(text)

    assert "attempt 2 of worker_4 resolved a merge conflict" in printed
    assert "Survey of `my-app`" in printed
    assert "+def add(a, b):" in printed
    assert "added orchestrator orchestrator" in printed
    landed, undone = reader.project.git("reflog", "-2", "--format=%gs").splitlines()[::-1]
    assert landed.startswith("orchestrator land") and undone.startswith("orchestrator undo")
    assert reader.project.git("status", "--porcelain") == ""
    assert "def add(a,b)" in (reader.project.path / "app.py").read_text()
    made = reader.project.git("log", "--all", "--format=", "--name-only")
    assert {"limits.md", "codex.md"} <= set(made.splitlines())
    command = Path(reader.environment["PIPX_BIN_DIR"]) / "orchestrator"
    assert "version" in subprocess.check_output([command, "--version"], text=True)

    (reader.project.path / "unused.py").write_text("import os\n")
    failing = reader.run("bin/orchestrator run --plan plan.yaml")
    # "If `lint` fails, `size` is skipped. The job is then `partial`, and the exit code is 6."
    assert failing.returncode == 6, failing.stdout
    assert re.search(r"worker_3 +skipped", failing.stdout)
