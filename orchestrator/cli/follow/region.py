"""Lines at the bottom of a terminal that are redrawn in place, below lines that stay."""

import os
from collections.abc import Sequence
from typing import TextIO

from orchestrator.cli.output.streams import reader_may_leave
from orchestrator.cli.output.text_width import fit

#: Columns and lines of a terminal that does not report its size.
USUAL_SIZE = (80, 24)
#: Switches line wrapping off, because terminals differ in the width of characters.
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
_START_AND_CLEAR = "\r\x1b[J"
LINE_END = "\r\n"


class Region:
    """A part of the screen. Between two draws, the cursor is at the start of its first line.

    So each draw is complete in itself. No count of lines can become wrong after a resize, terminal
    output such as ``^C`` is overwritten, and a shell prompt after a kill appears in the right
    place.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        #: The drawn lines; None during a draw, which a signal may interrupt before or after its
        #: write.
        self._shown: tuple[str, ...] | None = ()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal, as they are now."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return USUAL_SIZE
        # A terminal without a known size reports 0 columns.
        return (columns or USUAL_SIZE[0], lines or USUAL_SIZE[1])

    @property
    def encoding(self) -> str:
        return (self._stream.encoding or "").lower()

    def draw(self, staying: Sequence[str], changing: Sequence[str]) -> None:
        """Write lines that stay, and replace the region by ``changing``, cut to the terminal.

        The region is the last lines of ``changing`` if the terminal is not high enough.
        """
        width, height = self.size
        shown = tuple(fit(line, width - 1) for line in changing[-max(1, height - 1) :])
        if not staying and shown == self._shown:
            return
        above = "".join(f"{line}\n" for line in staying)
        back = f"\r\x1b[{len(shown) - 1}A" if len(shown) > 1 else "\r"
        text = f"{above}{_WRAP_OFF}{LINE_END.join(shown)}{back}{_WRAP_ON}"
        # One write, so that a signal interrupts before the draw or after it.
        self._shown = None
        with reader_may_leave(self._stream):
            self._stream.write(_START_AND_CLEAR + text)
            self._stream.flush()
        self._shown = shown
