"""Run times of earlier tasks, in a file that may be damaged."""

import os
from pathlib import Path

from orchestrator.core.events import EventKind
from orchestrator.core.ports import StateChange
from orchestrator.workspace import run_times_file
from orchestrator.workspace.run_times_file import MOST_BYTES, NAME, add, read, recorder
from tests.contract.store_values import a_job, an_event


def test_added_run_times_are_read_in_order(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    add(tmp_path, [("a" * 16, 1.5)])
    add(tmp_path, [("b" * 16, 0.0), ("a" * 16, 2.25)])
    assert read(tmp_path) == [("a" * 16, 1.5), ("b" * 16, 0.0), ("a" * 16, 2.25)]
    assert os.stat(tmp_path / NAME).st_mode & 0o777 == 0o600


def test_damaged_lines_are_omitted(tmp_path: Path) -> None:
    good = f"{'a' * 16} 1.5\n"
    (tmp_path / NAME).write_text(f"torn\n\x00\n{'b' * 16} nan\n{'b' * 16} -1\n{good}{'c' * 16} 1e")
    assert read(tmp_path) == [("a" * 16, 1.5)]


def test_a_link_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / NAME).symlink_to(tmp_path / "other")
    add(tmp_path, [("a" * 16, 1.0)])
    assert (read(tmp_path), (tmp_path / "other").read_text()) == ([], "")
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME)
    add(tmp_path, [("a" * 16, 1.0)])
    assert read(tmp_path) == []


def test_a_long_file_is_shortened(tmp_path: Path) -> None:
    line = f"{'a' * 16} 1.000\n"
    (tmp_path / NAME).write_text(line * (MOST_BYTES // len(line) + 10))
    assert len(read(tmp_path)) > 1000
    assert (tmp_path / NAME).stat().st_size < run_times_file.MOST_BYTES


def test_the_recorder_adds_run_times_when_a_job_has_ended(tmp_path: Path) -> None:
    record, job = recorder(tmp_path), a_job()
    ended = an_event(job, 2, kind=EventKind.WORKER_STARTED)
    record(StateChange(events=[ended], run_times=[("a" * 16, 1.5)]))
    assert read(tmp_path) == []

    over = an_event(job, 3, kind=EventKind.JOB_ENDED)
    record(StateChange(events=[over], run_times=[("b" * 16, 2.5)]))
    record(StateChange(events=[over]))

    assert read(tmp_path) == [("a" * 16, 1.5), ("b" * 16, 2.5)]
