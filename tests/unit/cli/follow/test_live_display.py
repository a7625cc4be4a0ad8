"""The display of a job on a terminal: the screen is computed from a pseudo-terminal's bytes."""

import fcntl
import io
import os
import pty
import queue
import re
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow.display import (
    STAMP_COLUMNS,
    LiveDisplay,
    PlainDisplay,
    display_for,
)
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.style import Style

#: All sequences that the display may send: styles, start of line and clear, lines up, no wrapping.
OWN = re.compile(r"\x1b\[(?:\d+(?:;\d+)*m|0m|J|\d+A|\?7[lh])")
#: A control character that the display never sends. It marks the end of the output.
END = b"\x05"
STYLES = re.compile(r"\x1b\[[\d;]*m")


class Terminal:
    """Both ends of a pseudo-terminal, and its screen. All output is read."""

    def __init__(self, columns: int, lines: int) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")
        self.sent = ""
        self._screen = pyte.Screen(columns, lines)
        self._parser = pyte.Stream(self._screen)
        self._pieces: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.resize(columns, lines)

    def _read(self) -> None:
        # EIO: the other end is closed.
        with suppress(OSError):
            while piece := os.read(self._ours, 1 << 16):
                self._pieces.put(piece)

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)
        self._screen.resize(lines, columns)

    def rows(self) -> list[str]:
        """Return the lines of the screen down to the last non-empty line, after all output has
        arrived.
        """
        self.stream.write(END.decode())
        self.stream.flush()
        new = b""
        while not new.endswith(END):
            new += self._pieces.get(timeout=60)
        new = new.removesuffix(END)
        self.sent += new.decode()
        self._parser.feed(new.decode())
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip().split("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        return self._screen.cursor.x, self._screen.cursor.y

    def close(self) -> None:
        self.stream.close()
        self._reader.join(10)
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal(80, 24)) as made:
        yield made


@pytest.fixture
def live(terminal: Terminal) -> LiveDisplay:
    found = display_for(CliContext(environ={"TERM": "xterm"}), terminal.stream)
    assert isinstance(found, LiveDisplay)
    return found


def event(kind: str, worker: str | None = None, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "job_id": "j1", "worker_id": worker, "at": time.time(), "data": data}


def begin(display: LiveDisplay, workers: int = 2) -> None:
    display.event(event("job_submitted", request="all", tasks=workers + 1))
    for number in range(1, workers + 1):
        display.event(event("worker_started", f"worker_{number}", agent="shell", attempt=1))
    redraw(display)


def redraw(display: LiveDisplay) -> None:
    """Draw at once, even if the display was drawn just before."""
    display._due = 0.0
    display.tick()


def test_running_workers_and_one_progress_line_change_in_place(
    terminal: Terminal, live: LiveDisplay
) -> None:
    live.say("job j1 accepted")
    begin(live)
    before = terminal.rows()
    live.event(event("gates_started", "worker_2", gates=["secrets", "ruff"]))
    live.event(event("worker_ended", "worker_1", status="failed", reason="exit code 3"))
    redraw(live)
    after = terminal.rows()

    assert before[0] == "job j1 accepted"
    assert [row[:14] for row in before[1:3]] == ["worker_1 shell", "worker_2 shell"]
    assert re.search(r"─ 0/3 done, 2 running, 1 queued, \d\.\d s$", before[3])
    assert after[0] == "job j1 accepted"
    assert re.match(r" +\d\.\ds  worker_1 failed after \d\.\d s: exit code 3$", after[1])
    assert re.match(r"worker_2 shell +\d\.\d s  running gates: secrets, ruff$", after[2])
    assert re.search(r"0/3 done, 1 running, 1 failed, 1 queued, \d\.\d s$", after[3])
    assert (len(before), len(after)) == (4, 4)
    assert STYLES.search(terminal.sent)


def test_at_the_end_only_lines_that_stay_remain_and_the_cursor_is_below_them(
    terminal: Terminal, live: LiveDisplay
) -> None:
    begin(live)
    for number in (1, 2):
        live.event(event("worker_ended", f"worker_{number}", status="success"))

    live.close()

    rows = terminal.rows()
    assert [row.split("  ")[-1][:16] for row in rows] == ["worker_1 success", "worker_2 success"]
    assert terminal.cursor == (0, 2)
    assert terminal.sent.endswith("\x1b[?7h"), "the terminal wraps lines again"


def test_a_signal_right_after_a_draw_leaves_no_line_behind(
    terminal: Terminal, live: LiveDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        flush()
        raise KeyboardInterrupt

    flush = terminal.stream.flush
    monkeypatch.setattr(terminal.stream, "flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin(live)
    monkeypatch.setattr(terminal.stream, "flush", flush)

    live.close()

    assert terminal.rows() == [""]


def test_without_colors_the_terminal_gets_no_style(terminal: Terminal) -> None:
    context = CliContext(environ={"TERM": "xterm", "NO_COLOR": "1"})
    display = display_for(context, terminal.stream)
    assert isinstance(display, LiveDisplay)

    begin(display)
    display.event(event("worker_ended", "worker_1", status="failed"))
    display.close()

    terminal.rows()
    assert "worker_1 failed" in terminal.sent and not STYLES.search(terminal.sent)


@pytest.mark.parametrize(
    ("environ", "as_json"),
    [({"TERM": "dumb"}, False), ({"TERM": "xterm", "CI": "1"}, False), ({"TERM": "xterm"}, True)],
)
def test_plain_lines_are_for_terminals_without_control_ci_and_json(
    terminal: Terminal, environ: dict[str, str], as_json: bool
) -> None:
    context = CliContext(environ=environ, as_json=as_json)

    assert isinstance(display_for(context, terminal.stream), PlainDisplay)


def test_a_pipe_gets_one_line_for_each_event_and_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = display_for(CliContext(environ={"TERM": "xterm"}), io.StringIO())

    display.event(event("worker_started", "worker_1", agent="shell"))
    display.event(event("gates_started", "worker_1", gates=["ruff"]))
    display.event(event("worker_ended", "worker_1", status="failed", reason="\x1b]0;x\x07\x1b[2J"))
    display.close()

    out = capsys.readouterr().err
    assert len(out.splitlines()) == 3 and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_no_line_wraps_on_a_narrow_terminal_or_after_a_resize(
    terminal: Terminal, live: LiveDisplay, tmp_path: Path
) -> None:
    live.show_output_of(tmp_path)
    begin(live, workers=12)
    (tmp_path / "depth_0_worker_1.log").write_text("日本語" * 40)
    redraw(live)
    assert len(terminal.rows()) == 10, (
        "eight workers, the number of other workers, and the progress line"
    )
    for columns, lines in ((40, 12), (24, 6), (100, 30), (9, 2)):
        terminal.resize(columns, lines)
        live._output = None
        live.show_output_of(tmp_path)
        live.event(event("worker_retrying", "worker_1", attempt=1, reason="日" * 90))
        live.event(event("worker_started", "worker_1", agent="shell"))
        redraw(live)
        rows = terminal.rows()
        # The lines below the permanent ones fit, and the cursor is at the first of them.
        assert terminal.cursor == (0, max(0, len(rows) - min(lines - 1, 10, max(1, lines - 4) + 2)))
    live.close()
    assert "running" not in terminal.rows()[-1]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_permanent_line_wraps_with_an_indent_and_is_never_cut(
    terminal: Terminal, live: LiveDisplay, width: int
) -> None:
    terminal.resize(width, 24)
    path = "shop/pages/of_the_customers/orders.py"
    begin(live)
    live.event(
        event(
            "worker_retrying",
            "worker_2_1",
            attempt=1,
            reason=f"gate tests failed: exit code 1: test_negative ({path})",
            delay_seconds=0.5,
        )
    )
    live.event(event("question_asked", "worker_1", question="Publish the pages?", task_id="ask"))
    live.say(f"waiting for approval of the plan of job j1; start its tasks: {COMMAND} approve j1")
    live.close()

    rows = terminal.rows()
    assert " ".join(" ".join(rows).split()) == (
        "0.0s worker_2_1 attempt 1 failed: gate tests failed: exit code 1: test_negative "
        f"({path}); retrying in 0.5 s "
        f"0.0s worker_1 asks a person: Publish the pages? (task ask); to answer: {COMMAND} inbox "
        f"waiting for approval of the plan of job j1; start its tasks: {COMMAND} approve j1"
    )
    begins = [row for row in rows if not row.startswith(" " * STAMP_COLUMNS)]
    assert re.match(r" +\d\.\ds    worker_2_1 attempt 1 failed: ", begins[0])
    assert re.match(r" +\d\.\ds  worker_1 asks a person: ", begins[1])
    after_first = rows[1 : rows.index(begins[1])]
    assert all(re.match(" {14}[^ ]", row) for row in after_first), (
        "indented more than the first row"
    )
    assert any(f"{COMMAND} inbox" in row for row in rows), "a command is on one row"


def test_a_word_that_is_longer_than_the_terminal_stays_whole(
    terminal: Terminal, live: LiveDisplay
) -> None:
    path = "/".join(["directory"] * 12)
    begin(live)
    live.event(event("worker_ended", "worker_1", status="failed", reason=f"conflict in {path}"))
    live.close()

    terminal.rows()
    assert path in terminal.sent, "the terminal wraps it, so that the user can copy it"


def test_output_of_workers_cannot_steer_the_terminal(
    terminal: Terminal, live: LiveDisplay, tmp_path: Path
) -> None:
    hostile = (
        "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[1;1H\x9b31m\x1b[?1049h\rgo\u202eod\u2066"
    )
    live.show_output_of(tmp_path)
    begin(live, workers=1)
    (tmp_path / "depth_0_worker_1.log").write_text(f"before\n{hostile}\n")
    time.sleep(0.3)
    redraw(live)
    live.event(event("worker_ended", "worker_1", status="failed", reason=hostile))
    live.say(hostile)
    live.close()

    rows = terminal.rows()
    assert "good" in terminal.sent
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", OWN.sub("", terminal.sent))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", terminal.sent)
    assert len(rows) == 3 and "worker_1 failed" in rows[0], "the line, wrapped, and the message"


@pytest.mark.slow
def test_a_flood_of_events_is_drawn_ten_times_a_second(
    terminal: Terminal, live: LiveDisplay
) -> None:
    began = time.monotonic()
    for number in range(2000):
        live.event(event("worker_started", f"worker_{number}", agent="shell"))
        live.event(event("worker_ended", f"worker_{number}", status="success"))
    took = time.monotonic() - began

    terminal.rows()
    assert terminal.sent.count("\x1b[?7l") <= took / 0.1 + 2


def test_a_line_is_in_the_style_of_its_meaning(terminal: Terminal) -> None:
    display = LiveDisplay(Style(is_on=True), terminal.stream)
    begin(display, workers=3)
    display.event(event("worker_ended", "worker_1", status="success"))
    display.event(event("worker_ended", "worker_2", status="timeout", reason="after 3 s"))
    display.event(event("worker_sent_back", "worker_3", status="pending", reason="conflict"))
    display.close()

    terminal.rows()
    assert "\x1b[32mworker_1 success" in terminal.sent
    assert "\x1b[31mworker_2 timeout" in terminal.sent
    assert "\x1b[33mworker_3 not merged" in terminal.sent
