"""Gates of security tools.

A tool is detected if the project has a configuration for it, or already runs it.
"""

from collections.abc import Callable, Iterator, Mapping

from orchestrator.core.gates.gate import NO_SOURCES, Gate, GateFiles, GateReport, GateSource
from orchestrator.core.lazy_dataclass import dataclass

_REPORT = '"$ORCHESTRATOR_GATE_REPORT"'
_PYPROJECT, _SETUP = "pyproject.toml", "setup.cfg"
#: Files in which projects list their commands.
_RUNS = (
    *("Makefile", "makefile", "tox.ini", "noxfile.py", "package.json", _PYPROJECT, _SETUP),
    *("requirements-dev.txt", "dev-requirements.txt", "requirements/dev.txt", "tools.go", "go.mod"),
)


@dataclass(frozen=True, slots=True)
class _Tool:
    program: str
    report: GateReport
    #: Returns why the project needs the gate, as text; "" if nothing shows that the project uses
    #: the tool.
    evidence: Callable[[GateFiles], str]
    run: Callable[[GateFiles], str]
    when: tuple[str, ...]
    configured_by: tuple[str, ...] = ()
    looks_at: tuple[str, ...] = ()


def gates(files: GateFiles) -> Iterator[Gate]:
    for name, tool in _TOOLS.items():
        why = tool.evidence(files)
        if why:
            yield _gate(name, tool, files, why)


def by_name(name: str, files: GateFiles) -> Gate:
    return _gate(name, _TOOLS[name], files, "requested by name")


def _gate(name: str, tool: _Tool, files: GateFiles, why: str) -> Gate:
    return Gate(
        name=name,
        run=tool.run(files),
        timeout=0.0,
        report=tool.report,
        program=tool.program,
        source=GateSource.DETECTED,
        why=why,
        when=tool.when,
        configured_by=tool.configured_by,
        is_of_files=True,
        looks_at=tool.looks_at,
    )


def _first_file_of(*names: str) -> Callable[[GateFiles], str]:
    return lambda files: next((name for name in names if name in files.names()), "")


def _mentioned(*words: str, needs: tuple[str, ...] = ()) -> Callable[[GateFiles], str]:
    """Return a function that searches the project's own commands for one of ``words``.

    The function returns a text such as ``bandit in Makefile``, or "" if it finds none of the words.
    ``needs``: names of files, at least one of which the project must have. If the project has none
    of these files, the function returns "". If ``needs`` is empty, no file is needed.
    """

    def evidence(files: GateFiles) -> str:
        if needs and not any(name in files.names() for name in needs):
            return ""
        matches = (name for name in _RUNS for word in words if word in files.read(name))
        name = next(matches, "")
        return f"{words[0]} in {name}" if name else ""

    return evidence


def _either(*signs: Callable[[GateFiles], str]) -> Callable[[GateFiles], str]:
    return lambda files: next(filter(None, (sign(files) for sign in signs)), "")


_BANDIT = ("bandit.yaml", "bandit.yml", ".bandit.yaml", ".bandit.yml")
_SEMGREP = (".semgrep.yml", ".semgrep.yaml", "semgrep.yml", "semgrep.yaml", ".semgrep")


def _bandit_table(files: GateFiles) -> str:
    return "tool.bandit in pyproject.toml" if "[tool.bandit" in files.read(_PYPROJECT) else ""


def _bandit_command(files: GateFiles) -> str:
    config_file = _first_file_of(*_BANDIT)(files) or (_PYPROJECT if _bandit_table(files) else "")
    config = f" -c {config_file}" if config_file else ""
    return f"bandit -q -r . -x ./.venv,./venv,./node_modules{config} -f json -o {_REPORT}"


def _semgrep_command(files: GateFiles) -> str:
    config_file = _first_file_of(*_SEMGREP)(files) or _SEMGREP[0]
    options = "--metrics=off --disable-version-check --quiet"
    return f"semgrep scan --config {config_file} {options} --sarif --output {_REPORT} ."


def _pip_audit_command(files: GateFiles) -> str:
    target = "-r requirements.txt" if "requirements.txt" in files.names() else "."
    return f"pip-audit {target} --progress-spinner off -f json -o {_REPORT}"


def _npm_audit_level(files: GateFiles) -> str:
    return "audit-level in .npmrc" if "audit-level" in files.read(".npmrc") else ""


def _always(command: str) -> Callable[[GateFiles], str]:
    return lambda files: command


_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
_TOOLS: Mapping[str, _Tool] = {
    "bandit": _Tool(
        "bandit",
        GateReport.BANDIT,
        _either(
            _bandit_table, _first_file_of(".bandit", *_BANDIT), _mentioned("bandit -", "bandit[")
        ),
        _bandit_command,
        ("*.py",),
        (_PYPROJECT, ".bandit", *_BANDIT),
    ),
    "semgrep": _Tool(
        "semgrep", GateReport.SARIF, _first_file_of(*_SEMGREP), _semgrep_command, (), _SEMGREP
    ),
    "gitleaks": _Tool(
        "gitleaks",
        GateReport.SARIF,
        _first_file_of(".gitleaks.toml", ".gitleaksignore"),
        _always(
            "gitleaks dir . --no-banner --redact --exit-code 0 "
            f"--report-format sarif --report-path {_REPORT}"
        ),
        (),
        (".gitleaks.toml", ".gitleaksignore"),
        NO_SOURCES,
    ),
    "npm-audit": _Tool(
        "npm",
        GateReport.NPM_AUDIT,
        _either(_npm_audit_level, _mentioned("npm audit", needs=_LOCKS)),
        _always(f"npm audit --json > {_REPORT}"),
        ("package.json", *_LOCKS),
        (".npmrc",),
    ),
    "pip-audit": _Tool(
        "pip-audit",
        GateReport.PIP_AUDIT,
        _mentioned("pip-audit", "pip_audit"),
        _pip_audit_command,
        ("requirements*.txt", _PYPROJECT, "*.lock"),
    ),
    "cargo-audit": _Tool(
        "cargo-audit",
        GateReport.CARGO_AUDIT,
        _either(
            lambda files: ".cargo/audit.toml" if files.read(".cargo/audit.toml") else "",
            _mentioned("cargo audit", needs=("Cargo.lock",)),
        ),
        _always(f"cargo audit --json > {_REPORT}"),
        ("Cargo.toml", "Cargo.lock"),
        (".cargo/audit.toml",),
    ),
    "govulncheck": _Tool(
        "govulncheck",
        GateReport.GOVULNCHECK,
        _mentioned("govulncheck", "golang.org/x/vuln", needs=("go.mod",)),
        _always(f"govulncheck -format sarif ./... > {_REPORT}"),
        ("*.go", "go.mod", "go.sum"),
    ),
}
NAMES = frozenset(_TOOLS)
