"""Shows progress: lines only, or on a terminal also a few lines that change in place."""

import sys
import time
from typing import Protocol

from orchestrator.cli.context import CliContext
from orchestrator.cli.follow.progress import Event, Progress, indent
from orchestrator.cli.output.streams import reader_may_leave
from orchestrator.cli.output.terminal import (
    duration,
    is_plain,
    moment,
    printable,
    terminal_width,
)
from orchestrator.core.text.formatting import cut

SHOWN_WORKERS = 8
UP_AND_CLEAR = "\x1b[{}F\x1b[J"


class Display(Protocol):
    def say(self, message: str) -> None:
        """A line that stays."""

    def event(self, event: Event) -> None: ...

    def tick(self) -> None:
        """Called a few times a second."""

    def idle(self) -> bool:
        """True if no worker runs, as far as known."""

    def close(self) -> None:
        """Leave the terminal as lines that stay."""


class PlainDisplay:
    """One line for each event, with the time since the job's first event."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._began: float | None = None

    def say(self, message: str) -> None:
        with reader_may_leave(sys.stderr):
            print(printable(message), file=sys.stderr, flush=True)

    def event(self, event: Event) -> None:
        line = self._progress.take(event)
        at = _moment(event)
        self._began = at if self._began is None else self._began
        if line is not None:
            self.say(f"{at - self._began:7.1f}s  {line}")

    def tick(self) -> None:
        pass

    def idle(self) -> bool:
        return not any(self._progress.running())

    def close(self) -> None:
        pass


class LiveDisplay:
    """Ended workers as lines that stay; running ones and counters below them, in place."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._began: float | None = None
        self._lines = 0

    def say(self, message: str) -> None:
        self._draw([printable(message)], self._footer() if self._lines else [])

    def event(self, event: Event) -> None:
        line = self._progress.take(event)
        self._began = _moment(event) if self._began is None else self._began
        stays = event["kind"] not in ("worker_started", "worker_waiting", "worker_resumed")
        self._draw([printable(line)] if line and stays else [], self._footer())

    def tick(self) -> None:
        self._draw([], self._footer())

    def idle(self) -> bool:
        return not any(self._progress.running())

    def close(self) -> None:
        self._draw([], [])

    def _footer(self) -> list[str]:
        running = list(self._progress.running())
        now = time.time()
        lines = [
            f"{indent(worker)}{worker} {self._progress.agents.get(worker, '')} {duration(now - at)}"
            for worker, at in running[:SHOWN_WORKERS]
        ]
        if len(running) > SHOWN_WORKERS:
            lines.append(f"... and {len(running) - SHOWN_WORKERS} more")
        elapsed = duration(0 if self._began is None else now - self._began)
        return [*lines, f"[{elapsed}] {self._progress.counters()}"]

    def _draw(self, staying: list[str], footer: list[str]) -> None:
        """Replace the changing lines; a line that wraps would spoil the count of them."""
        width = terminal_width() - 1
        back = UP_AND_CLEAR.format(self._lines) if self._lines else ""
        text = "".join(f"{line}\n" for line in [*staying, *(cut(x, width) for x in footer)])
        with reader_may_leave(sys.stderr):
            sys.stderr.write(back + text)
            sys.stderr.flush()
        self._lines = len(footer)


def _moment(event: Event) -> float:
    """The event's own time: after a break of the connection, events arrive late."""
    at = moment(event.get("at"))
    return time.time() if at is None else at


def display_for(surroundings: CliContext) -> Display:
    plain = is_plain(surroundings.environ, sys.stderr.isatty())
    return PlainDisplay() if plain else LiveDisplay()
