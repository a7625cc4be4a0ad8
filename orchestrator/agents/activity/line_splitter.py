"""Splits bytes from a pipe into lines, even if a line is very long or not valid UTF-8."""

from collections.abc import Iterator

#: Maximum bytes of a line. Longer lines are cut to limit the memory; no event of a tool is so long.
MOST_BYTES = 8 * 1024 * 1024


class LineSplitter:
    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._begun: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> Iterator[str]:
        """Yield the lines that ``data`` completes, without their line ends."""
        *completed, remainder = data.split(b"\n")
        for part in completed:
            self._append(part)
            yield self._text()
        self._append(remainder)

    def rest(self) -> str:
        """Return the text after the last line end, and remove this text from the splitter."""
        return self._text()

    def _append(self, part: bytes) -> None:
        part = part[: max(0, self._most - self._size)]
        if part:
            self._begun.append(part)
            self._size += len(part)

    def _text(self) -> str:
        text = b"".join(self._begun).decode("utf-8", "replace").removesuffix("\r")
        self._begun, self._size = [], 0
        return text
