"""Reading the files that a tool writes while it runs."""

import os
from pathlib import Path

import pytest

from orchestrator.agents.activity import session_follower
from orchestrator.agents.activity.session_follower import SessionFile, SessionFollower


def test_complete_lines_of_every_file_are_returned_once(tmp_path: Path) -> None:
    follower = SessionFollower(SessionFile(tmp_path, "*/x-*.jsonl"))
    assert list(follower.lines()) == []

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x-1.jsonl").write_text("one\ntw")
    (tmp_path / "a" / "other.jsonl").write_text("no\n")
    assert list(follower.lines()) == [("x-1.jsonl", "one")]

    with (tmp_path / "a" / "x-1.jsonl").open("a") as file:
        file.write("o\n")
    (tmp_path / "a" / "x-2.jsonl").write_text("three\n")
    assert list(follower.lines()) == [("x-1.jsonl", "two"), ("x-2.jsonl", "three")]
    assert list(follower.lines()) == []


def test_neither_links_nor_pipes_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()

    assert list(SessionFollower(SessionFile(tmp_path, "*.jsonl")).lines()) == []


@pytest.mark.slow
def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: object) -> None:
    lines = session_follower._LOOK_BYTES // 10 + 5
    (tmp_path / "a.jsonl").write_text("123456789\n" * lines)
    follower = SessionFollower(SessionFile(tmp_path, "*.jsonl"))

    counts = [len(list(follower.lines())) for _ in range(3)]

    assert sum(counts) == lines and counts[1] > 0 and counts[2] == 0


def test_a_follower_reads_a_session_file_at_intervals(tmp_path: Path) -> None:
    follower = SessionFollower(SessionFile(tmp_path, "*"))

    assert follower.due(1.0)
    assert not follower.due(1.1)
    assert follower.due(1.0 + session_follower.LOOK_SECONDS)
