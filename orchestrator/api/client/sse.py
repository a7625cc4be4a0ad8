"""Server-Sent Events: bytes in, events out."""

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any


def text_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, without their ends, as soon as they are complete; at last what is left over."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    if rest:
        yield rest


def events_of(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The ``data`` of each complete event that is a JSON object; comments are left out."""
    data: list[str] = []
    for line in text_lines(pieces):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield from _parsed("\n".join(data))
            data = []


def _parsed(text: str) -> Iterator[dict[str, Any]]:
    try:
        event = json.loads(text)
    except ValueError:
        return
    if isinstance(event, dict):
        yield event
