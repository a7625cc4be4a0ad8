"""Finds secrets in an environment; masks secrets in addresses and in streams.

A secret in a stream is masked even if it is split between chunks.
"""

import base64
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

MASK = b"***"
#: Minimum length of a secret: masking shorter values would mask ordinary words.
SHORTEST_SECRET = 6
#: Schemes of addresses that have a host after ``//``. Addresses with other schemes, such as
#: tgram:// of apprise, may have a token instead of the host.
_WITH_HOST = frozenset({"http", "https", "smtp", "smtps"})
#: Names of variables with secrets. GIT_AUTHOR_NAME is excluded: its value occurs in agents' normal
#: output.
_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH(?!OR(?!I))", re.IGNORECASE
)
_ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#: Characters that URL encodings leave unchanged, one set for each encoding: RFC 3986, RFC 3986 in a
#: path, forms, and JavaScript's encodeURIComponent and encodeURI.
_UNRESERVED = tuple(
    frozenset(_ALNUM + marks)
    for marks in (b"-._~", b"-._~/", b"-._*", b"-._~!'()*", b"-._~!'()*;,/?:@&=+$#")
)
#: A line break inside base64: literal, or escaped by JSON once or several times. At the end of the
#: stream, an escape may be incomplete.
_ESCAPED_BREAK = re.compile(rb"\\+(?:[rn]|\Z)")
_BREAK = re.compile(rb"[\r\n]+|" + _ESCAPED_BREAK.pattern)

_Span = tuple[int, int]


class _Forms(NamedTuple):
    #: Forms of the secrets that are searched literally.
    plain: list[bytes]
    #: Forms of the secrets that are also searched across line breaks.
    base64: list[bytes]


class Masker:
    """Masks secrets in a stream, in each form in which programs write them.

    ``feed`` holds back the last bytes of the stream if a secret may begin with them. If no further
    bytes arrive for a moment, call ``release``, so that the end of a line is not missing.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        #: The last bytes of the stream, if they may be the beginning of a secret.
        self._held = b""
        #: Number of bytes at the start of ``_held`` for which a mask has been returned.
        self._masked = 0
        #: Number of bytes at the start of ``_held`` that have been returned.
        self._returned = 0

    @cached_property
    def _forms(self) -> _Forms:
        # Computed at the first output, because in large jobs, most workers print nothing.
        return _all_forms(self._secrets)

    @property
    def holds_back(self) -> bool:
        return len(self._held) > self._returned

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that can be written now."""
        if not chunk or not self._forms.plain:
            return chunk
        stream = self._held + chunk
        return self._advance(stream, len(stream) - self._possible_beginning(stream))

    def release(self) -> bytes:
        """Return the held bytes if they are too short to reveal a secret; otherwise b"".

        The held bytes are too short if every secret that begins with them is at least four times as
        long. If the rest of the secret follows later, the rest is masked. Idempotent.
        """
        if not self.holds_back or not self._reveals_little(self._held):
            return b""
        released, self._returned = self._held[self._returned :], len(self._held)
        return released

    def finish(self) -> bytes:
        """End the stream. Return the held bytes; an incomplete secret is not masked."""
        if not self._held:
            return b""
        return self._advance(self._held, len(self._held))

    def new_stream(self) -> "Masker":
        masker = Masker(self._secrets)
        masker._forms = self._forms
        return masker

    def text(self, text: str) -> str:
        """Return a complete text, masked. The stream is not affected."""
        masker = self.new_stream()
        raw = text.encode("utf-8", "surrogateescape")
        return (masker.feed(raw) + masker.finish()).decode("utf-8", "surrogateescape")

    def _advance(self, stream: bytes, end: int) -> bytes:
        spans = self._spans(stream)
        output = self._rendered(stream, end, spans)
        masked_end = max((stop for start, stop in spans if start < end), default=0)
        self._held = stream[end:]
        self._masked = max(0, masked_end - end)
        self._returned = max(0, self._returned - end, self._masked)
        return output

    def _rendered(self, stream: bytes, end: int, spans: list[_Span]) -> bytes:
        parts = []
        position = self._returned
        for start, stop in spans:
            if start >= end:
                break
            parts.append(stream[position:start])
            if not (start == 0 and self._masked):
                parts.append(MASK)
            position = max(position, stop)
        parts.append(stream[position:end])
        return b"".join(parts)

    def _spans(self, stream: bytes) -> list[_Span]:
        spans = [(0, self._masked)] if self._masked else []
        for form in self._forms.plain:
            spans.extend((at, at + len(form)) for at in _positions(form, stream))
        unbroken = _Unbroken(stream)
        for form in self._forms.base64:
            spans.extend(unbroken.span(at, len(form)) for at in _positions(form, unbroken.text))
        return _merged(sorted(spans))

    def _possible_beginning(self, stream: bytes) -> int:
        longest = max((_overlap(stream, form) for form in self._forms.plain), default=0)
        # Twice the length, which leaves space for line breaks.
        tail = stream[-2 * max(map(len, self._forms.base64), default=1) :]
        unbroken = _Unbroken(tail)
        overlap = max((_overlap(unbroken.text, form) for form in self._forms.base64), default=0)
        if not overlap:
            return longest
        start, _ = unbroken.span(len(unbroken.text) - overlap, overlap)
        return max(longest, len(tail) - start)

    def _reveals_little(self, held: bytes) -> bool:
        unbroken = _Unbroken(held).text
        return all(_overlap(held, form) * 4 <= len(form) for form in self._forms.plain) and all(
            _overlap(unbroken, form) * 4 <= len(form) for form in self._forms.base64
        )


class _Unbroken:
    """A stream without its line breaks, because a secret in base64 may contain line breaks."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        # Remove escaped and literal line breaks in two steps, because one pattern for both took ten
        # times as long as all other work on a log.
        joined = _ESCAPED_BREAK.sub(b"", stream) if b"\\" in stream else stream
        self.text = joined.translate(None, b"\r\n")

    def span(self, at: int, length: int) -> _Span:
        """Return the span of the bytes ``text[at : at + length]`` in the original stream.

        The span neither begins nor ends with a line break.
        """
        positions, removed = self._breaks
        breaks_before = bisect_right(positions, at)
        breaks_until = bisect_left(positions, at + length)
        return at + removed[breaks_before], at + length + removed[breaks_until]

    @cached_property
    def _breaks(self) -> tuple[list[int], list[int]]:
        """Return the positions in ``text`` at which line breaks were removed, and byte counts.

        Byte count n is the number of bytes of the first n line breaks.
        """
        positions, removed = [], [0]
        for match in _BREAK.finditer(self._stream):
            positions.append(match.start() - removed[-1])
            removed.append(removed[-1] + len(match.group()))
        return positions, removed


def _positions(form: bytes, stream: bytes) -> Iterator[int]:
    at = stream.find(form)
    while at >= 0:
        yield at
        at = stream.find(form, at + 1)


def _merged(spans: list[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for start, stop in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def _overlap(stream: bytes, form: bytes) -> int:
    """Return how many bytes at the end of ``stream`` are an incomplete ``form``.

    Example: 2 if ``stream`` ends with ``se``, and ``form`` is ``secret``.
    """
    tail = stream[-(len(form) - 1) :]
    for at in _positions(form[:1], tail):
        if form.startswith(tail[at:]):
            return len(tail) - at
    return 0


def _all_forms(secrets: Iterable[str]) -> _Forms:
    maskable = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    forms = [_forms(secret) for secret in maskable]
    return _Forms(
        plain=_longest_first(form for each in forms for form in each.plain),
        base64=_longest_first(form for each in forms for form in each.base64),
    )


def _longest_first(forms: Iterable[bytes]) -> list[bytes]:
    return sorted({form for form in forms if len(form) >= SHORTEST_SECRET}, key=len, reverse=True)


@lru_cache(maxsize=64)
def _forms(secret: str) -> _Forms:
    raw = secret.encode("utf-8", "surrogateescape")
    return _Forms(
        plain=list(set(_written_forms(secret, raw))), base64=list(set(_base64_forms(raw)))
    )


def _written_forms(secret: str, raw: bytes) -> Iterator[bytes]:
    yield raw
    for ascii_only in (True, False):
        for form in _json_forms(secret, ascii_only):
            yield form.encode("utf-8", "surrogateescape")
    yield from _url_forms(raw)


def _json_forms(secret: str, ascii_only: bool) -> Iterator[str]:
    quoted = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    yield quoted
    yield quoted.replace("/", "\\/")
    # Go and some other programs also escape &, <, and > in JSON.
    yield quoted.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    # JSON inside a string of JSON: for example, an agent's event contains a tool's JSON output.
    for outer_ascii_only in (True, False):
        yield json.dumps(quoted, ensure_ascii=outer_ascii_only)[1:-1]


def _url_forms(raw: bytes) -> Iterator[bytes]:
    for safe in _UNRESERVED:
        for pattern in ("%%%02X", "%%%02x"):
            quoted = "".join(chr(b) if b in safe else pattern % b for b in raw).encode("ascii")
            yield quoted
            yield quoted.replace(b"%20", b"+")


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Yield the three base64 forms of a secret, one for each offset in the encoded data.

    Characters that also depend on neighboring data are omitted.
    """
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        inner = encoded[first:last]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


@lru_cache(maxsize=256)
def _names_of_secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if _SECRET_NAME.search(name))


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names suggest secrets, which logs must not contain."""
    values = (environment[name] for name in _names_of_secrets(tuple(environment)))
    return tuple(value for value in values if len(value) >= SHORTEST_SECRET)


def shown_address(url: str) -> str:
    """Return only the scheme and host of a URL, because the rest may contain a token.

    The host is masked for schemes such as tgram://, because the host itself may be a token.
    """
    # Imported when needed, because spawners and shims start faster without this import.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        if not parts.netloc:
            return f"{parts.scheme}:"
        if parts.scheme not in _WITH_HOST:
            return f"{parts.scheme}://***"
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "***"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
