"""Searches added lines of commits for keys and passwords. Reports the kind of a secret, never its
value.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.gates.findings import Flaw, KnownTexts, Reading
from orchestrator.gates.secrets.added_lines import Added, Additions, Block
from orchestrator.security.secret_kinds import PRIVATE_KEY, Kind, Secret, found_in, kinds_in

#: Maximum bytes of added lines that are scanned.
MOST_BYTES = 128 * 1024 * 1024
#: Maximum number of reported findings.
MOST_FOUND = 200
#: Lock files of packages, which have checksums.
_LOCK_FILES = re.compile(rb"(?:[-.]lock|-lock\.(?:json|yaml)|go\.sum|\.min\.js|\.map)$")
#: Text with two or four bytes per character, in either byte order.
_WIDE = re.compile(rb"(?:[\t -~]\0{1,3}){8,}")
#: Text that is shorter than the shortest secret is skipped.
_LEAST_WIDE = 16
ADVICE = (
    "every commit counts, because removed text stays in the history. Remove the secret from the "
    "files; the next attempt replaces the earlier commits with one commit"
)


@dataclass(frozen=True, slots=True)
class _Find:
    added: Added
    secret: Secret

    @property
    def key(self) -> tuple[bytes, Secret]:
        return self.added.path, self.secret

    @property
    def flaw(self) -> Flaw:
        added, told = self.added, f"{self.secret.kind} (value not shown)"
        commit = f"commit {added.commit[:12].decode('ascii', 'replace')}"
        if not added.path:
            return Flaw(f"{commit}|{told}", f"the message of {commit}: {told}")
        place = f"{added.path.decode('utf-8', 'replace')[:200]}:{added.number}"
        return Flaw(f"{place}|{told}", f"{place}: {told}, added by {commit}")


class Secrets:
    """See ``core.gates.findings.SecretScan``."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes

    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        additions = Additions(self._most_bytes)
        found: dict[tuple[bytes, Secret], Flaw] = {}
        for block in additions.blocks(added):
            for find in _in_block(block):
                found.setdefault(find.key, find.flaw)
            if len(found) >= MOST_FOUND:
                break
        # Of a private key only the first line was seen, which is the same in all private keys.
        seen = {secret.value for _, secret in found if secret.kind != PRIVATE_KEY}
        there = known(seen)
        flaws = [flaw for (_, secret), flaw in found.items() if secret.value not in there]
        cut = [f"only the first {self._most_bytes >> 20} MiB of what was added were scanned"]
        notes = [*([ADVICE] if flaws else []), *(cut if additions.is_cut else [])]
        return Reading(flaws=tuple(flaws[:MOST_FOUND]), note="; ".join(notes))


def _in_block(block: Block) -> Iterator[_Find]:
    is_wide = b"\0" in block.text
    kinds = kinds_in(block.text + block.text.replace(b"\0", b"") if is_wide else block.text)
    for added in block.lines:
        secret = _in_line(added, kinds)
        if secret:
            yield _Find(added, secret)


def _in_line(added: Added, kinds: Sequence[Kind]) -> Secret | None:
    generic = not _LOCK_FILES.search(added.path)
    found = found_in(added.text, kinds, generic=generic)
    if found or added.text.count(b"\0") < _LEAST_WIDE:
        return found
    texts = (wide[0].replace(b"\0", b"") for wide in _WIDE.finditer(added.text))
    return next(filter(None, (found_in(text, kinds, generic=generic) for text in texts)), None)
