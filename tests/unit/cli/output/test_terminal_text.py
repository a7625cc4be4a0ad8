"""Texts of workers on a terminal: without marks of Markdown, and otherwise unchanged."""

import pytest

from orchestrator.cli.output.terminal_text import lines_of


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("**Done:** wrote `app.py`", "Done: wrote `app.py`"),
        ("# **Title**", "Title"),
        ("* item **x** and **y**", "item x and y"),
        ("**bold *in* it** written", "bold *in* it written"),
        ("2 ** 3 ** 4", "2 ** 3 ** 4"),
        ("a**b**c", "a**b**c"),
        ("f(**first, **second)", "f(**first, **second)"),
    ],
)
def test_bold_text_has_no_stars(text: str, line: str) -> None:
    assert lines_of(text) == [line]
