"""Gates of JavaScript projects: scripts of package.json, and test runners that no script runs."""

import re
from collections.abc import Iterator

from orchestrator.core.gates.file_kinds import JAVASCRIPT, own_files, patterns_of
from orchestrator.core.gates.gate import Gate, GateFiles, GateReport, GateSource
from orchestrator.gates.detect.called_scripts import (
    PACKAGE,
    ScriptAnalyzer,
    mapping,
    package_of,
    texts_of,
)

#: Text in the script that ``npm init`` writes if there are no tests.
_NO_TEST = "no test specified"
#: npm scripts that check something, with the names of their gates.
SCRIPTS = {"lint": "npm-lint", "typecheck": "npm-typecheck", "test": "npm-test"}
#: Maximum number of test files that are searched for their test runner.
_MOST_READ = 20
_OUTPUT = '"$ORCHESTRATOR_GATE_REPORT"'
#: The command of each test runner, and the format of its report, by name.
_RUNNERS = {
    "vitest": (f"vitest run --reporter=json --outputFile={_OUTPUT}", GateReport.JEST),
    "jest": (f"jest --ci --json --outputFile={_OUTPUT}", GateReport.JEST),
    "node-test": (
        f"node --test --test-reporter=junit --test-reporter-destination={_OUTPUT}",
        GateReport.JUNIT,
    ),
}
_LOOKS_AT = patterns_of("JavaScript", "TypeScript", "Vue", "Svelte")
#: Matches tools in a script that may check files of any language.
_OTHER_TOOLS = re.compile(
    r"(?:^|[;&|(]|\b(?:exec|env|time|run)\b)\s*(?:\w+=\S*\s+)*"
    r"(?:make|just|task|tox|nox|pytest|python[\d.]*|uv|poetry|go|cargo|mvn|gradlew?|dotnet|bundle"
    r"|rake|rspec|composer|phpunit|docker|bash|sh|pre-commit|\./(?!node_modules/))\b"
)
NAMES = frozenset({*SCRIPTS.values(), *_RUNNERS})
#: Configuration files of the tools that scripts run, such as linters and test runners.
CONFIGURED_BY = (
    *(PACKAGE, ".npmrc", "tsconfig*.json", "*eslint*", ".prettierrc*", ".prettierignore"),
    *("prettier.config.*", "biome.json*", "jest.*", "vitest.*", "vite.config.*", "babel.config.*"),
    *(".babelrc*", ".mocharc*", ".nycrc*", ".stylelintrc*", "stylelint.config.*"),
)


def gates(files: GateFiles) -> Iterator[Gate]:
    scripts = list(_script_gates(files))
    yield from scripts
    if not any(gate.name == SCRIPTS["test"] for gate in scripts):
        yield from _test_gates(files)


def by_name(name: str, files: GateFiles) -> Gate | None:
    """Return the gate with this name: a test runner, or a script of the project.

    Return None for any other name, and for a script whose command can never fail.
    """
    if name in _RUNNERS:
        return _runner_gate(name, "requested by name")
    return next((gate for gate in _script_gates(files) if gate.name == name), None)


def has_tests(files: GateFiles) -> bool:
    return any(gate.name in {SCRIPTS["test"], *_RUNNERS} for gate in gates(files))


def _script_gates(files: GateFiles) -> Iterator[Gate]:
    """Yield a gate for each script that can fail.

    The gate also runs the scripts that npm runs before and after the script.
    """
    scripts = mapping(package_of(files), "scripts")
    for script, name in SCRIPTS.items():
        text = " && ".join(texts_of(scripts, script))
        is_script = isinstance(scripts.get(script), str) and _NO_TEST not in text
        if not is_script or ScriptAnalyzer(files).always_succeed(text):
            continue
        yield Gate(
            name=name,
            run=text,
            timeout=0.0,
            program="npm",
            source=GateSource.DETECTED,
            why=f"the script {script} in {PACKAGE}",
            configured_by=CONFIGURED_BY,
            is_of_files=script != "test",
            looks_at=() if _OTHER_TOOLS.search(text) else _LOOKS_AT,
        )


def _test_gates(files: GateFiles) -> Iterator[Gate]:
    """Yield at most one gate: the project's test runner, if the project has files with tests."""
    package = package_of(files)
    dependencies = {**mapping(package, "dependencies"), **mapping(package, "devDependencies")}
    tests = list(own_files(files.paths(), JAVASCRIPT))
    runner = next((name for name in ("vitest", "jest") if name in dependencies), "")
    if not runner:
        node_tests = (path for path in tests[:_MOST_READ] if "node:test" in files.read(path))
        tests, runner = list(node_tests), "node-test"
    if tests:
        yield _runner_gate(runner, tests[0])


def _runner_gate(name: str, why: str) -> Gate:
    command, report = _RUNNERS[name]
    return Gate(
        name=name,
        run=command,
        timeout=0.0,
        report=report,
        program=command.split(" ")[0],
        source=GateSource.DETECTED,
        why=why,
        configured_by=CONFIGURED_BY,
        looks_at=_LOOKS_AT,
    )
