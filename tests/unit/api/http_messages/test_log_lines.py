"""Parts of a log."""

from pathlib import Path

import pytest

from orchestrator.api.http_messages import log_response
from orchestrator.api.http_messages.log_response import lines_between, search

TEXT = b"one\nTwo two\nthree\n\ntwo and \xff\nlast two"


@pytest.fixture(params=[4, 7, 4096])
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_response, "SEARCH_BLOCK_BYTES", request.param)
    path = tmp_path / "log"
    path.write_bytes(TEXT)
    return path


def test_lines_with_a_text_are_counted_once(log: Path) -> None:
    with log.open("rb") as opened:
        found = search(opened, "TWO")
        assert (found.lines, found.total) == ([2, 5, 6], 3)
        assert search(opened, "nothing").total == 0


def test_only_the_first_lines_are_named(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_response, "MOST_FOUND", 2)
    with log.open("rb") as opened:
        found = search(opened, "two")
    assert (found.lines, found.total) == ([2, 5], 3)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, 1, b"one\n"),
        (2, 3, b"Two two\nthree\n"),
        (4, 4, b"\n"),
        (5, 99, b"two and \xff\nlast two"),
        (6, 6, b"last two"),
        (7, 9, b""),
        (1, 6, TEXT),
    ],
)
def test_lines_are_found_by_number(log: Path, first: int, last: int, expected: bytes) -> None:
    with log.open("rb") as opened:
        assert lines_between(opened, first, last, 1000) == expected
        assert lines_between(opened, first, last, 2) == expected[:2]
