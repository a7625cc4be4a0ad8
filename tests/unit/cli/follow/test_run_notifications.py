"""``run --notify``: the events that cause notifications. A program replaces notify-send."""

from pathlib import Path

import pytest

from orchestrator.cli.follow.display import PlainDisplay
from orchestrator.cli.follow.run_notifications import RunNotifications


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the arguments of notify-send, one per line."""
    program, lines = tmp_path / "notify-send", tmp_path / "shown"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {lines}\necho >> {lines}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return lines


def test_a_question_is_urgent_and_the_end_is_not(shown: Path) -> None:
    notifications = RunNotifications(PlainDisplay().say, needs_approval=False)
    event = {"seq": 1, "at": "2026-01-01T00:00:00Z", "job_id": "abc", "data": {}}

    for kind in ("job_planned", "question_asked"):
        notifications.event({**event, "kind": kind, "task_id": "t"})
    notifications.ended({"job_id": "abc", "status": "failed", "reason": "--help; `id`"})

    urgent, ended = shown.read_text().splitlines()
    assert "|critical|--|orchestrator: Needs you|job abc: a task waits" in urgent
    assert ended.endswith("|normal|--|orchestrator: Failed|job abc: --help; `id`|")


def test_a_machine_without_a_desktop_costs_a_line_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    notifications = RunNotifications(PlainDisplay().say, needs_approval=False)
    notifications.ended({"job_id": "a", "status": "completed"})

    assert "no notification: notify-send is not installed" in capsys.readouterr().err
