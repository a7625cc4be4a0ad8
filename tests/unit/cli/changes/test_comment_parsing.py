"""Comments on lines, as users type them."""

import pytest

from orchestrator.cli.changes.comment_parsing import (
    comment_of_option,
    comments_of_diff,
    comments_of_file,
)
from orchestrator.core.errors import InvalidRequest

DIFF = """\
#: Comments on the change of worker_1.
# All in all: good.
# But small things.
diff --git a/src/a.py b/src/a.py
index 1..2 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,3 +1,4 @@ def f():
 one
# On a line that is unchanged.
-two
# Why was it removed?
+2
+zwei
# Use English.
#
# Please.
 three
@@ -10 +11,2 @@
-ten
+10
+--- no header
# In the second hunk.
diff --git "a/sp\\303\\244t.txt" "b/sp\\303\\244t.txt"
--- "a/sp\\303\\244t.txt"
+++ "b/sp\\303\\244t.txt"
@@ -0,0 +1 @@
+x
\\ No newline at end of file
# A new line at the end.
"""


def _place(path: str, line: int, text: str, side: str = "new") -> dict[str, object]:
    return {"path": path, "side": side, "line": line, "end_line": line, "text": text}


def test_lines_with_a_hash_in_a_diff_are_on_the_line_above() -> None:
    found = comments_of_diff(DIFF)
    assert found.summary == "All in all: good.\nBut small things."
    assert found.on_lines == [
        _place("src/a.py", 1, "On a line that is unchanged."),
        _place("src/a.py", 2, "Why was it removed?", "old"),
        _place("src/a.py", 3, "Use English.\n\nPlease."),
        _place("src/a.py", 12, "In the second hunk."),
        _place("spät.txt", 1, "A new line at the end."),
    ]


def test_all_comments_above_the_first_hunk_are_on_the_whole_change() -> None:
    diff = DIFF.replace("--- a/src/a.py", "# Rename the file.\n--- a/src/a.py")
    found = comments_of_diff(diff)
    assert found.summary == "All in all: good.\nBut small things.\n\nRename the file."
    assert found.on_lines == comments_of_diff(DIFF).on_lines


def test_an_untouched_diff_has_no_comments() -> None:
    found = comments_of_diff(
        "\n".join(line for line in DIFF.splitlines() if not line.startswith("# "))
    )
    assert (found.on_lines, found.summary) == ([], "")


def test_a_file_has_blocks_that_begin_with_a_place() -> None:
    found = comments_of_file(
        "Thanks.\n\na.py:3: use\nthe constant\n\nb/c.py:4-6:\nsplit it\na.py:old:2: why?\n"
    )
    assert found.summary == "Thanks."
    assert found.on_lines == [
        _place("a.py", 3, "use\nthe constant"),
        {**_place("b/c.py", 4, "split it"), "end_line": 6},
        _place("a.py", 2, "why?", "old"),
    ]


def test_a_file_may_be_a_diff_with_comments() -> None:
    assert comments_of_file(DIFF).on_lines == comments_of_diff(DIFF).on_lines


def test_an_option_names_path_line_and_text() -> None:
    assert comment_of_option("a.py:3: use: the\nconstant") == _place(
        "a.py", 3, "use: the\nconstant"
    )
    with pytest.raises(InvalidRequest, match="PATH:LINE:TEXT"):
        comment_of_option("a.py: use the constant")
