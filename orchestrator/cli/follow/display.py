"""Prints a job's progress as lines. On a terminal, the last lines change in place."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import click

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow.event_text import Event, indent
from orchestrator.cli.follow.last_lines import LastLines
from orchestrator.cli.follow.progress_line import progress_line
from orchestrator.cli.follow.tree_progress import TreeProgress
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.standard_streams import reader_may_leave
from orchestrator.cli.output.status_answer import SUCCEEDED
from orchestrator.cli.output.style import Style, style_of
from orchestrator.cli.output.terminal_text import (
    duration,
    is_plain,
    moment,
    pasteable,
    printable,
    wrapped,
)
from orchestrator.cli.output.text_width import columns, fit, padded
from orchestrator.core.events import EventKind

#: Columns and lines of a terminal that does not report its size.
USUAL_SIZE = (80, 24)
#: Line wrapping is off during output, because terminals differ in the width of characters.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_START_AND_CLEAR = "\r\x1b[J"
LINE_END = "\r\n"


class Region:
    """The last lines on a terminal, which are redrawn in place below the permanent lines.

    Between two draws, the cursor is at the start of the region's first line. Therefore a draw works
    even if the terminal was resized, and lines were wrapped. If the process is killed, the shell's
    prompt overwrites the region.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        #: The drawn lines; None during a draw, and after a draw that a signal interrupted.
        self._shown: tuple[str, ...] | None = ()

    @property
    def size(self) -> tuple[int, int]:
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return USUAL_SIZE
        # A terminal without a known size reports 0 columns.
        return (columns or USUAL_SIZE[0], lines or USUAL_SIZE[1])

    @property
    def encoding(self) -> str:
        return (self._stream.encoding or "").lower()

    def draw(self, permanent: Sequence[str], changing: Sequence[str]) -> None:
        """Print the lines ``permanent``, then the lines ``changing`` as the new region.

        Lines of the region are cut to the terminal's width. If the terminal has too few lines, only
        the last lines of ``changing`` are shown.
        """
        width, height = self.size
        shown = tuple(fit(line, width - 1) for line in changing[-max(1, height - 1) :])
        if not permanent and shown == self._shown:
            return
        permanent_text = "".join(f"{line}\n" for line in permanent)
        cursor_up = f"\r\x1b[{len(shown) - 1}A" if len(shown) > 1 else "\r"
        text = f"{permanent_text}{_WRAP_OFF}{LINE_END.join(shown)}{cursor_up}{_WRAP_ON}"
        # Print all lines in one write, so that a signal cannot interrupt the output in the middle.
        self._shown = None
        with reader_may_leave(self._stream):
            self._stream.write(_START_AND_CLEAR + text)
            self._stream.flush()
        self._shown = shown


SHOWN_WORKERS = 8
#: Seconds between two draws, because each draw costs a write.
REDRAW_SECONDS = 0.1
#: Columns of the time before a line.
STAMP_COLUMNS = 10
#: Minimum columns after the time. With fewer columns, lines are not wrapped at words: the terminal
#: breaks the lines.
LEAST_WRAPPED_COLUMNS = 20


class Display:
    """Base class: follows a job's progress by its events. The subclasses print the progress."""

    def __init__(self, style: Style | None = None) -> None:
        self._progress = TreeProgress()
        self._began: float | None = None
        self._style = style or Style(is_on=False)

    def say(self, message: str) -> None:
        """Print a message as a permanent line."""
        raise NotImplementedError

    def event(self, event: Event) -> None:
        raise NotImplementedError

    def show_output_of(self, logs: Path) -> None:
        """Show the last line of each running worker's output from now on.

        ``logs``: directory of the workers' logs, on this machine.
        """

    def tick(self) -> None:
        """Update the display. Must be called a few times per second."""

    def is_idle(self) -> bool:
        """True if no worker runs, according to the events so far."""
        return not any(self._progress.running())

    def close(self) -> None:
        """Print the remaining permanent lines, and remove the lines that change in place."""


class PlainDisplay(Display):
    """Prints one line for each event, with the time since the job's first event."""

    def say(self, message: str) -> None:
        self._print(pasteable(message))

    def _print(self, line: str) -> None:
        with reader_may_leave(sys.stderr):
            print(line, file=sys.stderr, flush=True)

    def event(self, event: Event) -> None:
        line = self._progress.record(event)
        at = _moment(event)
        self._began = at if self._began is None else self._began
        if line is not None:
            self._print(timed_line(at - self._began, pasteable(line), event, self._style))


class LiveDisplay(Display):
    """Prints outcomes as permanent lines, and redraws running workers and progress below them."""

    def __init__(self, style: Style | None = None, stream: TextIO | None = None) -> None:
        super().__init__(style)
        self._region = Region(stream or sys.stderr)
        #: Permanent lines that are not printed yet.
        self._permanent: list[str] = []
        #: True between the first event and ``close``.
        self._has_region = False
        #: Monotonic time of the next draw, in seconds.
        self._due = 0.0
        #: Unix time. Events before this time get no permanent line.
        self.silent_until = 0.0
        #: Lines above the running workers, which also change in place.
        self.body: Sequence[str] = ()
        self._output: LastLines | None = None

    def show_output_of(self, logs: Path) -> None:
        self._output = LastLines(logs)

    def styled(self, line: str) -> str:
        return line if self._style.is_on else click.unstyle(line)

    def say(self, message: str) -> None:
        width = self._region.size[0] - 1
        self._permanent += [row for line in message.split("\n") for row in rows_of(line, width)]
        self._draw()

    def event(self, event: Event) -> None:
        line = self._progress.record(event)
        at = _moment(event)
        self._began = at if self._began is None else self._began
        self._has_region = True
        if line and is_permanent(event) and at >= self.silent_until:
            first, *others = rows_of(line, self._region.size[0] - 1 - STAMP_COLUMNS)
            self._permanent.append(timed_line(at - self._began, first, event, self._style))
            self._permanent += [f"{' ' * STAMP_COLUMNS}{row}" for row in others]
        if time.monotonic() >= self._due:
            self._draw()

    def tick(self) -> None:
        if time.monotonic() >= self._due:
            self._draw()

    def close(self) -> None:
        self._has_region = False
        self._draw()

    def _draw(self) -> None:
        # Clear the list after the draw: if a signal interrupts the draw, lines are drawn twice
        # instead of never.
        self._region.draw(self._permanent, [*self._region_lines()] if self._has_region else [])
        self._permanent = []
        self._due = time.monotonic() + REDRAW_SECONDS

    def _region_lines(self) -> Iterator[str]:
        width, height = self._region.size
        now, style = time.time(), self._style
        bottom_lines = [
            *self._workers(now, min(SHOWN_WORKERS, max(1, height - 4))),
            *(f"  {style.dim(each)}" for each in self._progress.job_activities()),
            progress_line(self._progress, now, self._began, width - 1, style, self._is_unicode),
        ]
        body_height = height - 1 - len(bottom_lines)
        body = list(self.body)
        if len(body) > body_height:
            yield from body[: max(0, body_height - 1)]
            hidden_count = len(body) - max(0, body_height - 1)
            yield style.dim(f"  ... and {hidden_count} more lines; show all: {COMMAND} status")
        else:
            yield from body
        yield from bottom_lines

    @property
    def _is_unicode(self) -> bool:
        return self._region.encoding.startswith("utf")

    def _workers(self, now: float, most: int) -> Iterator[str]:
        """Yield a line for each running or waiting worker, at most ``most``.

        The line has the elapsed time, and the worker's activity or last line of output.
        """
        progress = self._progress
        # Waiting workers have less to show: they come after the running workers.
        busy = {**dict(progress.running()), **dict(progress.waiting())}
        shown_workers = dict(list(busy.items())[:most])
        last_lines = self._output.of(shown_workers) if self._output else {}
        rows = [
            (indent(each) + each, progress.agents.get(each, ""), each) for each in shown_workers
        ]
        name_width = max((columns(name) for name, _, _ in rows), default=0)
        agent_width = max((columns(agent) for _, agent, _ in rows), default=0)
        for name, agent, worker in rows:
            elapsed = duration(max(0.0, now - shown_workers[worker]))
            is_waiting = progress.workers[worker] == "waiting"
            activity = progress.activities.get(worker) or last_lines.get(worker, "")
            start = padded(name, name_width)
            agent_and_time = f"{padded(agent, agent_width)} {elapsed:>8}"
            text = printable(f"{agent_and_time}  {activity}").rstrip()
            style = self._style
            yield f"{style.waiting(start) if is_waiting else style.busy(start)} {style.dim(text)}"
        if len(busy) > len(shown_workers):
            yield self._style.dim(f"... and {len(busy) - len(shown_workers)} more")


def rows_of(line: str, width: int) -> list[str]:
    """Return a line as printable rows of at most ``width`` columns; further rows are indented.

    Words and commands are not broken, so a row with a long path has more columns.
    """
    text = pasteable(line)
    if columns(text) <= width or width < LEAST_WRAPPED_COLUMNS:
        return [text]
    return wrapped(line, width, " " * (len(line) - len(line.lstrip())))


def timed_line(seconds: float, line: str, event: Event, style: Style) -> str:
    """Return the time ``seconds``, followed by an event's line in the color of the event's kind."""
    head, colon, tail = line.partition(": ")
    paint = style.of(_style_name(event))
    return f"{style.dim(f'{seconds:7.1f}s')}  {paint(head)}{colon}{tail}"


def _style_name(event: Event) -> str:
    """Return the name of an event's style: ``good``, ``bad``, ``waiting``, ``dim``, or ""."""
    kind, facts = str(event["kind"]), event.get("data") or {}
    if kind == EventKind.WORKER_ENDED:
        status = str(facts.get("status") or "")
        return "good" if status in SUCCEEDED else "waiting" if status == "skipped" else "bad"
    if kind == EventKind.GATE_ENDED:
        outcome = str(facts.get("outcome") or facts.get("status"))
        return {"passed": "dim", "failed": "bad"}.get(outcome, "waiting")
    return _STYLE_NAMES.get(kind, "")


def is_permanent(event: Event) -> bool:
    """True if ``LiveDisplay`` prints a permanent line for the event."""
    if event["kind"] == EventKind.GATE_ENDED:
        # No line for a failed required gate, because the worker's next line has the findings.
        required = (event.get("data") or {}).get("required", True)
        return _style_name(event) == "waiting" or (_style_name(event) == "bad" and not required)
    return event["kind"] not in _WITHOUT_PERMANENT_LINE


_WITHOUT_PERMANENT_LINE = (
    EventKind.WORKER_STARTED,
    EventKind.WORKER_WAITING,
    EventKind.WORKER_RESUMED,
    EventKind.GATES_STARTED,
    EventKind.GATE_RUN_STARTED,
    EventKind.GATE_RUN_ENDED,
    EventKind.PLANNER_STARTED,
    EventKind.REVIEWER_STARTED,
)
#: Style of an event's line, by kind of event.
_STYLE_NAMES: Mapping[str, str] = {
    EventKind.WORKER_STARTED: "dim",
    EventKind.WORKER_RESUMED: "dim",
    EventKind.GATES_STARTED: "dim",
    EventKind.GATE_RUN_STARTED: "dim",
    EventKind.GATE_RUN_ENDED: "dim",
    EventKind.WORKER_WAITING: "waiting",
    EventKind.WORKER_RETRYING: "waiting",
    EventKind.WORKER_SENT_BACK: "waiting",
    EventKind.FEEDBACK_GIVEN: "waiting",
    EventKind.CHILD_JOB_REFUSED: "waiting",
    EventKind.AGENT_PASSED_OVER: "waiting",
    EventKind.PLANNER_RETRYING: "waiting",
    EventKind.JOB_CANCEL_REQUESTED: "waiting",
    EventKind.CANDIDATE_CHOSEN: "good",
}


def _moment(event: Event) -> float:
    # Use the event's own time, because an event may arrive late, after a lost connection.
    at = moment(event.get("at"))
    return time.time() if at is None else at


def display_for(context: CliContext, stream: TextIO | None = None) -> Display:
    """Return a display for ``stream`` (default: standard error).

    Return a LiveDisplay if the stream is a suitable terminal, otherwise a PlainDisplay.
    """
    output = stream or sys.stderr
    style = style_of(context.environ, output)
    if context.as_json or is_plain(context.environ, output.isatty()):
        return PlainDisplay(style)
    return LiveDisplay(style, output)
