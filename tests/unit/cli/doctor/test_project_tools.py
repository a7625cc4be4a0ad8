"""Doctor names the missing line for each of the project's tools that would read the folder."""

from pathlib import Path

import pytest

from orchestrator.cli.doctor.project_tools import host_checks


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "host" / "orchestrator").mkdir(parents=True)
    return tmp_path / "host"


def fixes(host: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (host / name).write_text(text)
    return [each.fix for each in host_checks(host / "orchestrator", host)]


#: A file of the project, its content, and the line that doctor names; None: no line is missing.
ROWS = [
    ("mypy.ini", "[mypy]\nstrict = True\n", "exclude = ^orchestrator/"),
    ("mypy.ini", "[mypy]\nexclude = ^docs/\n", "exclude = (?:^docs/)|^orchestrator/"),
    ("mypy.ini", "[mypy]\nexclude = (docs|orchestrator)/\n", None),
    ("setup.cfg", "[mypy]\nstrict = True\n", "exclude = ^orchestrator/"),
    ("setup.cfg", "[metadata]\nname = x\n", None),
    ("pyproject.toml", "[tool.mypy]\nstrict = true\n", "exclude = ['^orchestrator/']"),
    ("pyproject.toml", "[tool.mypy]\nexclude = ['^orchestrator/']\n", None),
    ("pyproject.toml", "[tool.black]\n", None),
    ("requirements-dev.txt", "mypy==1.11\n", "exclude = ^orchestrator/"),
    ("app.py", "x = 1\n", None),
    ("eslint.config.mjs", "export default [];\n", '{ ignores: ["orchestrator/"] },'),
    ("eslint.config.js", 'export default [{ ignores: ["dist", "orchestrator/**"] }];\n', None),
    (".eslintrc.json", "{}", "/orchestrator/"),
    (".prettierrc", "{}", "/orchestrator/"),
    (".prettierignore", "dist/\norchestrator\n", None),
    ("tsconfig.json", "{}", '"exclude": ["node_modules", "orchestrator"],'),
    ("tsconfig.json", '{"exclude": ["dist"],} // x', '"exclude": ["dist", "orchestrator"],'),
    ("tsconfig.json", '{"include": ["src"]}', None),
    ("tsconfig.json", '{"files": ["a.ts"]}', None),
    ("tsconfig.json", '{"exclude": ["./orchestrator/**"]}', None),
    (
        "jest.config.js",
        "module.exports = {};\n",
        'modulePathIgnorePatterns: ["<rootDir>/orchestrator/"],',
    ),
    ("jest.config.js", 'x = {modulePathIgnorePatterns: ["<rootDir>/orchestrator/"]};\n', None),
    (
        "package.json",
        '{"devDependencies": {"jest": "30"}}',
        '"jest": {"modulePathIgnorePatterns": ["<rootDir>/orchestrator/"]},',
    ),
    ("package.json", '{"dependencies": {"express": "5"}}', None),
    ("Cargo.toml", '[workspace]\nmembers = ["*"]\n', 'exclude = ["orchestrator"]'),
    ("Cargo.toml", '[workspace]\nmembers = ["crates/*"]\n', None),
    ("Cargo.toml", '[workspace]\nmembers = ["*"]\nexclude = ["orchestrator"]\n', None),
    ("pyproject.toml", "broken [", None),
    ("package.json", "broken", None),
]


@pytest.mark.parametrize(("file", "text", "line"), ROWS)
def test_the_line_of_a_tool(host: Path, file: str, text: str, line: str | None) -> None:
    found = fixes(host, **{file: text})

    assert len(found) == (line is not None)
    if line is not None:
        assert found[0].endswith(f": {line}")
        assert found[0].startswith(f"in {host}/")


def test_mypy_that_ran_without_settings_needs_a_line(host: Path) -> None:
    (host / ".mypy_cache").mkdir()

    assert fixes(host) == [
        f"in {host}/mypy.ini, a new file, after the line [mypy]: exclude = ^orchestrator/"
    ]
    at = f"in {host}/pyproject.toml, as its first line"
    line = "tool.mypy.exclude = ['^orchestrator/']"
    assert fixes(host, **{"pyproject.toml": "[project]\n"}) == [f"{at}: {line}"]
    assert fixes(host, **{"pyproject.toml": f"{line}\n[project]\n"}) == []


def test_mypy_reads_no_hidden_folder(host: Path) -> None:
    (host / "mypy.ini").write_text("[mypy]\n")
    folder = host / ".orchestrator" / "local"
    folder.mkdir(parents=True)

    assert not list(host_checks(folder, host))


def test_tools_at_the_top_of_the_repository_count_too(host: Path) -> None:
    (host.parent / ".git").mkdir()
    (host.parent / ".prettierrc").write_text("{}")

    assert fixes(host) == [f"in {host.parent}/.prettierignore: /host/orchestrator/"]


def test_a_folder_that_is_the_project_has_no_host(host: Path) -> None:
    (host / "mypy.ini").write_text("[mypy]\n")

    assert not list(host_checks(host, host))
