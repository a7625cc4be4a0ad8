"""The terminal of ``top``: reads raw keys, draws whole frames, and restores the terminal."""

import atexit
import os
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import FrameType
from typing import Self

#: Control sequences: ``_ENTER`` shows the alternate screen, without cursor and line wrap.
#: ``_LEAVE`` shows the normal screen again.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_CLEAR_LINE = "\x1b[K"
USUAL_SIZE = (80, 24)
#: Seconds to wait for the rest of a key's sequence.
_SEQUENCE_SECONDS = 0.05

_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "[5~": "pageup",
    "[6~": "pagedown",
    "[H": "home",
    "[F": "end",
    "[1~": "home",
    "[4~": "end",
    "OH": "home",
    "OF": "end",
}
_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "redraw",
    "\x03": "interrupt",
    "\x04": "interrupt",
    "\x1a": "suspend",
}


class Screen:
    """Controls the terminal of ``top``. Use it as a context manager.

    Any thread, and any signal handler, may call ``wake``.
    """

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before: list[object] | None = None
        self._shown: list[str] = []
        self._size = (0, 0)
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._handlers: dict[int, object] = {}
        #: Number of the received signal that ends the program; 0: none.
        self.ended_by = 0

    def __enter__(self) -> Self:
        atexit.register(self.leave)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._end)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        self._handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._continued)
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        atexit.unregister(self.leave)

    def enter(self) -> None:
        """Switch the terminal to raw mode and to the alternate screen. Idempotent."""
        if self._before is None:
            self._before = termios.tcgetattr(self._in)
            raw = termios.tcgetattr(self._in)
            raw[0] &= ~(termios.ICRNL | termios.IXON)
            raw[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._in, termios.TCSADRAIN, raw)
        self._write(_ENTER)
        self._shown = []

    def leave(self) -> None:
        """Restore the terminal. Idempotent."""
        if self._before is None:
            return
        attributes, self._before = self._before, None
        with suppress(OSError, termios.error):
            self._write(_LEAVE)
        with suppress(OSError, termios.error):
            termios.tcsetattr(self._in, termios.TCSADRAIN, attributes)  # type: ignore[arg-type]

    def suspend(self) -> None:
        """Suspend the program, as Ctrl-Z does.

        The terminal is restored for the shell, and set up again when the program continues.
        """
        self.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.enter()

    def _end(self, number: int, _: FrameType | None) -> None:
        self.ended_by = number
        self.wake()

    def _resized(self, *_: object) -> None:
        self.wake()

    def _continued(self, *_: object) -> None:
        self._shown = []
        self.wake()

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    @property
    def size(self) -> tuple[int, int]:
        with suppress(OSError):
            width, height = os.get_terminal_size(self._out)
            if width and height:
                return width, height
        return USUAL_SIZE

    def redraw(self) -> None:
        """Make the next call of ``draw`` draw all lines, not only changed lines."""
        self._shown = []

    def draw(self, make: Callable[[int, int], Sequence[str]]) -> None:
        """Draw a frame: only the lines that differ from the previous frame.

        ``make`` gets the terminal's width and height, and returns the frame's lines.
        """
        size = self.size
        lines = list(make(*size))
        if size != self._size:
            self._size, self._shown = size, []
        parts = [] if self._shown else ["\x1b[H\x1b[2J"]
        for number, line in enumerate(lines):
            if number >= len(self._shown) or self._shown[number] != line:
                parts.append(row_text(number, line))
        if parts:
            self._write("".join(parts))
        self._shown = lines

    def _write(self, text: str) -> None:
        data = text.encode(sys.stdout.encoding or "utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                select.select([], [self._out], [], 1.0)

    def keys(self, seconds: float) -> Iterator[str]:
        """Wait at most ``seconds``, and yield pressed keys: characters, or names such as ``up``."""
        try:
            ready, _, _ = select.select([self._in, self._wake_read], [], [], seconds)
        except InterruptedError:
            return
        if self._wake_read in ready:
            with suppress(BlockingIOError):
                while os.read(self._wake_read, 4096):
                    pass
        if self._in in ready:
            yield from self._read()

    def _read(self) -> Iterator[str]:
        data = os.read(self._in, 4096)
        if not data:
            # The terminal no longer exists.
            self.ended_by = self.ended_by or signal.SIGHUP
            return
        while data.endswith(b"\x1b") or _is_cut(data):
            if not select.select([self._in], [], [], _SEQUENCE_SECONDS)[0]:
                break
            data += os.read(self._in, 4096)
        yield from decoded(data)


def row_text(number: int, line: str) -> str:
    """Return the text that draws a line in the row ``number`` (from 0) of the terminal.

    The row is cleared first: behind a line of the terminal's width, the cursor stays in the last
    column, and a clear would erase the last character.
    """
    return f"\x1b[{number + 1};1H{_CLEAR_LINE}{line}\x1b[0m"


def _is_cut(data: bytes) -> bool:
    """True if ``data`` ends inside a character, or inside the bytes that one pressed key sends."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data)
    tail = data.rpartition(b"\x1b")[2] if b"\x1b" in data else b"x"
    return tail in (b"[", b"O") or (tail[:1] == b"[" and tail[1:].isdigit())


def decoded(data: bytes) -> Iterator[str]:
    text = data.decode("utf-8", "replace")
    while text:
        if text[0] == "\x1b":
            name = next((each for each in _SEQUENCES if text.startswith(each, 1)), "")
            if name:
                yield _SEQUENCES[name]
                text = text[1 + len(name) :]
                continue
            if text[1:2] in ("[", "O"):
                # An unknown sequence, up to its final letter.
                remaining_text = text[2:].lstrip("0123456789;<>?")
                text = remaining_text[1:]
                continue
            yield "escape"
        else:
            yield _CONTROLS.get(text[0], text[0])
        text = text[1:]
