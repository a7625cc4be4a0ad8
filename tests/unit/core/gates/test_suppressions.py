"""Comments that switch off checks."""

import pytest

from orchestrator.core.gates.tampering import comments_of, switched_off


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("ruff check --no-fix", "import os  # noqa: F401"),
        ("cd x && .venv/bin/ruff check .", "# ruff: noqa"),
        ("mypy .", "x = 1  # type: ignore[assignment]"),
        ("eslint src && tsc", "  // eslint-disable-next-line no-alert"),
        ("eslint src && tsc", "/* @ts-nocheck */"),
        ("pytest --cov=app", "def x():  # pragma: no cover"),
    ],
)
def test_a_comment_counts_for_the_tool_that_it_speaks_to(command: str, line: str) -> None:
    comments = comments_of(command)

    assert comments is not None
    assert [*switched_off(comments, {"a": f"\n{line}\n"}, [])] == ["a:2"]
    assert [*switched_off(comments, {"a": "x = 1  # a note\n"}, [])] == []
    assert comments_of("pytest -q") is None


def test_comments_that_were_there_may_move_with_their_lines() -> None:
    comments = comments_of("ruff")
    assert comments is not None
    before = ["a = 1  # noqa: E501\n", "b = 1  # noqa: F401\n"]
    now = {"a.py": "new = 1\na = 2  # noqa: E501\n", "c.py": "b = 1  # noqa: F401\n"}

    assert [*switched_off(comments, now, before)] == []
    more = {**now, "d.py": "d = 1  # noqa: E501\n# noqa\n"}
    assert [*switched_off(comments, more, before)] == ["d.py:1", "d.py:2"]
