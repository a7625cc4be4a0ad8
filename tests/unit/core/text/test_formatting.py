"""Text that is cut, put on one line, or fenced, and times as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.serializers.answer_parts import moment
from orchestrator.core.text.formatting import (
    cut,
    cut_bytes,
    cut_middle,
    dollars,
    fence,
    iso,
    one_line,
    rounded_dollars,
    ticks,
)


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        ("ab defg", 6, "ab..."),
        ("abcdefg", 2, "..."),
    ],
)
def test_a_text_that_is_cut_ends_with_a_mark(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown


def test_the_mark_of_a_cut_is_the_callers_and_counts() -> None:
    assert cut("abcdef", 5, "…") == "abcd…"
    assert cut("abcdef", 5, "\n(cut)") == "\n(cut)"


def test_a_middle_that_is_cut_out_leaves_both_ends() -> None:
    assert cut_middle("abcdef", 3, " ... ") == "abcdef"
    assert cut_middle("abcdefg", 3, " ... ") == "abc ... efg"


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 20))
def test_bytes_are_cut_between_characters(text: str, most: int) -> None:
    shown = cut_bytes(text, most)
    assert text.startswith(shown)
    assert most - 4 < len(shown.encode()) <= most or shown == text


def test_one_line_has_no_line_ends() -> None:
    assert one_line(" a\r\n\tb  c\n") == "a b c"


@pytest.mark.parametrize(
    ("text", "line"), [("plain", "```"), ("`", "```"), ("```sh\nls\n```", "````")]
)
def test_a_fence_is_longer_than_every_row_of_backticks_within(text: str, line: str) -> None:
    assert fence(text) == f"{line}\n{text}\n{line}"
    assert fence(text, "text") == f"{line}text\n{text}\n{line}"


def test_a_code_span_has_one_backtick_more_than_its_longest_run() -> None:
    assert ticks("a") == "`" and ticks("a`b``c") == "```"


@pytest.mark.parametrize(
    ("amount", "exact", "rounded"),
    [
        (0.0, "$0.00", "about $0.00"),
        (0.004, "$0.0040", "less than $0.01"),
        (0.256, "$0.2560", "about $0.26"),
        (1234.5, "$1,234.50", "about $1,234.50"),
    ],
)
def test_a_small_cost_is_exact_or_less_than_a_cent(amount: float, exact: str, rounded: str) -> None:
    assert dollars(amount) == exact
    assert rounded_dollars(amount, "about ") == rounded


def test_times_are_those_of_the_api() -> None:
    for at in (1_764_180_000.123, 1_764_180_000.1239998, 1_764_180_000.9999998):
        assert iso(at) == moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
