"""Detects gates from the files of a commit: pytest, ruff, mypy, npm, cargo, go, pre-commit, make.

The commands of gates are built only from files of the base commit, so that no worker can change a
gate's command.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.core.gates.file_kinds import PYTEST, PYTHON, own_files, patterns_of
from orchestrator.core.gates.gate import SECRETS, Gate, GateFiles, GateReport, GateSource
from orchestrator.gates.detect import javascript, security_tools
from orchestrator.gates.detect.called_scripts import (
    MAKEFILES,
    is_constant_target,
    rules_of,
    scripts_in,
)
from orchestrator.gates.detect.tool_settings import PYPROJECT, PYTEST_FILES, SETUP, plugins

REPORT = '"$ORCHESTRATOR_GATE_REPORT"'
_PYTHON = ("*.py", "*.pyi")
#: Matches text of a file with Python tests. The file must also have the name of a test file.
_PYTHON_TESTS = re.compile(r"\bdef test|\bclass Test|\bunittest\b|\bpytest\b")
#: Maximum number of files that are searched for Python tests.
_MOST_READ = 20
_TARGETS = {"check": "make-check", "test": "make-test"}


def secrets(why: str = "built in") -> Gate:
    return Gate(
        name=SECRETS, run="", timeout=0.0, new_only=False, source=GateSource.DETECTED, why=why
    )


def detected(files: GateFiles) -> Iterator[Gate]:
    """Yield the detected gates. Fast gates come first."""
    yield secrets()
    for name, evidence in _EVIDENCE.items():
        why = evidence(files)
        if why:
            yield _detected_gate(name, files, why)
    yield from javascript.gates(files)
    yield from security_tools.gates(files)
    # ``make test`` is a gate only if no other gate runs tests, because ``make test`` usually runs
    # the same tests.
    has_tests = any(_EVIDENCE[name](files) for name in ("pytest", "cargo-test", "go-test"))
    if not (has_tests or javascript.has_tests(files)):
        yield from list(_make_gates(files))[:1]


def by_name(name: str, files: GateFiles) -> Gate | None:
    """Return the gate with a requested name; None if the name is unknown.

    A well-known gate such as pytest is returned even if no file shows that the project uses it.
    """
    if name == SECRETS:
        return secrets("requested by name")
    if name in _EVIDENCE:
        return _detected_gate(name, files, "requested by name")
    if name in security_tools.NAMES:
        return security_tools.by_name(name, files)
    if name in javascript.NAMES:
        return javascript.by_name(name, files)
    return next((gate for gate in _make_gates(files) if gate.name == name), None)


#: All names of gates that this product knows.
NAMES = frozenset(
    {SECRETS, "ruff", "mypy", "go-vet", "pre-commit", "pytest", "cargo-test", "go-test"}
    | {*_TARGETS.values()}
    | javascript.NAMES
    | security_tools.NAMES
)


def _detected_gate(name: str, files: GateFiles, why: str) -> Gate:
    fields = _MADE[name](files)
    return Gate(name=name, timeout=0.0, source=GateSource.DETECTED, why=why, **fields)


# -- evidence for a gate ---------------------------------------------------------------------------


def _ruff_evidence(files: GateFiles) -> str:
    config_file = next((name for name in ("ruff.toml", ".ruff.toml") if name in files.names()), "")
    return config_file or ("tool.ruff in pyproject.toml" if "ruff" in _tools(files) else "")


def _mypy_evidence(files: GateFiles) -> str:
    evidence = next((name for name in ("mypy.ini", ".mypy.ini") if name in files.names()), "")
    if not evidence and "[mypy]" in files.read(SETUP):
        evidence = "[mypy] in setup.cfg"
    return evidence or ("tool.mypy in pyproject.toml" if "mypy" in _tools(files) else "")


def _pytest_evidence(files: GateFiles) -> str:
    top = files.names()
    if "pytest" in _tools(files):
        return "tool.pytest in pyproject.toml"
    for name, section in ((SETUP, "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if section in files.read(name):
            return f"{section} in {name}"
    for name in ("pytest.ini", "conftest.py"):
        if name in top:
            return name
    # A file counts if it has the name and the content of a test file. Its directory does not
    # matter, because test files may be next to the code.
    for path in list(own_files(files.paths(), PYTEST))[:_MOST_READ]:
        if _PYTHON_TESTS.search(files.read(path)):
            return path
    return ""


def _tools(files: GateFiles) -> Mapping[str, Any]:
    try:
        tables = tomllib.loads(files.read(PYPROJECT)).get("tool", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return tables if isinstance(tables, dict) else {}


def _if_present(name: str) -> Callable[[GateFiles], str]:
    return lambda files: name if name in files.names() else ""


_EVIDENCE: Mapping[str, Callable[[GateFiles], str]] = {
    "ruff": _ruff_evidence,
    "mypy": _mypy_evidence,
    "go-vet": _if_present("go.mod"),
    "pre-commit": _if_present(".pre-commit-config.yaml"),
    "pytest": _pytest_evidence,
    "cargo-test": _if_present("Cargo.toml"),
    "go-test": _if_present("go.mod"),
}


# -- commands --------------------------------------------------------------------------------------


def _ruff_fields(files: GateFiles) -> Mapping[str, Any]:
    # Disable the setting "fix" of the project: ruff does not report problems that it has fixed.
    options = "--no-fix --no-fix-only --no-cache"
    return {
        "run": f"ruff check {options} --output-format=json --output-file={REPORT}",
        "report": GateReport.RUFF,
        "program": "ruff",
        "when": (*_PYTHON, "*.ipynb", PYPROJECT, "ruff.toml", ".ruff.toml"),
        "configured_by": (PYPROJECT, "ruff.toml", ".ruff.toml"),
    }


def _mypy_fields(files: GateFiles) -> Mapping[str, Any]:
    options = "--no-pretty --hide-error-context --show-error-codes --no-color-output"
    table = _tools(files).get("mypy")
    settings = {*table} if isinstance(table, dict) else set()
    ini = "".join(files.read(name) for name in ("mypy.ini", ".mypy.ini", SETUP))
    settings |= {*re.findall(r"^(files|packages|modules)\s*=", ini, re.MULTILINE)}
    target = "" if settings & {"files", "packages", "modules"} else " ."
    return {
        "run": f"mypy {options} --cache-dir=/dev/null{target}",
        "report": GateReport.MYPY,
        "program": "mypy",
        "when": (*_PYTHON, PYPROJECT, "mypy.ini", ".mypy.ini", SETUP),
        "configured_by": (PYPROJECT, "mypy.ini", ".mypy.ini", SETUP),
    }


def _pytest_fields(files: GateFiles) -> Mapping[str, Any]:
    command = f"pytest -q -p no:cacheprovider --junitxml={REPORT}"
    source = "$PWD/src:" if "src" in files.names() else ""
    return {
        # Put the worktree before all installed packages. Otherwise the gate could test an editable
        # installation of the project in another directory. Only ``probe``, which is already in
        # PYTHONPATH, comes first: the project may have its own ``sitecustomize``.
        "run": f'PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{source}$PWD" {command}',
        "report": GateReport.JUNIT,
        "program": "pytest",
        "looks_at": patterns_of(PYTHON),
        "by_imports": True,
        "configured_by": (*PYTEST_FILES, *plugins(files)),
    }


def _command_fields(
    command: str,
    *configured_by: str,
    when: tuple[str, ...] = (),
    report: GateReport = GateReport.EXIT,
    is_of_files: bool = False,
    looks_at: tuple[str, ...] = (),
) -> Any:
    program = command.split(" ")[0]
    return lambda files: {
        "run": command,
        "report": report,
        "program": program,
        "configured_by": configured_by,
        "when": when,
        "is_of_files": is_of_files,
        "looks_at": looks_at,
    }


_MADE: Mapping[str, Callable[[GateFiles], Mapping[str, Any]]] = {
    "ruff": _ruff_fields,
    "mypy": _mypy_fields,
    "go-vet": _command_fields(
        "go vet ./...", "go.mod", when=("*.go", "go.mod", "go.sum"), is_of_files=True
    ),
    "pre-commit": _command_fields(
        "pre-commit run --all-files --color=never",
        ".pre-commit-config.yaml",
        report=GateReport.PRE_COMMIT,
    ),
    "pytest": _pytest_fields,
    "cargo-test": _command_fields(
        "cargo test --no-fail-fast",
        *("Cargo.toml", ".cargo/config.toml", "build.rs", "rust-toolchain*"),
        report=GateReport.CARGO,
        looks_at=patterns_of("Rust"),
    ),
    "go-test": _command_fields(
        "go test -v ./...",
        *("go.mod", "go.work"),
        report=GateReport.GO,
        looks_at=patterns_of("Go"),
    ),
}


def _make_gates(files: GateFiles) -> Iterator[Gate]:
    for makefile in MAKEFILES:
        text = files.read(makefile)
        rules = rules_of(text)
        for target, name in _TARGETS.items():
            if target in rules and not is_constant_target(target, text, files):
                yield Gate(
                    name=name,
                    # Without -f, a makefile that a worker adds might take precedence.
                    run=f"make -f {makefile} {target}",
                    timeout=0.0,
                    program="make",
                    source=GateSource.DETECTED,
                    why=f"the target {target} in {makefile}",
                    configured_by=(*MAKEFILES, "*.mk", *scripts_in(text, files)),
                )
