"""Kinds of files: code, and its language."""

import pytest

from orchestrator.core.gates.file_kinds import has_code, is_code, language_of


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("src/app.py", True),
        ("Makefile", True),
        ("pyproject.toml", True),
        ("requirements-dev.txt", True),
        ("CMakeLists.txt", True),
        ("data/table.csv", True),
        ("bin/deploy", True),
        ("README.md", False),
        ("docs/guide.rst", False),
        ("LICENSE", False),
        ("docs/logo.SVG", False),
        (".gitignore", False),
    ],
)
def test_everything_but_documents_is_code(path: str, code: bool) -> None:
    assert is_code(path) is code
    assert has_code(["NOTES.txt", path]) is code


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/app.py", "Python"),
        ("web/App.TSX", "TypeScript"),
        ("bin/deploy.sh", "shell"),
        ("m.h", "C"),
        *((each, "") for each in ("setup.py", "docs/conf.py", "tests/data/a.js", "a_test.go")),
        *((each, "") for each in ("web/vite.config.ts", ".eslintrc.cjs", "a.min.js", "a.d.ts")),
        *((each, "") for each in ("vendor/a.c", ".github/a.py", "schema.sql", "a.css", "bin/a")),
    ],
)
def test_only_source_files_have_a_language(path: str, language: str) -> None:
    assert language_of(path) == language
