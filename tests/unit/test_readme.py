"""README.md and docs/api.md agree with the product."""

import json
import re
from pathlib import Path

from orchestrator.api.openapi.document import document
from orchestrator.cli.command_line.command_table import COMMANDS
from orchestrator.cli.output.exit_codes import ExitCode

FOLDER = Path(__file__).resolve().parents[2]
README = (FOLDER / "README.md").read_text("utf-8")


def section(title: str, page: str = README) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def calls_in(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", text))


def offered_calls() -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, calls in json.loads(document())["paths"].items()
        for method in calls
        if method in ("get", "post", "delete")
    }


def test_the_page_of_the_api_names_every_call_and_no_other() -> None:
    page = (FOLDER / "docs" / "api.md").read_text("utf-8")

    assert calls_in(section("Calls", page)) == offered_calls()


def test_the_readme_names_calls_that_exist() -> None:
    named = calls_in(section("API"))

    assert named and named <= offered_calls()


def test_the_readme_names_every_command() -> None:
    table = section("Command line")

    assert set(COMMANDS) == set(re.findall(r"`([a-z]+)`(?=[,| ])", table)) & set(COMMANDS)


def test_the_readme_names_every_exit_code() -> None:
    codes = re.search(r"Exit codes: (.*?)\.\n", section("Command line"), re.DOTALL)

    assert codes is not None
    assert {int(number) for number in re.findall(r"\d+", codes[1])} == {int(c) for c in ExitCode}


def test_the_promises_are_numbered_one_to_ten() -> None:
    assert re.findall(r"^(\d+)\. \*\*", section("Promises"), re.MULTILINE) == [
        str(number) for number in range(1, 11)
    ]


def test_the_readme_counts_the_injected_faults() -> None:
    table = (FOLDER / "docs" / "internals" / "reliability.md").read_text("utf-8")
    tried = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)

    assert f"\nTests inject {len(tried)} faults to check" in section("Promises")


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (FOLDER / "SECURITY.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    existing = {
        name
        for path in (FOLDER / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 15
    assert named <= existing, f"no such test: {named - existing}"
