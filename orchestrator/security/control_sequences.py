"""Removes terminal control sequences from a stream of bytes.

A sequence is removed even if it is split between chunks.
"""

import re

#: Bytes that occur in no control character. Text of only these bytes needs no search.
_HARMLESS = bytes({*range(256)} - {*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0xC2})
#: An escape that does not begin an SGR sequence, which sets a color or weight. Only SGR sequences
#: stay in the stream.
_OTHER_ESCAPE = re.compile(rb"\x1b(?!\[[0-9;:]*m)")
#: A control character from U+0080 to U+009F (C1), or a lone first byte of such a character.
_C1 = re.compile(rb"\xc2(?![\xa0-\xbf])")
#: The rest of a control string, such as a window title. A line end also ends the string, so that
#: the removal of an unclosed string removes at most one line.
_STRING = rb"[^\x07\x18\x1a\x1b\n\xc2]*(?:\xc2(?!\x9c)[^\x07\x18\x1a\x1b\n\xc2]*)*"
#: Control sequences of ECMA-48 in UTF-8. The alternatives are: CSI; OSC, DCS, SOS, PM, and APC; any
#: other escape; the same sequences with C1 characters; other control characters. A lone first
#: byte of a C1 character is removed, too. Otherwise, if the sequence after this byte were removed,
#: this byte and the next byte could form a C1 character.
_REMOVED = re.compile(
    rb"\x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]?"
    rb"|\x1b[\]PX^_]" + _STRING + rb"|\x1b(?!\[)[ -/]*[0-~]?"
    rb"|\xc2\x9b[0-?]*[ -/]*[@-~]?"
    rb"|\xc2[\x9d\x90\x98\x9e\x9f]" + _STRING + rb"|\xc2(?![\xa0-\xbf])[\x80-\x9f]?"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]+"
)
_STRING_BEGINNINGS = tuple(b"\x1b" + c for c in (b"]", b"P", b"X", b"^", b"_")) + tuple(
    b"\xc2" + c for c in (b"\x9d", b"\x90", b"\x98", b"\x9e", b"\x9f")
)
#: A sequence that may continue in the next chunk.
_BEGUN = re.compile(rb"(?:\x1b(?:\[[0-?]*|)[ -/]*|\xc2(?:\x9b[0-?]*[ -/]*)?)\Z")
#: Maximum length of a color sequence, in bytes.
_LONGEST_HELD = 64


class ControlSequenceRemover:
    """Removes all control sequences from a stream, except colors, tabs, and line breaks.

    If a chunk ends inside a sequence, the sequence's beginning is held back until the next chunk.
    """

    def __init__(self) -> None:
        self._held = b""
        self._has_removed = False

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return two values: the clean text of a chunk, and original bytes of the stream.

        The second value is b"" until a byte of the stream is removed. All second values together
        are the original stream from its first removed byte on.
        """
        stream = self._held + chunk
        # Hold back a sequence that the chunk's end cuts, because its rest shows if the sequence is
        # a color, which stays in the stream.
        cut_sequence = _BEGUN.search(stream, max(0, len(stream) - _LONGEST_HELD))
        end = cut_sequence.start() if cut_sequence else len(stream)
        complete, self._held = stream[:end], stream[end:]
        if _is_clean(complete):
            return complete, chunk if self._has_removed else b""
        clean, first_removed, open_string = _remove_sequences(complete)
        self._held = open_string + self._held
        if self._has_removed:
            return clean, chunk
        self._has_removed = first_removed >= 0
        return clean, stream[first_removed:] if self._has_removed else b""

    def finish(self) -> bytes:
        """End the stream. Return original bytes that ``feed`` has not returned, or b"".

        These bytes are an incomplete sequence at the stream's end, which the clean text lacks.
        Return b"" if ``feed`` has removed anything from the stream: the second values of ``feed``
        then already contain the sequence.
        """
        held, self._held = self._held, b""
        return b"" if self._has_removed else held


def _is_clean(stream: bytes) -> bool:
    # One fast pass, which is enough for most output.
    special = stream.translate(None, _HARMLESS)
    if not special:
        return True
    if special.translate(None, b"\x1b\xc2"):
        return False
    # Two searches are faster than removing all colors and searching the rest: for output with many
    # colors, the removal took eight times as long.
    return not (_OTHER_ESCAPE.search(stream) or _C1.search(stream))


def _remove_sequences(stream: bytes) -> tuple[bytes, int, bytes]:
    """Remove the control sequences from a stream. Return three values.

    1. The clean text.
    2. The position of the first removed byte; -1 if no byte was removed.
    3. The first bytes of an unfinished control string (such as a title); b"" without such a string.
    """
    parts, position, first_removed = [], 0, -1
    match = None
    for match in _REMOVED.finditer(stream):
        parts.append(stream[position : match.start()])
        position = match.end()
        if first_removed < 0:
            first_removed = match.start()
    parts.append(stream[position:])
    beginning = match[0][:2] if match and position == len(stream) else b""
    return b"".join(parts), first_removed, beginning if beginning in _STRING_BEGINNINGS else b""
