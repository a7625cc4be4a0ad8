"""The gates that a commit's files imply, with their names and commands."""

import json
import re
from collections.abc import Collection, Mapping

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.gates.gate import AUTO, Gate, GateSource
from orchestrator.gates import GateResolver
from orchestrator.schemas.requests.gates import GateRequest, gate_of


class Files:
    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def read(self, path: str) -> str:
        return self._files.get(path, "")

    def names(self, directory: str = "") -> Collection[str]:
        beginning = f"{directory}/" if directory else ""
        inside = [name for name in self._files if name.startswith(beginning)]
        return {name[len(beginning) :].split("/")[0] for name in inside}

    def paths(self) -> Collection[str]:
        return list(self._files)


def found(files: Mapping[str, str]) -> dict[str, Gate]:
    return {gate.name: gate for gate in GateResolver(60).default_gates(Files(files))}


PACKAGE = json.dumps({"scripts": {"test": "jest --ci", "pretest": "tsc", "lint": "eslint ."}})


JEST = json.dumps({"devDependencies": {"jest": "^30"}})
VITEST = json.dumps({"devDependencies": {"jest": "^30", "vitest": "^4"}})
TEST = "def test_a():\n    assert True\n"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({}, []),
        ({"pyproject.toml": "[tool.ruff]\n[tool.mypy]\n[tool.pytest.ini_options]"}, 3),
        ({"pyproject.toml": "not = [toml"}, []),
        ({"ruff.toml": ""}, ["ruff"]),
        ({"setup.cfg": "[mypy]\n[tool:pytest]"}, ["mypy", "pytest"]),
        ({"tests/test_a.py": TEST}, ["pytest"]),
        ({"tests/unit/core/test_a.py": TEST}, ["pytest"]),
        ({"test_a.py": "class TestA: ...", "a.py": ""}, ["pytest"]),
        ({"app/core.py": "", "app/tests/test_core.py": TEST}, ["pytest"]),
        ({"pkg/core_test.py": "import unittest"}, ["pytest"]),
        ({"pkg/tests/conftest.py": "import pytest"}, ["pytest"]),
        ({"scripts/test_connection.py": "print('ping')"}, []),
        ({"app/vendor/lib/test_a.py": TEST, "tests/fixtures/test_a.py": TEST}, []),
        ({".hidden/test_a.py": TEST, "node_modules/x/test_a.py": TEST}, []),
        ({"tests/a.sh": ""}, []),
        ({"package.json": JEST, "src/a.test.ts": ""}, ["jest"]),
        ({"package.json": JEST, "src/a.ts": ""}, []),
        ({"package.json": VITEST, "src/a.spec.tsx": ""}, ["vitest"]),
        ({"package.json": PACKAGE, "src/a.test.ts": ""}, ["npm-lint", "npm-test"]),
        ({"src/a.test.mjs": "import test from 'node:test'"}, ["node-test"]),
        ({"src/a.test.mjs": "import test from 'tape'"}, []),
        ({"package.json": PACKAGE}, ["npm-lint", "npm-test"]),
        ({"package.json": '{"scripts": {"test": "echo no test specified && exit 1"}}'}, []),
        ({"package.json": '{"scripts": ["x"]}'}, []),
        ({"package.json": "[" * 50_000}, []),
        ({"package.json": f"\ufeff{PACKAGE}"}, ["npm-lint", "npm-test"]),
        ({"Cargo.toml": ""}, ["cargo-test"]),
        ({"pyproject.toml": "[tool.bandit]"}, ["bandit"]),
        ({".semgrep.yml": "rules: []", ".gitleaks.toml": ""}, ["semgrep", "gitleaks"]),
        ({".npmrc": "audit-level=high"}, ["npm-audit"]),
        ({"Makefile": "audit:\n\tnpm audit", "package-lock.json": ""}, ["npm-audit"]),
        ({"Makefile": "audit:\n\tnpm audit"}, []),
        ({"requirements-dev.txt": "pip-audit==2.9"}, ["pip-audit"]),
        ({"Makefile": "a:\n\tcargo audit", "Cargo.lock": ""}, ["cargo-audit"]),
        (
            {"go.mod": "tool golang.org/x/vuln/cmd/govulncheck"},
            ["go-vet", "go-test", "govulncheck"],
        ),
        ({"go.mod": ""}, ["go-vet", "go-test"]),
        ({".pre-commit-config.yaml": ""}, ["pre-commit"]),
        ({"Makefile": "check: lint\ntest:\n\tx"}, ["make-check"]),
        ({"Makefile": "check:\n\t@echo none\n\ntest:\n\tx"}, ["make-test"]),
        ({"Makefile": "test:\n\tpytest", "conftest.py": ""}, ["pytest"]),
        ({"Makefile": "lint test all: x\n"}, ["make-test"]),
        ({"Makefile": ".PHONY: test\ncheck-all: test\n"}, []),
        ({"Makefile": "define x\ntest\nall: y\n\ttest: z\ntest = a: b"}, []),
        ({"Makefile": "check := 3"}, []),
        ({"Makefile": "check ::= 3\ntest:: a"}, ["make-test"]),
    ],
)
def test_files_speak_for_gates(files: dict[str, str], names: list[str] | int) -> None:
    gates = list(found(files))[1:]

    assert gates == names if isinstance(names, list) else len(gates) == names
    assert next(iter(found(files))) == "secrets"


@pytest.mark.parametrize(
    "script",
    [
        *("true", ":", "exit 0", "echo ok", "echo 'a; b && c' && exit 0", "; true # none"),
        *("tsc || true", "tsc >log 2>&1 || exit 0", "cd a && tsc || echo failed", "tsc; echo done"),
        *("tsc | tee log", "tsc 2>&1 | tail -5", "make -n test", "tsc || tsc || :;"),
        *("tsc; exit 0", "tsc && exit 0; true"),
        *(
            "(cd a && tsc) || true",
            "(tsc || true)",
            "(cd a; (tsc); true)||(tsc)",
            "( tsc; : ) >log",
        ),
        *('bash -c "tsc || true"', "sh -c 'tsc; true'", "/bin/dash -c 'tsc | tail'"),
        *('env X=1 CI= bash -lc "tsc || exit 0"', "X=1 zsh -xc 'tsc \"$A b\" || true' >log 2>&1"),
        *("/usr/bin/env bash --norc -c 'exit 0' tsc", "bash -ec 'tsc || true'", "sh -c true x"),
        *("bash -eo pipefail -c 'tsc || true'", "cd a; bash -c -- 'tsc; echo $?'", "sh -c ''"),
        *("bash -c 'bash -c \"tsc || true\"'", "bash -uc 'tsc || true'"),
        *('timeout 60 bash -c "tsc || true"', "timeout -k 5 --foreground 2m bash -c 'tsc; true'"),
        *("CI=1 timeout --kill-after=5 1.5h sh -c 'tsc | tail'", "time bash -c 'tsc || true'"),
        *("nice sh -c 'tsc; true'", "timeout -s KILL 9 time true"),
        *("PATH=/a:$PATH true", "X=$Y: echo"),
        *("ruff check --exit-zero .", "timeout 60 flake8 . --count --exit-zero"),
        *("tsc &", "cd a && tsc >log 2>&1 &", "tsc & wait", "tsc & jest &", "tsc; true & wait"),
        *("bash -c 'tsc &'", "(tsc &)", "set -e; tsc &", "tsc || jest &"),
    ],
)
def test_a_script_that_judges_nothing_is_no_gate(script: str) -> None:
    scripts = dict.fromkeys(("pretest", "test", "lint", "typecheck"), script)
    package = {"scripts": scripts, "devDependencies": {"jest": "1"}}
    files = {"package.json": json.dumps(package), "src/a.test.js": ""}

    assert list(found(files)) == ["secrets", "jest"]
    with pytest.raises(InvalidRequest, match="unknown gate"):
        named("npm-test", files=files)
    with pytest.raises(InvalidRequest, match="judges nothing"):
        named(script, files=files)


CALLED_SCRIPTS = {
    "unit": "true",
    "preunit": "echo",
    "real": "node a.js",
    "again": "npm run again",
    "ci": "true",
}
CALLED = {
    "Makefile": "none: empty\n\t@true\nempty:\nreal:\n\t./a.out\nbuild: file.c\n",
    "none.sh": "#!/bin/sh\nset -e\n# none yet\nexit 0\n",
    "real.sh": "#!/bin/sh\nnpm run real\n",
}


@pytest.mark.parametrize(
    ("command", "judges"),
    [
        ("npm run unit", False),
        ("npm run -s unit && yarn unit", False),
        ("npm run again", False),
        ("make none", False),
        ("./none.sh; bash none.sh", False),
        ("X=1 npm run unit; env Y=2 npm run unit", False),
        ("bash -c 'npm run real; npm run unit'", False),
        ("bash -c 'npm run unit; npm run real'", True),
        ("npm run unit && npm run real", True),
        ("npm run none-such", True),
        ("npm run none-such --if-present", False),
        ("npm run --if-present none-such", False),
        ("npm run real --if-present", True),
        ("npm run unit --if-present", False),
        ("yarn none-such --if-present", True),
        ("npm ci", True),
        ("npm run real || npm run real", True),
        ("npm run real || npm run unit", False),
        ("npm run unit -- --watch", True),
        ("make real", True),
        ("make build", True),
        ("make -C sub none", True),
        ("./real.sh", True),
        ("./none-such.sh", True),
    ],
)
def test_a_command_that_only_calls_one_that_judges_nothing_judges_nothing(
    command: str, judges: bool
) -> None:
    package = {"package.json": json.dumps({"scripts": {**CALLED_SCRIPTS, "test": command}})}
    makefile = {"Makefile": f"{CALLED['Makefile']}test:\n\t@{command.replace('make', '$(MAKE)')}\n"}
    none = {"package.json": json.dumps({"scripts": CALLED_SCRIPTS})}

    as_script = found({**CALLED, **package})
    as_target = found({**CALLED, **none, **makefile})

    assert ("npm-test" in as_script) is judges
    assert ("make-test" in as_target) is judges


@pytest.mark.parametrize(
    "script",
    [
        *("true && tsc", "echo x | node a.js", "exit 1", "echo 'x", "tsc;"),
        *("tsc || exit 1", "tsc || true && jest", "set -o pipefail; tsc | tail", "tsc; exit"),
        *("set -e; tsc; echo done", "if tsc; then exit 1; fi; echo done", "tail a | grep b"),
        *("! tsc | cat", "cut -f1 a | sort -c", "echo a#b && tsc", ": ${CI:?is missing}"),
        *(": ${CI?}", "set -u; : $X || true", "set -o nounset; tsc $X || true", "tsc; exit 0; tsc"),
        *(
            "bash -c tsc",
            "bash -c 'tsc; exit'",
            "sh -c 'true && tsc'",
        ),
        *("bash -ec 'tsc; true'", "bash -c -e 'tsc; true'", "bash -o errexit -c 'tsc; true'"),
        *("bash -eo pipefail -c 'tsc | tail'", "bash -c 'set -o pipefail; tsc | tail'"),
        *("bash -uc 'tsc $X || true'", "bash -o nounset -c 'tsc $X || true'"),
        *('bash -c "$X || true"', 'bash -c "`cat x` || true"', "bash -c $X", "bash -c '$0' tsc"),
        *(
            "bash -c",
            "bash true",
            "bash -c 'tsc",
            "bash -s 'true'",
            "bash -O x -c true",
            "./bash -c :",
        ),
        *("timeout 9 bash -c 'tsc'", "timeout 9 tsc", "timeout x true", "timeout 9"),
        *("env -S bash -c 'true'", "BASH_ENV=x bash -c 'true'"),
        *("PATH=/a:$PATH tsc", "X=a@: tsc", "echo:x", "timeout 9 X=:$X tsc"),
        *("serve & tsc", "tsc & wait $!", "tsc 2>&1", "tsc &>log", "serve & tsc; wait; jest"),
        *("set -e; tsc & jest", "tsc & wait -n", "pytest & wait %1", "echo '&' | sort -c"),
        *("env SHELLOPTS=errexit bash -c 'tsc; true'", "echo 'true' | bash", "X=`tsc`", "env tsc"),
        *(
            "bash --rcfile x -c 'true'",
            "bash +e -c true",
            "! sh -c true",
        ),
    ],
)
def test_a_script_that_runs_something_is_a_gate(script: str) -> None:
    assert [gate.run for gate in named(script)] == [script]
    assert "npm-test" in found({"package.json": json.dumps({"scripts": {"test": script}})})


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("pytest -q &", "runs in the background, so it judges nothing; remove the '&' at its end"),
        ("pytest --co", "runs no test, so it judges nothing; remove '--co'"),
        ("python -m pytest --collect-only -q", "judges nothing; remove '--collect-only'"),
        ("cd a && X=1 uv run pytest tests --co", "judges nothing; remove '--co'"),
        ("true", "always succeeds, so it judges nothing; use a command that can fail"),
    ],
)
def test_the_error_for_a_gate_that_judges_nothing_says_what_to_change(
    command: str, error: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(error)):
        named(command)


@pytest.mark.parametrize(
    "command",
    [
        *("pytest --co -q && pytest", "./pytest-all --co", "x --co", "ruff check && pytest --co"),
        "ruff check\npytest --co",
    ],
)
def test_a_command_that_does_not_only_collect_tests_is_a_gate(command: str) -> None:
    assert [gate.run for gate in named(command)] == [command]


def test_each_line_of_a_gate_can_fail() -> None:
    assert named("tsc\ntrue\n")
    with pytest.raises(InvalidRequest, match="always succeeds"):
        named("tsc || true\necho done\n")


@pytest.mark.parametrize(
    "makefile",
    [
        "test:\n",
        "test:\n\n# none yet\nx:\n\tpytest\n",
        ".PHONY: test\ntest:\n\t@echo no tests\n\t-true\n",
        "test: unit ; @true\nunit:\n\t@echo none \\\n\t  at all\n",
        "test: check\ncheck: test\n",
        "test:\n\t-pytest -q\n\t@-ruff check\n\t-@mypy\n",
        "test: ; -pytest -q\n",
    ],
)
def test_a_target_that_judges_nothing_is_no_gate(makefile: str) -> None:
    assert list(found({"Makefile": makefile})) == ["secrets"]


@pytest.mark.parametrize(
    "makefile",
    [
        "test: unit\nunit:\n\t./unit.sh\n",
        "test: ; ./unit.sh\n",
        "test: build/report\n",
        "include more.mk\ntest:\n",
        "test:\n\t@echo start\n\n\t$(PYTEST)\n",
        "test:\nifdef CI\n\t./unit.sh\nendif\n",
        "test: | unit\nunit: ; ./unit.sh\n",
        "test:\n\t-pytest -q\n\truff check\n",
    ],
)
def test_a_target_that_runs_something_is_a_gate(makefile: str) -> None:
    assert list(found({"Makefile": makefile})) == ["secrets", "make-test"]


def test_scripts_are_run_as_the_base_has_them() -> None:
    gate = found({"package.json": PACKAGE})["npm-test"]

    assert (gate.run, gate.program) == ("tsc && jest --ci", "npm")
    assert "package.json" in gate.configured_by


def test_a_gate_of_ruff_repairs_nothing() -> None:
    assert " --no-fix " in found({"ruff.toml": "fix = true"})["ruff"].run


def test_mypy_gets_files_unless_its_configuration_names_them() -> None:
    assert found({"mypy.ini": "[mypy]\nfiles = src"})["mypy"].run.endswith("/dev/null")
    assert found({"mypy.ini": "[mypy]\nstrict = true"})["mypy"].run.endswith("/dev/null .")


def test_the_worktrees_own_modules_come_after_the_probe_and_before_what_is_installed() -> None:
    run = found({"conftest.py": "", "src/a.py": ""})["pytest"].run

    assert run.startswith('PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$PWD/src:$PWD" pytest ')


@pytest.mark.parametrize(
    ("script", "is_of_any_language"),
    [
        ("jest --ci", False),
        ("eslint ./src && CI=1 npx tsc", False),
        ("prettier --check go/ make.js", False),
        ("make test", True),
        ("jest && CI=1 python -m pytest", True),
        ("npx tsc; ./check", True),
    ],
)
def test_a_script_of_npm_looks_at_javascript_unless_it_calls_another_tool(
    script: str, is_of_any_language: bool
) -> None:
    gate = found({"package.json": json.dumps({"scripts": {"test": script}})})["npm-test"]

    assert (gate.looks_at == ()) is is_of_any_language
    assert is_of_any_language or "*.tsx" in gate.looks_at


def test_the_repositorys_own_file_counts_in_place_of_what_is_detected() -> None:
    own = """
gates:
- {name: unit, run: "make unit", when: ["src/**"], timeout: 5, baseline: none}
- secrets
- name: ruff
  required: false
"""
    files = {".orchestrator/gates.yaml": own, "ruff.toml": "", "conftest.py": ""}

    gates = found(files)

    assert list(gates) == ["unit", "secrets", "ruff"]
    assert gates["unit"].when == ("src/**",)
    assert (gates["unit"].timeout, gates["unit"].new_only) == (5, False)
    assert (gates["ruff"].required, gates["ruff"].timeout) == (False, 60)
    assert {gate.source for gate in gates.values()} == {GateSource.REPOSITORY}
    assert list(found({**files, ".orchestrator/gates.yaml": "gates: [auto]"})) == [
        "secrets",
        "ruff",
        "pytest",
    ]
    assert list(found({".orchestrator/gates.yaml": "gates: [make check]"})) == [
        "secrets",
        "make-check",
    ]
    assert list(found({".orchestrator/gates.yaml": "gates: []"})) == []


@pytest.mark.parametrize("text", ["gates: 3", "gates: [{run: x}]", "- a", "gates: [", "a: &a [*a]"])
def test_a_file_that_is_wrong_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"\.orchestrator/gates\.yaml in the base commit"):
        found({".orchestrator/gates.yaml": text})


def test_an_error_in_the_repository_s_own_gates_is_reported_with_its_place() -> None:
    with pytest.raises(
        InvalidRequest,
        match=r"base commit: /gates/1/name: is required; correct and commit the file$",
    ):
        found({".orchestrator/gates.yaml": "gates: [make check, {run: x}]"})


def named(*entries: str | dict[str, object], files: Mapping[str, str] | None = None) -> list[Gate]:
    gates = [
        gate_of(each if isinstance(each, str) else GateRequest.model_validate(each), new_only=False)
        for each in entries
    ]
    return list(GateResolver(60).requested_gates(gates, Files(files or {})))


def test_a_name_is_a_gate_and_anything_else_a_command() -> None:
    pytest_gate, command, again, own = named(
        "pytest", "./check.sh --all", "./check.sh  --all", {"name": "own", "run": "x", "timeout": 3}
    )

    assert (pytest_gate.report, pytest_gate.new_only) == ("junit", True)
    assert (command.name, command.new_only, command.timeout) == ("check-sh-all", False, 60)
    assert again.name == "check-sh-all-2"
    assert (own.timeout, own.source) == (3, GateSource.REQUESTED)


def test_auto_in_a_list_stands_for_the_detected_gates() -> None:
    names = [gate.name for gate in named(AUTO, "test -s a", files={"ruff.toml": ""})]

    assert names == ["secrets", "ruff", "test-s-a"]


@pytest.mark.parametrize("name", ["npm-test", "make-check"])
def test_a_name_without_anything_behind_it_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="unknown gate"):
        named(name)


def test_a_name_that_no_gate_has_needs_a_command() -> None:
    with pytest.raises(InvalidRequest, match="use a command"):
        named({"name": "unheard-of"})


def test_the_scripts_that_a_gate_runs_configure_it() -> None:
    files = {
        "check.sh": "x",
        "tools/lint.js": "x",
        "package.json": json.dumps({"scripts": {"lint": "node tools/lint.js --all src"}}),
        "src/a.js": "",
        "Makefile": "check: all\n\t@./check.sh --x=$(X) && other/none.sh\n",
    }
    gates = found(files)
    assert "/tools/lint.js" in gates["npm-lint"].configured_by
    assert gates["make-check"].run == "make -f Makefile check"
    assert {"/check.sh", "GNUmakefile"} < {*gates["make-check"].configured_by}

    assert "/src/a.js" not in gates["npm-lint"].configured_by, "an operand is judged"
    unresolved = [Gate(name="", run="bash check.sh"), Gate(name="x", run="true; src/a.js")]
    [mine, other] = GateResolver(60).requested_gates(unresolved, Files(files))
    assert (mine.configured_by, other.configured_by) == (("/check.sh",), ())
    for inner in ("bash -c ./check.sh", "CI=1 sh -eo pipefail -c 'bash check.sh \"a b\"'"):
        assert [gate.configured_by for gate in named(inner, files=files)] == [("/check.sh",)]


@pytest.mark.parametrize(
    ("command", "files", "settings"),
    [
        ("pytest -q", {}, {"conftest.py", "pytest.ini", "pyproject.toml"}),
        ("cd web && npm test", {}, {"package.json", "jest.*"}),
        ("make test", {"Makefile": "test:\n\tpytest -q\n"}, {"Makefile", "*.mk", "pytest.ini"}),
        ("sh check.sh", {"check.sh": "tox -q\n"}, {"/check.sh", "tox.ini"}),
        (
            "npm run unit",
            {"package.json": json.dumps({"scripts": {"unit": "sh t.sh"}}), "t.sh": "x"},
            {"package.json", "/t.sh"},
        ),
        ("cd sub && ./t.sh", {"sub/t.sh": "x"}, {"/sub/t.sh"}),
        ("(cd 'sub'; cd lib && sh t.sh -x)", {"sub/lib/t.sh": "x"}, {"/sub/lib/t.sh"}),
        ("python -m tools.check app", {"tools/check.py": "x"}, {"/tools/check.py"}),
        ("python3 -X dev -m tools", {"tools/__main__.py": "x"}, {"/tools/__main__.py"}),
        ("pytest -q", {"pytest.ini": "addopts = -p checks", "checks.py": ""}, {"/checks.py"}),
    ],
)
def test_the_settings_of_the_tools_that_a_command_runs_configure_its_gate(
    command: str, files: dict[str, str], settings: set[str]
) -> None:
    [gate] = named(command, files=files)

    assert settings <= {*gate.configured_by}


@pytest.mark.slow
def test_a_long_command_is_read_fast() -> None:
    files = Files({f"f{number}": "x" for number in range(500)})
    [gate] = GateResolver(60).requested_gates(
        [Gate(name="x", run=" ".join(files.names()) * 10)], files
    )
    assert len(gate.configured_by) <= 20
    GateResolver(60).requested_gates([Gate(name="x", run="./" * 100_000 + "-." * 100_000)], files)
