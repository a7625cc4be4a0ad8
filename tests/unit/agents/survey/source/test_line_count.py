"""The counting rule, line by line and against pygount on real trees."""

from pathlib import Path

import flask
import pytest
from pygount import SourceAnalysis

from orchestrator.agents.survey.analysis.project_map import map_files
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment
from orchestrator.agents.survey.project_files.listing import list_files
from orchestrator.agents.survey.source.line_count import LineCount, count_lines, mask_comments
from orchestrator.agents.survey.source.python import mask_python
from orchestrator.agents.survey.source.tree_sitter_parsing import read_with_grammar
from tests.support.examples import examples

REPOSITORY = Path(__file__).parents[5]
#: Resolved, because the survey follows no links.
FLASK = Path(flask.__file__).resolve().parent
#: One of this many files of the product's source is counted.
STEP = examples(20, 5)


def _python(text: str) -> LineCount:
    return count_lines(mask_python(text), "Python")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LineCount()),
        ("x = 1", LineCount(code=1)),
        ("x = 1\n", LineCount(code=1)),
        ("\n  \n\t\n", LineCount(blank=3)),
        ("# a\n  # b\n", LineCount(comment=2)),
        ("x = 1  # why\n", LineCount(code=1)),
        ('"""One.\n\nTwo.\n"""\n', LineCount(comment=4)),
        ('def f():\n    """Doc."""\n    pass\n', LineCount(code=1, comment=1, blank=1, bare=1)),
        ('x = """\n# not a comment\n\n"""\n', LineCount(code=4)),
        ("f(\n    1,\n)\n", LineCount(code=2, blank=1, bare=1)),
        ("x = '#'\ny = \"'\" # c\n", LineCount(code=2)),
        ("x = r'\\'\n# c\n", LineCount(code=1, comment=1)),
        ('x = "\\""\n# c\n', LineCount(code=1, comment=1)),
        ("x = 'unterminated\n# c\n", LineCount(code=1, comment=1)),
        ('"""never closed\n# x\n', LineCount(comment=2)),
        (")  # end\n", LineCount(comment=1)),
        ('x = {a: f"{b}"\n    "c",\n}\n', LineCount(code=2, blank=1, bare=1)),
    ],
)
def test_python_lines_are_code_comment_or_blank(text: str, expected: LineCount) -> None:
    assert _python(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("JavaScript", "/* a\n\n b */\nx = '// no';\n// c\n}\n", LineCount(1, 4, 1, 1)),
        ("TSX", "const a = <p>// text</p>;\n", LineCount(1, 0, 0, 0)),
        ("Go", "// a\npackage a\n\n/* b */ var x = `/*`\n", LineCount(2, 1, 1, 0)),
        ("Rust", "/// doc\n//! doc\nfn a() {}\n/* x */\n", LineCount(1, 3, 0, 0)),
        ("Java", "/** doc */\nclass A {\n}\n", LineCount(1, 1, 1, 1)),
        ("C", "#include <a.h>\n/* a */\nint x; // b\n", LineCount(2, 1, 0, 0)),
        ("C++", 'auto s = R"(// no)";\n// yes\n', LineCount(1, 1, 0, 0)),
        ("C#", "// a\nclass A { }\n", LineCount(1, 1, 0, 0)),
        ("Ruby", "# a\nx = '#'\n=begin\nb\n=end\n", LineCount(1, 4, 0, 0)),
        ("PHP", "<?php\n# a\n// b\n$x = '#';\n", LineCount(2, 2, 0, 0)),
        ("Bash", "#!/bin/sh\n# a\necho '# b'\n", LineCount(1, 2, 0, 0)),
    ],
)
def test_a_grammar_separates_comments_from_code(
    language: str, text: str, expected: LineCount
) -> None:
    assert count_lines(read_with_grammar(text, language).masked, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("YAML", "# a\nb: c # d\n\n", LineCount(1, 1, 1, 0)),
        ("CSS", "/* a\n\n*/\na { color: red }\n}\n", LineCount(1, 3, 1, 1)),
        ("HTML", "<!-- a -->\n<p>b</p>\n{# c #}\n", LineCount(1, 2, 0, 0)),
        ("SQL", "-- a\nselect 1;\n", LineCount(1, 1, 0, 0)),
        ("Kotlin", 'x = "src/**/*.kt"\n// a\n/* b */\n', LineCount(1, 2, 0, 0)),
        ("Lua", "--[[ a\nb ]]\nx = 1 -- c\n-- d\n", LineCount(1, 3, 0, 0)),
        ("INI", "; a\n[b]\n# c\n", LineCount(1, 2, 0, 0)),
        ("Markdown", "# Title\n\nText\n", LineCount(0, 2, 1, 0)),
        ("JSON", '{\n"a": "// no"\n}\n', LineCount(1, 0, 2, 2)),
        ("No such language", "# a\n", LineCount(1, 0, 0, 0)),
    ],
)
def test_languages_without_a_grammar_are_counted_by_their_markers(
    language: str, text: str, expected: LineCount
) -> None:
    assert count_lines(mask_comments(text, language), language) == expected


def _pygount(path: Path) -> LineCount:
    """Count with pygount, and add the blank lines at both ends, which pygount does not count."""
    found = SourceAnalysis.from_file(str(path), "any", encoding="utf-8", generated_regexes=[])
    code = found.code_count + found.string_count
    text = path.read_text(encoding="utf-8")
    leading = len(text) - len(text.lstrip("\n"))
    trailing = max(len(text) - len(text.rstrip("\n")) - 1, 0)
    return LineCount(code, found.documentation_count, found.empty_count + leading + trailing)


def _copies(tree: Path, directory: Path, step: int) -> list[Path]:
    """Copy every ``step``-th Python file of ``tree``, because other tests may change the tree."""
    copies: list[Path] = []
    for number, path in enumerate(sorted(tree.rglob("*.py"))[::step]):
        if content := path.read_bytes():
            copies.append(directory / f"{number}.py")
            copies[-1].write_bytes(content)
    return copies


@pytest.fixture(scope="module")
def flask_counts() -> dict[Path, LineCount]:
    """Return pygount's counts for each file of the installed Flask."""
    return {path: _pygount(path) for path in sorted(FLASK.rglob("*.py"))}


@pytest.mark.slow
def test_python_counts_equal_those_of_pygount_file_by_file(
    flask_counts: dict[Path, LineCount],
) -> None:
    assert len(flask_counts) > 20
    for path, theirs in flask_counts.items():
        mine = _python(path.read_text(encoding="utf-8"))
        assert LineCount(mine.code, mine.comment, mine.blank) == theirs, path


@pytest.mark.slow
def test_counts_of_our_own_sources_differ_only_where_pygount_takes_strings_for_docstrings(
    tmp_path: Path,
) -> None:
    files = _copies(REPOSITORY / "orchestrator", tmp_path, step=STEP)
    assert len(files) > 5
    differing = 0
    for path in files:
        mine, theirs = _python(path.read_text(encoding="utf-8")), _pygount(path)
        assert mine.blank == theirs.blank, path
        assert mine.code + mine.comment == theirs.code + theirs.comment, path
        assert mine.code >= theirs.code, path
        differing += mine.code - theirs.code
    assert differing <= len(files) / 5


@pytest.mark.slow
def test_totals_of_a_tree_equal_the_sum_of_pygounts_counts(
    flask_counts: dict[Path, LineCount],
) -> None:
    listing = list_files(SurveyEnvironment(root=FLASK, directory=FLASK), [])
    python = map_files(FLASK, listing, [], lambda line: None).languages["Python"]
    assert python.files == len(flask_counts)
    assert python.code == sum(count.code for count in flask_counts.values())
    assert python.comment == sum(count.comment for count in flask_counts.values())
    assert python.blank == sum(count.blank for count in flask_counts.values())
