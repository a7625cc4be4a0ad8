"""Replacing secrets in a stream of bytes, however it is cut into chunks."""

import base64
import json
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache

MASK = b"***"
#: Shorter ones would blot out ordinary words.
SHORTEST_SECRET = 6
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_Span = tuple[int, int]


class Masker:
    """Masks every occurrence of every secret, in each of its written forms.

    ``feed`` holds back an end of the stream that may be the beginning of a secret; ``release`` is
    called when the stream has been silent for a moment and gives up those that are short against
    the secret (a quarter of it at most), so that a line is not kept from a reader by one character
    that looks like a beginning. Should the rest follow after all, the rest is masked. What looks
    like more than a quarter of a secret stays back until the stream goes on or ends.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        #: The end of the stream that may be the beginning of a secret.
        self._held = b""
        #: So much of the start of ``_held`` is inside a mask that has been given out.
        self._masked = 0
        #: So much of the start of ``_held`` has been given out.
        self._given = 0

    @cached_property
    def _forms(self) -> list[bytes]:
        # Worked out with the first output: most workers of a wide job print nothing.
        return sorted(_all_forms(self._secrets), key=len, reverse=True)

    @property
    def holds_back(self) -> bool:
        return len(self._held) > self._given

    def feed(self, chunk: bytes) -> bytes:
        """What can be written now."""
        if not chunk or not self._forms:
            return chunk
        stream = self._held + chunk
        return self._advance(stream, len(stream) - self._possible_beginning(stream))

    def release(self) -> bytes:
        """After a silence: what was held back and tells little of a secret. Idempotent."""
        if not self.holds_back or not self._tells_little(self._held):
            return b""
        released, self._given = self._held[self._given :], len(self._held)
        return released

    def finish(self) -> bytes:
        """The end of the stream: all that was held back, which was no secret."""
        if not self._held:
            return b""
        return self._advance(self._held, len(self._held))

    def text(self, text: str) -> str:
        """Mask one whole text, apart from the stream."""
        masker = Masker(())
        masker._forms = self._forms
        raw = text.encode("utf-8", "surrogateescape")
        return (masker.feed(raw) + masker.finish()).decode("utf-8", "surrogateescape")

    def _advance(self, stream: bytes, end: int) -> bytes:
        """Give out ``stream[:end]`` and hold back the rest."""
        spans = self._spans(stream)
        written = self._rendered(stream, end, spans)
        masked = max((stop for start, stop in spans if start < end), default=0)
        self._held = stream[end:]
        self._masked = max(0, masked - end)
        self._given = max(0, self._given - end, self._masked)
        return written

    def _rendered(self, stream: bytes, end: int, spans: list[_Span]) -> bytes:
        parts = []
        position = self._given
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
        """Where secrets are, in order; those that overlap are one."""
        found = [(0, self._masked)] if self._masked else []
        for form in self._forms:
            found.extend((at, at + len(form)) for at in _places(form, stream))
        return _union(sorted(found))

    def _possible_beginning(self, stream: bytes) -> int:
        """Length of the longest end of ``stream`` that some secret begins with."""
        return max((_shared(stream, form) for form in self._forms), default=0)

    def _tells_little(self, held: bytes) -> bool:
        return all(_shared(held, form) * 4 <= len(form) for form in self._forms)


def _places(form: bytes, stream: bytes) -> Iterator[int]:
    at = stream.find(form)
    while at >= 0:
        yield at
        at = stream.find(form, at + 1)


def _union(spans: list[_Span]) -> list[_Span]:
    united: list[_Span] = []
    for start, stop in spans:
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], stop))
        else:
            united.append((start, stop))
    return united


def _shared(stream: bytes, form: bytes) -> int:
    """Length of the longest end of ``stream`` that is a beginning (not the whole) of ``form``."""
    tail = stream[-(len(form) - 1) :]
    for at in _places(form[:1], tail):
        if form.startswith(tail[at:]):
            return len(tail) - at
    return 0


def _all_forms(secrets: Iterable[str]) -> set[bytes]:
    chosen = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    return {form for secret in chosen for form in _forms(secret) if len(form) >= SHORTEST_SECRET}


@lru_cache(maxsize=64)
def _forms(secret: str) -> frozenset[bytes]:
    """How a secret may be written: as it is, as JSON, in URLs, inside of base64."""
    return frozenset(_written(secret))


def _written(secret: str) -> Iterator[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    yield raw
    for ascii_only in (True, False):
        for form in _json_forms(secret, ascii_only):
            yield form.encode("utf-8", "surrogateescape")
    yield from _url_forms(raw)
    yield from _base64_forms(raw)


def _json_forms(secret: str, ascii_only: bool) -> Iterator[str]:
    quoted = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    yield quoted
    yield quoted.replace("/", "\\/")
    # Go, and whoever else writes JSON that may stand in a page.
    yield quoted.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    # JSON inside of JSON: what an agent's tool printed, in the agent's own events.
    for outer_ascii_only in (True, False):
        yield json.dumps(quoted, ensure_ascii=outer_ascii_only)[1:-1]


def _url_forms(raw: bytes) -> Iterator[bytes]:
    for safe in (_UNRESERVED, _UNRESERVED | {ord("/")}):
        for pattern in ("%%%02X", "%%%02x"):
            quoted = "".join(chr(b) if b in safe else pattern % b for b in raw).encode("ascii")
            yield quoted
            yield quoted.replace(b"%20", b"+")


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """The characters of base64 that depend on the secret alone, at each of its three offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        inner = encoded[first:last]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")
