"""The rows, frames, and keys of ``top``."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyte
import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.follow.top.frame import Frame, Pane, clock, cost, count
from orchestrator.cli.follow.top.screen import decoded, row_text
from orchestrator.cli.follow.top.screen_model import JobLine, Snapshot, WorkerLine
from orchestrator.cli.follow.top.snapshots import workers_of_columns
from orchestrator.cli.follow.top.visible_rows import Order, View
from orchestrator.cli.output.style import Style
from orchestrator.cli.output.terminal_text import local_time

NOW = 1000.0


def worker(number: int, status: str = "running", **more: Any) -> WorkerLine:
    defaults = {"job_id": "j", "title": f"task {number}", "agent": "claude", "started_at": 900.0}
    return WorkerLine(worker_id=f"worker_{number}", status=status, **{**defaults, **more})


def snapshot(*workers: WorkerLine, **more: Any) -> Snapshot:
    counts: dict[str, int] = {}
    for each in workers:
        counts[each.status] = counts.get(each.status, 0) + 1
    job = JobLine(
        job_id="j", status="running", request="Build it", counts=counts, workers=workers, **more
    )
    return Snapshot(jobs=[job], at=NOW, total=1)


def names(view: View) -> list[str]:
    return [row.key[1] or row.key[0] for row in view.rows]


def drawn(frame: Frame, width: int = 120, height: int = 12) -> list[str]:
    """Return a frame as a terminal shows it."""
    screen = pyte.Screen(width, height)
    lines = frame.lines(width, height)
    assert len(lines) == height
    pyte.Stream(screen).feed("\r\n".join(lines))
    return [line.rstrip() for line in screen.display]


def test_failed_workers_come_first_and_keys_select_other_orders() -> None:
    shown = snapshot(
        worker(1, "success", cost_usd=3.0, ended_at=950.0),
        worker(2, cost_usd=1.0),
        worker(3, "failed", cost_usd=2.0, ended_at=920.0),
        worker(4, "pending", started_at=None),
    )
    view = View()

    view.show(shown)
    assert names(view) == ["j", "worker_3", "worker_2", "worker_4", "worker_1"]
    view.selected = ("j", "worker_2")
    for order, expected in (
        (Order.INDEX, "1 2 3 4"),
        (Order.TIME, "2 1 3 4"),
        (Order.COST, "1 3 2 4"),
        (Order.ATTENTION, "3 2 4 1"),
    ):
        view.order = view.order.following
        view.show(shown)
        assert view.order is order
        assert names(view)[1:] == [f"worker_{each}" for each in expected.split()]
    assert view.selected == ("j", "worker_2")


def test_the_tree_lists_child_jobs_below_their_worker() -> None:
    view = View(as_tree=True)

    view.show(
        snapshot(
            worker(1),
            worker(2),
            WorkerLine(
                job_id="k",
                worker_id="worker_1_1",
                title="",
                agent="codex",
                status="failed",
                parent_id="worker_1",
            ),
        )
    )

    assert names(view) == ["j", "worker_1", "worker_1_1", "worker_2"]
    assert [row.indent for row in view.rows] == [0, 1, 2, 1]


def test_a_search_keeps_rows_and_their_job_and_a_closed_job_hides_them() -> None:
    shown = snapshot(worker(1, title="parse dates"), worker(2, title="docs"))
    view = View(text="DATES")

    view.show(shown)
    assert names(view) == ["j", "worker_1"]
    view.text = "build"
    view.show(shown)
    assert len(view.rows) == 3
    view.opened["j"] = False
    view.show(shown)
    assert names(view) == ["j"]
    view.text = "nothing"
    view.show(shown)
    assert not view.rows and view.row is None
    assert "no row contains 'nothing'" in "\n".join(drawn(Frame(snapshot=shown, view=view)))


def test_ten_thousand_workers_are_a_window_of_rows() -> None:
    view = View(order=Order.INDEX)
    view.show(snapshot(*(worker(number) for number in range(10_000))))

    view.move(10**9)
    assert [row.key[1] for row in view.window(3)] == ["worker_9997", "worker_9998", "worker_9999"]
    view.move(-1)
    assert view.window(3)[1].key == view.selected
    view.move(-(10**9))
    assert [row.key[1] for row in view.window(3)] == ["", "worker_0", "worker_1"]


def test_a_frame_fits_any_terminal_and_has_states_as_text() -> None:
    shown = snapshot(
        worker(1, "failed", ended_at=933.0, tokens=12_000, cost_usd=0.02, gates=(1, 2), attempt=2),
        needs=["approval: the plan"],
    )
    view = View()
    view.show(shown)
    frame = Frame(snapshot=shown, view=view, style=Style(is_on=True))

    wide = drawn(frame, 140)
    assert "waiting for you: 1" in wide[0] and "approval: the plan" in wide[2]
    row = " ".join(wide[3].split())
    assert row == "! worker_1 task 1 claude failed 2 12.0k $0.02 00:33 1/2"
    for width, height in ((40, 6), (80, 24), (200, 50)):
        assert any("worker_1" in line and "failed" in line for line in drawn(frame, width, height))
    assert "too small" in drawn(frame, 20, 4)[0]
    plain = Frame(snapshot=shown, view=view, is_unicode=False)
    assert "\n".join(plain.lines(120, 12)).isascii()


def test_text_of_workers_is_data() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07evil\u202e \x9b31m"
    shown = snapshot(worker(1, title=hostile, reason=hostile, agent=hostile))
    view = View()
    view.show(shown)
    frame = Frame(snapshot=shown, view=view, pane=Pane(hostile, [hostile, "\tx"]), prompt=hostile)

    text = "\n".join(frame.lines(160, 20))

    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    assert text.count("evil") >= 3


def test_a_log_follows_its_end_and_can_be_scrolled() -> None:
    view = View()
    shown = snapshot(worker(1))
    view.show(shown)
    pane = Pane("log of worker_1", [f"line {number}" for number in range(100)])
    frame = Frame(snapshot=shown, view=view, pane=pane)

    assert drawn(frame)[-2] == "line 99"
    pane.lines_below = 50
    assert drawn(frame)[-2] == "line 49"
    assert "worker_1" in drawn(frame)[3]


def test_numbers_are_short() -> None:
    assert [count(each) for each in (None, 0, 999, 41_200, 1_300_000)] == (
        ["-", "-", "999", "41.2k", "1.3M"]
    )
    assert [clock(each) for each in (None, 33.9, 3723)] == ["-", "00:33", "1:02:03"]
    assert [cost(each) for each in (None, 0.0, 0.004, 0.01)] == ["-", "-", "<$0.01", "$0.01"]
    assert cost(0.305) == "$0.30" or cost(0.305) == "$0.31"


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"jq", ["j", "q"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[1;5C", ["up", "down", "pageup"]),
        (b"\x1b", ["escape"]),
        (b"\r\x7f\x0c\x03\x1a", ["enter", "backspace", "redraw", "interrupt", "suspend"]),
        ("é漢".encode(), ["é", "漢"]),
    ],
)
def test_keys_are_read_from_a_terminal(typed: bytes, keys: list[str]) -> None:
    assert list(decoded(typed)) == keys


def test_columns_of_equal_values_are_one_value() -> None:
    answer = {
        "n": 2,
        "at": 100.0,
        "jobs": [{"job_id": "j", "depth": 0}, {"job_id": "k", "depth": 1}],
        "agents": ["claude"],
        "statuses": ["success", "running"],
        "worker": [1, "1_1"],
        "task": ["a", "b"],
        "title": ["", "Second"],
        "j": [0, 1],
        "s": [0, 1],
        "a": 0,
        "t0": [1.0, 2.5],
        "t1": [3.0, None],
        "idle": [0.5, 0],
        "cost": 0,
        "tokens": [10, 0],
        "attempt": 1,
        "parent": [-1, 0],
        "gates": [[1, 0, 1], 0],
        "reason": {"1": "why"},
    }

    first, second = workers_of_columns(answer)

    assert (first.worker_id, first.title, first.seconds(NOW), first.gates) == (
        ("worker_1", "a", 1.5, (1, 2))
    )
    assert (second.worker_id, second.parent_id, second.depth, second.reason) == (
        ("worker_1_1", "worker_1", 1, "why")
    )
    assert second.seconds(110.0) == pytest.approx(7.5)


def write_job(folder: Path, job_id: str, status: str = "running") -> None:
    directory = folder / "workspace" / f"job_{job_id}"
    (directory / "logs").mkdir(parents=True)
    task = {"worker_id": "worker_1", "task_id": "a", "job_id": job_id, "agent": "shell"}
    rows = [{**task, "status": status, "attempts": 1, "started_at": "2026-01-01T00:00:00Z"}]
    document = {
        "job_id": job_id,
        "status": status,
        "request": "Build it",
        "created_at": "2026-01-01T00:00:00Z",
        "counts": {status: 1},
        "results": {"tasks": rows},
    }
    (directory / "status.json").write_text(json.dumps(document))
    (directory / "logs" / "depth_0_worker_1.log").write_text("first\nlast line\n")


def test_once_prints_one_frame_without_a_terminal_and_without_a_server(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    write_job(tmp_path, "abc123")
    write_job(tmp_path, "def456")
    context = CliContext(folder=tmp_path, environ={"PATH": os.environ["PATH"]})

    assert execute(["top", "--once"], context) == 0
    shown = capfd.readouterr().out
    assert "read-only: no server runs" in shown and "\x1b" not in shown
    assert shown.count("worker_1") == 2 and "enter log" not in shown
    assert execute(["top", "--once", "job_abc123"], context) == 0
    assert "def456" not in capfd.readouterr().out
    assert execute(["top"], context) == 2
    assert "top --once" in capfd.readouterr().err


def test_without_a_server_clocks_show_the_last_known_state(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    write_job(tmp_path, "abc123")
    begun = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    status = tmp_path / "workspace" / "job_abc123" / "status.json"
    os.utime(status, (begun + 33, begun + 33))
    context = CliContext(folder=tmp_path, environ={"PATH": os.environ["PATH"]})

    assert execute(["top", "--once"], context) == 0

    head, _, job, worker, *_ = capfd.readouterr().out.splitlines()
    assert "running" not in head
    assert " 00:33 " in job and " 00:33 " in worker
    assert f"as of {local_time(begun + 33)}; no server runs"[:30] in job


def test_the_time_of_a_worker_that_waits_for_its_next_attempt_does_not_run() -> None:
    assert (worker(1).seconds(1000.0), worker(1, "pending").seconds(1000.0)) == (100.0, None)


def test_a_row_is_cleared_before_a_line_of_the_terminals_width() -> None:
    # A terminal without line wrap would otherwise lose the line's last character.
    assert row_text(2, "abc") == "\x1b[3;1H\x1b[Kabc\x1b[0m"
