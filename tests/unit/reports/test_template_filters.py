"""Any text of a worker is shown as text in a report, and has no effect."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from trees import HOSTILE

from orchestrator.reports.template_filters import (
    cell,
    code,
    document,
    fence,
    full_stop,
    href,
    inline,
    one_line,
    plain,
    quoted,
)

# HTML is allowed, and bare addresses become links: no renderer does more with the Markdown.
RENDERER = MarkdownIt("gfm-like", {"html": True})

ACTIVE = {"html_block", "html_inline", "link_open", "image"}

# Markdown syntax is far more frequent here than in random text.
pieces = st.sampled_from(
    [
        *("`", "``", "```", "````", "~~~", "\\", "|", "\n", "\n\n", " ", "    ", "\t", "- ", "1. "),
        *(
            "> ",
            "# ",
            "<b>",
            "<img src=x>",
            "<!--",
            "</details>",
            "<script>",
            "<?",
            "<![CDATA[",
            ">",
        ),
        *("[a](http://e.example)", "[a]", "](", "]: http://e.example", "![", "<http://e.example>"),
        *("http://e.example/x", "www.e.example", "me@e.example", "mailto:me@e.example", "**", "_"),
        *("---", "===", "| a | b |\n|---|---|\n", "&lt;", "&#96;", "\x1b[31m", "\r", "\u2028", "a"),
        *("+ ", "+++", "$", "$$", "[!NOTE]", "[^1]:", "\x00", "\u202e", "mermaid", "``` ", "`a`"),
    ]
)
texts = st.lists(pieces | st.text(max_size=5), max_size=25).map("".join)


def tokens(markdown: str) -> Iterator[Token]:
    for token in RENDERER.parse(markdown):
        yield token
        yield from token.children or ()


def kinds(markdown: str) -> set[str]:
    return {token.type for token in tokens(markdown)}


@given(texts)
@example(HOSTILE)
@example("a ` b\n`<img src=x>` c")
@example("| `a | b` and `<img src=x>` |\n|---|---|\n| `a | b` and `<img src=x>` |")
@example("- ```\n<img src=x>\n```\n<img src=x>")
@example("1. x\n   ```\n   code\n   ```\n<b>")
@example("\\`<b>`")
@example("[a]\n\n[a]: http://e.example '`<b>`'")
def test_a_workers_markdown_holds_nothing_active(text: str) -> None:
    assert not kinds(quoted(text)) & ACTIVE
    assert not kinds(document(text)) & ACTIVE


@given(texts)
@example(HOSTILE)
@example("```\nnever closed")
@example("<!--")
def test_a_worker_s_markdown_does_not_change_the_text_after_it(text: str) -> None:
    parsed = RENDERER.parse(document(text) + "\n\n# What comes next\n\nText.\n")
    assert [token.type for token in parsed[-6:]] == [
        *("heading_open", "inline", "heading_close"),
        *("paragraph_open", "inline", "paragraph_close"),
    ]
    assert parsed[-6].level == 0


@given(texts)
@example("Title\n===\nSub\n---\n> - x\n>   -\n")
def test_headings_of_a_worker_are_smaller_than_the_reports_own(text: str) -> None:
    levels = {token.tag for token in tokens(quoted(text)) if token.type == "heading_open"}
    assert not levels & {"h1", "h2", "h3"}


@given(texts)
@example("````\n```\n~~~")
def test_no_line_of_a_text_ends_its_fence(text: str) -> None:
    parsed = RENDERER.parse(fence(text) + "\nAfter.\n")
    assert [token.type for token in parsed] == [
        *("fence", "paragraph_open", "inline", "paragraph_close")
    ]
    assert parsed[0].content == plain(text).strip("\n") + "\n"


@given(texts)
def test_a_text_in_a_line_stays_one_line_of_text(text: str) -> None:
    parsed = RENDERER.parse(f"{inline(text)}\n\n- {inline(text)}\n\nWhy: {inline(text)}")
    assert not {token.type for token in parsed} & {"heading_open", "fence", "hr", "html_block"}
    inert = {"text", "inline", "text_special"}
    children = [child for token in parsed for child in token.children or ()]
    assert {child.type for child in children} <= inert


@given(texts)
@example("a|b\\|c`|`")
def test_a_text_in_a_table_stays_in_its_cell(text: str) -> None:
    parsed = RENDERER.parse(f"| a | b |\n| --- | --- |\n| {cell(text)} | z |\n")
    cells = [parsed[i + 1].content for i, token in enumerate(parsed) if token.type == "td_open"]
    assert len(cells) == 2
    assert cells[1] == "z"
    assert not {child.type for token in parsed for child in token.children or ()} & ACTIVE


@given(texts)
def test_a_cell_shows_the_text_itself(text: str) -> None:
    parsed = RENDERER.parse(f"| a |\n| --- |\n| {cell(text)} |\n")
    shown = "".join(
        child.content
        for i, token in enumerate(parsed)
        if token.type == "td_open"
        for child in parsed[i + 1].children or ()
    )
    assert shown == one_line(text, 160)


@given(texts)
def test_a_code_span_shows_the_text_and_ends(text: str) -> None:
    children = RENDERER.parseInline(f"x {code(text)} y")[0].children
    assert children is not None
    assert [child.type for child in children] == ["text", "code_inline", "text"]
    assert children[1].content.strip() == one_line(text, 400)


@given(st.text(alphabet=st.characters(), max_size=60) | texts)
@example("\x1b]8;;http://e.example\x07link\x1b]8;;\x07")
@example("\x1b\x1b[[31m31m")
@example("\udcff\ud800")
def test_plain_text_has_no_controls_and_can_be_written(text: str) -> None:
    result = plain(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result)
    result.encode("utf-8")
    assert plain(result) == result


def test_code_of_a_worker_is_shown_as_it_is() -> None:
    shown = document("# Types\n\nUse `List<int>`:\n\n```cpp\nvector<int> a; // [x](y)\n```\n")
    assert "`List<int>`" in shown
    assert "> ```cpp\n> vector<int> a; // [x](y)\n> ```" in shown


def test_a_link_of_a_worker_shows_where_it_leads() -> None:
    assert document("See [the docs](https://e.example/a).") == (
        "> See the docs (`https://e.example/a`)."
    )


def test_a_code_block_in_a_list_keeps_its_own_indentation() -> None:
    shown = document("1. **Run**\n\n   ```sh\n   if x; then\n     y\n   fi\n   ```\n2. Done")
    assert "> ```sh\n> if x; then\n>   y\n> fi\n> ```\n> 2. Done" in shown


def test_the_output_of_a_command_keeps_its_lines() -> None:
    assert document("2 passed\n  1 failed") == "```text\n2 passed\n  1 failed\n```"


def test_diagrams_of_a_worker_are_not_drawn() -> None:
    assert "mermaid" not in document("```mermaid\ngraph TD\n```")


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_a_text_without_content_is_nothing(text: str) -> None:
    assert document(text) == ""


@pytest.mark.parametrize("end", [".", "!", "?", "…", ":"])
def test_a_text_that_ends_with_a_mark_gets_no_full_stop(end: str) -> None:
    assert full_stop(f"exit code 1: done{end}") == f"exit code 1: done{end}"
    assert full_stop("exit code 1") == "exit code 1."


@given(st.text())
@example("logs/depth_0_worker_1.log")
@example("a~b.c-d/")
@example("a b")
@example("a\n")
def test_a_links_target_has_only_characters_of_a_path_and_names_it(path: str) -> None:
    target = href(path.encode("utf-8", "replace").decode())
    assert re.fullmatch(r"[A-Za-z0-9/._~%-]*", target)
    assert unquote(target) == path.encode("utf-8", "replace").decode()
