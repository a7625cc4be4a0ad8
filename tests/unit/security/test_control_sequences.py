"""Logs show text and colors, but have no other control sequences."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.security.control_sequences import ControlSequenceRemover

#: Pieces of sequences, whole and broken, and text between them.
PIECES = [
    b"text", b"\n", b"\r", b"\t", b" ", b"1", b";", b"m", b"J", b"\\", b"]", b"[", b"P", b"\x07",
    b"\x00", b"\x08", b"\x18", b"\x7f", b"\x1b", b"\x1b[", b"\x1b]", b"\x1b[31m", b"\x1b[2J",
    b"\xc2", b"\x9b", b"\x9d", b"\x9c", b"\xc2\x9b", b"\xc2\x9d", b"\xc2\xa7", "é—".encode(),
]  # fmt: skip
STREAMS = st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join)
COLOR = re.compile(rb"\x1b\[[0-9;:]*m")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


def cleaned(*chunks: bytes) -> tuple[bytes, bytes]:
    cleaner = ControlSequenceRemover()
    results = [cleaner.feed(chunk) for chunk in chunks]
    originals = [original for _, original in results]
    return b"".join(stays for stays, _ in results), b"".join([*originals, cleaner.finish()])


@pytest.mark.parametrize(
    ("printed", "stays"),
    [
        (b"a\x1b[1;31mred\x1b[0m\tb\r\n", b"a\x1b[1;31mred\x1b[0m\tb\r\n"),
        ("§ « é — 漢\n".encode(), "§ « é — 漢\n".encode()),
        (b"a\x1b[2Jb\x1b[1;1Hc\x1b[>4;2md", b"abcd"),
        (b"a\x1b]0;title\x07b\x1b]52;c;aGk=\x1b\\c", b"abc"),
        (b"a\x1b]0;never closed\nb", b"a\nb"),
        (b"a\x1bPq#0;2\x1b\\b\x1b_x\x1b\\c\x1b(0d\x1bce", b"abcde"),
        ("a\u009b2Jb\u009d0;title\u009cc\u0085d".encode(), b"abcd"),
        (b"a\0b\x08c\x07d\x7fe\x0bf\x0cg", b"abcdefg"),
        (b"a\xc2\0\x9b2Jb", b"a\x9b2Jb"),
        (b"\xff\xfe\xe9", b"\xff\xfe\xe9"),
    ],
)
def test_only_colors_tabs_and_line_ends_stay(printed: bytes, stays: bytes) -> None:
    assert cleaned(printed)[0] == stays
    assert cleaned(*(bytes([byte]) for byte in printed))[0] == stays


def test_the_original_begins_with_the_first_removed_byte() -> None:
    assert cleaned(b"a\x1b[31mb\n", b"c") == (b"a\x1b[31mb\nc", b"")
    assert cleaned(b"a\x1b[3", b"1mb\x1b", b"[2Jc", b"d\n") == (b"a\x1b[31mbcd\n", b"\x1b[2Jcd\n")
    assert cleaned(b"ab\x1b]0;ti", b"tle\x07c") == (b"abc", b"\x1b]0;title\x07c")
    assert cleaned(b"ab\x1b[3") == (b"ab", b"\x1b[3")


def test_a_sequence_without_an_end_holds_back_little() -> None:
    cleaner = ControlSequenceRemover()
    stays = [cleaner.feed(b"\x1b[" + b"1;" * 500_000)[0], cleaner.feed(b"\x1b]" + b"x" * 10**6)[0]]
    assert len(cleaner._held) < 100 and stays == [b"", b""]
    assert cleaner.feed(b"y\nz")[0] == b"\nz"


@given(STREAMS, st.data())
def test_no_chunks_let_a_sequence_through(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    stays, original = cleaned(*chunks)

    assert not CONTROL.search(COLOR.sub(b" ", stays))
    assert stays == cleaned(stream)[0]
    assert stream.endswith(original)
    assert original or stays == stream
