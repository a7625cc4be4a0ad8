"""The snapshot from the start of a job is valid until the job ends."""

from pathlib import Path

from orchestrator.git.command.frozen_config import write_once


def test_a_later_state_does_not_replace_the_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "noted"
    write_once(path, lambda: b"before")
    write_once(path, lambda: b"a worker changed it")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_noted_where_there_is_no_job(tmp_path: Path) -> None:
    write_once(tmp_path / "gone" / "noted", lambda: b"x")
    assert list(tmp_path.iterdir()) == []
