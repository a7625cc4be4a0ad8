"""The host project's tools give the same results with and without the product's folder."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli.doctor.project_tools import host_checks
from tests.acceptance.embedding import PRODUCT, copy_product, run
from tests.support.programs import require_programs

BIN = PRODUCT / ".venv" / "bin"

FILES = {
    "app/__init__.py": "",
    "app/core.py": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "tests/__init__.py": "",
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef one() -> int:\n    return 1\n",
    "tests/test_core.py": "from app.core import add\n\n\n"
    "def test_add(one: int) -> None:\n    assert add(one, 2) == 3\n",
}


@dataclass(frozen=True)
class Case:
    """A tool of a host project, and how a user adds doctor's line."""

    command: tuple[str | Path, ...]
    files: dict[str, str]
    #: Adds doctor's line to the host; None: doctor has no line.
    add: Callable[[Path, str], None] | None = None


def at_end(name: str) -> Callable[[Path, str], None]:
    def add(host: Path, line: str) -> None:
        with (host / name).open("a") as file:
            file.write(line + "\n")

    return add


def after(name: str, mark: str) -> Callable[[Path, str], None]:
    def add(host: Path, line: str) -> None:
        text = (host / name).read_text()
        assert mark in text
        (host / name).write_text(text.replace(mark, f"{mark}\n  {line}\n", 1))

    return add


OTHERS = {
    "pytest": Case((BIN / "python", "-m", "pytest"), FILES),
    "ruff": Case((BIN / "ruff", "check", "."), FILES),
    "mypy": Case(
        (BIN / "mypy", "."), {**FILES, "mypy.ini": "[mypy]\nstrict = True\n"}, at_end("mypy.ini")
    ),
    "mypy in pyproject.toml": Case(
        (BIN / "mypy", "."),
        {**FILES, "pyproject.toml": "[tool.mypy]\nexclude = ['^docs/']\n"},
        lambda host, line: (host / "pyproject.toml").write_text(f"[tool.mypy]\n{line}\n") and None,
    ),
    "mypy without settings": Case(
        (BIN / "mypy", "."),
        FILES,
        lambda host, line: (host / "mypy.ini").write_text(f"[mypy]\n{line}\n") and None,
    ),
    "go": Case(
        ("go", "vet", "./..."),
        {"go.mod": "module host\n\ngo 1.19\n", "main.go": "package main\n\nfunc main() {}\n"},
    ),
    "cargo": Case(
        ("cargo", "check", "--offline", "--quiet"),
        {
            "Cargo.toml": '[workspace]\nmembers = ["[a-z]*"]\nresolver = "2"\n',
            ".cargo/config.toml": '[build]\ntarget-dir = ".target"\n',
            "one/Cargo.toml": '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n',
            "one/src/lib.rs": "pub fn one() -> u8 {\n    1\n}\n",
        },
        after("Cargo.toml", "[workspace]"),
    ),
}

NODE_FILES = {
    "package.json": '{\n  "name": "host",\n  "type": "module"\n}\n',
    "src/one.ts": "export const one: number = 1;\n",
    "src/two.js": "export const two = 2;\n",
    "src/two.test.cjs": 'test("two", () => expect(1 + 1).toBe(2));\n',
}

NODE = {
    "eslint": Case(
        ("eslint", "."),
        {
            **NODE_FILES,
            "eslint.config.js": "export default [\n"
            '  { files: ["**/*.js"], rules: { "no-undef": "error", "no-console": "error" } },\n'
            "];\n",
        },
        after("eslint.config.js", "export default ["),
    ),
    "prettier": Case(
        ("prettier", "--check", "."),
        {**NODE_FILES, ".prettierrc": "{}\n"},
        at_end(".prettierignore"),
    ),
    "tsc": Case(
        ("tsc", "--noEmit", "--listFilesOnly"),
        {
            **NODE_FILES,
            "tsconfig.json": "{\n"
            '  // as the team has it\n  "compilerOptions": { "types": [], "lib": ["es2022"] }\n}\n',
        },
        after("tsconfig.json", "{"),
    ),
    "jest": Case(
        ("jest",),
        {
            **NODE_FILES,
            "jest.config.cjs": 'module.exports = {\n  testMatch: ["**/*.test.cjs"],\n};\n',
        },
        after("jest.config.cjs", "module.exports = {"),
    ),
}
CASES = OTHERS | NODE


@pytest.fixture
def host(tmp_path: Path) -> Path:
    host = tmp_path.resolve() / "a host"
    host.mkdir()
    subprocess.run(["git", "init", "-q", str(host)], check=True)
    return host


def write(host: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text)


def put_folder_in(host: Path, files: dict[str, str], with_git: bool) -> Path:
    """The workspace has a job: the worktree of one worker, and a file of another worker."""
    folder = copy_product(host)
    if with_git:
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    leave_work(folder, files)
    return folder


def leave_work(folder: Path, files: dict[str, str]) -> None:
    depth = folder / "workspace" / "job_abc" / "depth_0"
    write(depth / "worker_1" / "worktree", files)
    left = {"test_left.py": "import nowhere\n", "left.js": "console.log(1)", "main.go": "broken"}
    write(depth / "worker_2", left | {"left.ts": "const one: string = 1", "left.test.cjs": "("})


def output_of(case: Case, host: Path) -> tuple[int, str]:
    done = run(*case.command, cwd=host, RUFF_NO_CACHE="true", CARGO_TERM_COLOR="never")
    text = re.sub(r"(, estimated )?[\d.]+ ?m?s\b", "TIME", done.stdout + done.stderr)
    return done.returncode, re.sub(r"TIMETIME| \(TIME\)", "TIME", text).replace(" TIME", "")


def check(case: Case, tool: str, host: Path, with_git: bool) -> None:
    write(host, case.files)
    before = output_of(case, host)
    assert before[0] == 0, before
    if case.add is not None:
        # Files of jobs show the difference: reading the whole folder takes mypy and prettier a
        # minute.
        leave_work(host / "orchestrator", case.files)
        assert output_of(case, host) != before, (
            "the tool reads no file of the product even without the line"
        )
        shutil.rmtree(host / "orchestrator")
    folder = put_folder_in(host, case.files, with_git)

    notes = [each for each in host_checks(folder, host) if each.name == f"host {tool}"]
    if case.add is None:
        assert not notes
    else:
        (note,) = notes
        file, _, line = note.fix.partition(": ")
        case.add(host, line)
        assert f"{host}/" in file

    assert output_of(case, host) == before
    assert not [each for each in host_checks(folder, host) if each.name == f"host {tool}"]


#: Cases that run only at night, because by day another case covers the same kind of tool.
AT_NIGHT = (
    *("go", "jest", "mypy", "mypy in pyproject.toml", "mypy without settings", "prettier", "tsc"),
)
TABLE = [
    pytest.param(
        name,
        is_clone,
        marks=pytest.mark.nightly if name in AT_NIGHT or is_clone != (name == "pytest") else [],
    )
    for name, case in CASES.items()
    for is_clone in {False, case.add is None}
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "with_git"), TABLE)
def test_the_portable_folder_does_not_change_the_output_of_a_tool(
    name: str, with_git: bool, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    require_programs(monkeypatch, str(case.command[0]))

    check(case, name.split()[0], host, with_git)
