"""Tools of workers and gates do not find the settings that exist above their directory."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, shell
from tests.support.examples import nightly
from tests.support.programs import require_programs
from tests.support.project import Project, agents, edit, python_programs

MARK = "POISON"
THROWS = f'throw new Error("{MARK}")\n'


@dataclass(frozen=True)
class Tool:
    """The input of a tool, and settings above its directory that would change its output."""

    program: str
    command: str
    poison: dict[str, str]
    #: Files of the project.
    files: dict[str, str] = field(default_factory=dict)
    #: Output if the tool found no settings above its directory; empty: any output.
    expected: str = ""


TOOLS = {
    "pytest": Tool(
        "pytest",
        "printf 'def test_x(): pass\\n' > test_x.py; pytest -p no:schemathesis",
        {
            "pytest.ini": f"[pytest]\naddopts = --{MARK}\n",
            "pyproject.toml": f"[tool.pytest.ini_options]\naddopts = '--{MARK}'\n",
            "conftest.py": f"raise RuntimeError('{MARK}')\n",
        },
        expected="1 passed",
    ),
    "ruff": Tool(
        "ruff",
        "echo 'import os' > a.py; ruff check --no-cache . || test -d .",
        {"ruff.toml": f"select = ['{MARK}']\n", "pyproject.toml": f"[tool.ruff]\nx = '{MARK}'\n"},
        expected="F401",
    ),
    "mypy": Tool(
        "mypy",
        "echo 'x: int = 1' > a.py; mypy --cache-dir=/dev/null a.py",
        {"mypy.ini": f"[mypy]\nplugins = {MARK}\n", "setup.cfg": f"[mypy]\nplugins = {MARK}\n"},
        expected="Success",
    ),
    "git": Tool(
        "git",
        "mkdir -p in && cd in && { git log -1 --format=%s || test -d .; }",
        {},
    ),
    "pre-commit": Tool(
        "pre-commit",
        "pre-commit run --all-files --color=never || test -d .",
        {
            ".pre-commit-config.yaml": "repos:\n- repo: local\n  hooks:\n"
            f"  - {{id: x, name: {MARK}, entry: 'true', language: system, always_run: true}}\n"
        },
    ),
    "eslint": Tool(
        "eslint",
        "echo 'var x = 1' > a.js; eslint a.js || test -d .",
        {"eslint.config.mjs": THROWS},
    ),
    "tsc": Tool(
        "tsc",
        "echo 'const x: number = 1' > a.ts; tsc --noEmit || test -d .",
        {"tsconfig.json": f'{{"extends": "./{MARK}.json"}}\n'},
    ),
    "prettier": Tool(
        "prettier",
        "echo 'const x = {a: 1}' > a.js; prettier a.js",
        {".prettierrc.json": MARK, ".editorconfig": "root = true\n[*]\nindent_style = tab\n"},
        expected="const x = { a: 1 };",
    ),
    "jest": Tool(
        "jest",
        "echo 'test(\"x\", () => {})' > a.test.js; jest || test -d .",
        {"jest.config.js": THROWS},
    ),
    "npm": Tool(
        "npm",
        "npm run poison || test -d .; npm install --offline || test -d .",
        {"package.json": f'{{"name": "x", "scripts": {{"poison": "echo {MARK}"}}}}\n'},
    ),
    "pnpm": Tool(
        "pnpm",
        "pnpm run poison || test -d .",
        {"package.json": f'{{"name": "x", "scripts": {{"poison": "echo {MARK}"}}}}\n'},
    ),
    "yarn": Tool(
        "yarn",
        "yarn run poison || test -d .",
        {"package.json": f'{{"name": "{MARK}"}}\n', "yarn.lock": ""},
    ),
    "cargo": Tool(
        "cargo",
        "cargo check --offline || test -d .",
        {
            "Cargo.toml": f'[package]\nname = "{MARK}"\nversion = "0.1.0"\n',
            "src/main.rs": "fn main() {}\n",
        },
    ),
    "go": Tool(
        "go",
        "go list ./... || test -d .; go env GOWORK",
        {"go.mod": f"module {MARK}\n", "go.work": f"go 1.19\n\nuse ./{MARK}\n"},
    ),
}
ARE_MODULES = {"go.mod": "module own\n\ngo 1.19\n", "a.go": "package main\n\nfunc main() {}\n"}
OWN = {
    "pytest with its own settings": Tool(
        "pytest",
        "pytest -p no:schemathesis; printf '%s\\n' \"$PWD\"",
        TOOLS["pytest"].poison,
        {"setup.cfg": "[tool:pytest]\ntestpaths = checks\n", "checks/test_x.py": "def test(): 1\n"},
        expected="configfile: setup.cfg",
    ),
    "go with its own module": Tool(
        "go",
        "go build -o /dev/null . && go list ./...",
        TOOLS["go"].poison,
        ARE_MODULES,
        expected="own",
    ),
    "cargo with its own package": Tool(
        "cargo",
        "cargo check --offline",
        TOOLS["cargo"].poison,
        {
            "Cargo.toml": '[package]\nname = "own"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/main.rs": "fn main() {}\n",
        },
        expected="Finished",
    ),
    "npm with its own package": Tool(
        "npm",
        "npm run mine && npm install --offline",
        TOOLS["npm"].poison,
        {"package.json": '{"name": "own", "scripts": {"mine": "echo mine: $PWD"}}\n'},
        expected="mine: ",
    ),
}


@pytest.fixture(autouse=True)
def own_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put pytest, ruff, and mypy of this Python on the path."""
    monkeypatch.setenv("PATH", python_programs(tmp_path / "programs"))


@dataclass(frozen=True)
class Ran:
    worker: str
    own: str
    gate: str
    ended: Answer


Run = Callable[[Tool], Ran]


@pytest.fixture
def run(make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the tool in a worker with a worktree, in a plain worker, and in a
    gate.
    """

    def run(tool: Tool) -> Ran:
        require_programs(monkeypatch, tool.program)
        project = Project(tmp_path / "project").begin({"README.md": "", **tool.files})
        folder = project.path / "product"
        for place in (project.path, folder):
            for name, text in tool.poison.items():
                if not (place / name).exists():
                    place.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
                    place.joinpath(name).write_text(text)
        given = {"project_root": str(project.path), "workspace_root": str(folder / "workspace")}
        site = make_site(orchestrator=given, agents=agents(tmp_path))
        site.workspace = folder / "workspace"
        gate = [{"name": "tool", "run": tool.command, "baseline": "none"}]
        tasks = [edit(f"{tool.command}\necho x > x", gates=gate), shell(tool.command)]
        ended = site.run("x", tasks)
        job = ended["job_id"]
        logs = site.directory(job) / "logs"
        gated = (logs / "gate_worker_1.tool.1.log").read_text("utf-8", "replace")
        return Ran(site.log(job, "worker_1"), site.log(job, "worker_2"), gated, ended)

    return run


#: By day: one tool for each search: in files above, in a repository above, by a variable, and in
#: the files of a package.
BY_DAY = ("pytest", "ruff", "git")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", [*BY_DAY, *nightly(*(name for name in TOOLS if name not in BY_DAY))]
)
def test_no_settings_above_the_workspace_are_found(name: str, run: Run, tmp_path: Path) -> None:
    tool = TOOLS[name]

    ran = run(tool)

    for output in (ran.worker, ran.own, ran.gate):
        assert MARK not in output
        assert tool.expected in output
    # A control: without the boundary, the tool finds the planted settings.
    control = tmp_path / "project" / "product" / "control"
    control.mkdir()
    found = subprocess.run(
        ["bash", "-c", tool.command], cwd=control, capture_output=True, text=True, check=False
    )
    assert (MARK if tool.poison else "first") in found.stdout + found.stderr


@pytest.mark.parametrize("name", [*[*OWN][:1], *nightly(*[*OWN][1:])])
def test_the_settings_of_the_worktree_itself_count(name: str, run: Run) -> None:
    tool = OWN[name]

    ran = run(tool)

    assert ran.ended["results"]["tasks"][0]["status"] == "success", ran
    for output in (ran.worker, ran.gate):
        assert MARK not in output
        assert tool.expected in output


def test_git_finds_no_repository_above_a_plain_directory(run: Run) -> None:
    asks = "git rev-parse --show-toplevel; rm -f .git; git status || test -d ."
    tool = Tool("git", asks, {})

    ran = run(tool)

    assert "not a git repository" in ran.own
    assert "not a git repository" in ran.gate


@pytest.mark.nightly
def test_names_of_tests_do_not_begin_at_the_workspace(run: Run) -> None:
    report = "pytest -p no:schemathesis --junitxml=/dev/stdout test_x.py"

    ran = run(Tool("pytest", f"echo 'def test_x(): pass' > test_x.py; {report}", {}))

    assert 'classname="test_x"' in ran.gate
