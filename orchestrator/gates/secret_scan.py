"""Searches the added lines of commits for keys and passwords.

Reports the kind of a secret, never its value.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.gates.findings import Finding, KnownTexts, Reading
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.secrets.secret_kinds import (
    PRIVATE_KEY,
    Secret,
    SecretKind,
    find_secret,
    kinds_in,
)

#: Maximum bytes of a line that are searched at once. A longer line is searched in parts (windows)
#: that overlap.
WINDOW_BYTES = 65536
#: Number of bytes by which two windows overlap.
OVERLAP_BYTES = 8192
#: Matches a hunk's header, for example ``@@@ -1,2 -3 +4,5 @@@`` of a merge with two parents.
_HUNK = re.compile(rb"(@@+) (?:-\S+ )+\+(\d{1,9})(?:,(\d{1,9}))? @@")


@dataclass(frozen=True, slots=True)
class Added:
    """A line that a commit adds to a file, or a line of the commit's message.

    A long line is split into parts that overlap.
    """

    commit: bytes
    #: Path of the file; empty if the line is in the commit's message.
    path: bytes
    number: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Added lines that are searched for secrets as one text. ``text`` contains all the lines."""

    text: bytes
    lines: tuple[Added, ...]


@dataclass(slots=True)
class Additions:
    """Reads the added lines in git's output. Stops after about ``most`` bytes of the output."""

    most: int
    #: True if the output had more than ``most`` bytes, so that its end was not read.
    is_cut: bool = False
    _commit: bytes = b""
    _path: bytes = b""
    _in_message: bool = False
    _number: int = 0
    #: Number of remaining lines in the current hunk.
    _left: int = 0
    #: Number of parents with which the commit is compared. A line of a hunk begins with one sign
    #: ("+", "-", or a space) for each parent.
    _parents: int = 1

    def blocks(self, pieces: Iterable[bytes]) -> Iterator[Block]:
        partial_line, read = b"", 0
        for piece in pieces:
            if read >= self.most:
                self.is_cut = True
                break
            read += len(piece)
            whole_lines, newline, last_line = (partial_line + piece).rpartition(b"\n")
            if newline:
                yield self._block(whole_lines.split(b"\n"))
            partial_line = last_line
            if len(partial_line) > WINDOW_BYTES:
                # The line continues after this window, so the line is not counted yet. The next
                # window begins with the last bytes of this window.
                yield Block(partial_line, tuple(self._added_in(partial_line, is_whole=False)))
                partial_line = partial_line[: self._parents] + partial_line[-OVERLAP_BYTES:]
        yield self._block([partial_line])

    def _block(self, lines: Iterable[bytes]) -> Block:
        added_lines = tuple(added for line in lines for added in self._added_in(line))
        return Block(b"\n".join(added.text for added in added_lines), added_lines)

    def _added_in(self, line: bytes, *, is_whole: bool = True) -> Iterator[Added]:
        if self._left:
            yield from self._added_in_hunk(line, is_whole)
        elif line.startswith(b"@@"):
            self._begin_hunk(line)
        elif line.startswith(b"+++ "):
            self._path = line[4:].strip().strip(b'"').removeprefix(b"b/")
        elif line.startswith(b"commit "):
            self._commit, self._path, self._in_message = line[7:], b"", True
        elif line.startswith(b"diff "):
            self._in_message = False
        elif self._in_message:
            yield Added(self._commit, b"", 0, line)

    def _begin_hunk(self, head: bytes) -> None:
        match = _HUNK.match(head)
        if match:
            self._parents = len(match[1]) - 1
            self._number = int(match[2]) - 1
            self._left = int(match[3] or 1)

    def _added_in_hunk(self, line: bytes, is_whole: bool) -> Iterator[Added]:
        signs = line[: self._parents]
        if b"-" in signs or signs.startswith(b"\\"):
            return
        if signs == b"+" * self._parents:
            yield Added(self._commit, self._path, self._number + 1, line[self._parents :])
        if is_whole:
            self._number += 1
            self._left -= 1


#: Maximum bytes of git's output that are read.
MOST_BYTES = 128 * 1024 * 1024
#: Maximum number of findings that are reported.
MOST_FOUND = 200
#: Paths of minified scripts, of source maps, and of the lock files of package managers, which
#: contain checksums. These files are searched only for keys of known formats, not for assignments
#: such as ``password = "..."``.
_LOCK_FILES = re.compile(rb"(?:[-.]lock|-lock\.(?:json|yaml)|go\.sum|\.min\.js|\.map)$")
#: Matches text in UTF-16 or UTF-32, in either byte order.
_WIDE = re.compile(rb"(?:[\t -~]\0{1,3}){8,}")
#: Minimum number of NUL bytes in a line that is searched for UTF-16 or UTF-32: the length of the
#: shortest secret.
_LEAST_WIDE = 16
ADVICE = (
    "remove the secret from the files; you need not remove it from earlier commits: after the next "
    "attempt, orchestrator replaces all commits of the worker with one commit"
)


@dataclass(frozen=True, slots=True)
class _Find:
    added: Added
    secret: Secret

    @property
    def key(self) -> tuple[bytes, Secret]:
        return self.added.path, self.secret

    @property
    def finding(self) -> Finding:
        added, description = self.added, f"{self.secret.kind} (value not shown)"
        commit = f"commit {added.commit[:12].decode('ascii', 'replace')}"
        if not added.path:
            return Finding(f"{commit}|{description}", f"the message of {commit}: {description}")
        place = f"{added.path.decode('utf-8', 'replace')[:200]}:{added.number}"
        return Finding(f"{place}|{description}", f"{place}: {description}, added by {commit}")


class SecretScanner:
    """Scans for secrets; implements ``core.gates.findings.SecretScan``."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes

    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        additions = Additions(self._most_bytes)
        findings_by_key: dict[tuple[bytes, Secret], Finding] = {}
        for block in additions.blocks(added):
            for find in _finds_in_block(block):
                findings_by_key.setdefault(find.key, find.finding)
            if len(findings_by_key) >= MOST_FOUND:
                break
        # A private key is found by its first line, which is the same in all private keys. Therefore
        # ``known`` need not search for this line.
        values = {secret.value for _, secret in findings_by_key if secret.kind != PRIVATE_KEY}
        known_values = known(values)
        findings = [
            finding
            for (_, secret), finding in findings_by_key.items()
            if secret.value not in known_values
        ]
        cut = [f"only the first {self._most_bytes >> 20} MiB of the added text were scanned"]
        notes = [*([ADVICE] if findings else []), *(cut if additions.is_cut else [])]
        return Reading(findings=tuple(findings[:MOST_FOUND]), note="; ".join(notes))


def _finds_in_block(block: Block) -> Iterator[_Find]:
    is_wide = b"\0" in block.text
    kinds = kinds_in(block.text + block.text.replace(b"\0", b"") if is_wide else block.text)
    for added in block.lines:
        secret = _secret_in_line(added, kinds)
        if secret:
            yield _Find(added, secret)


def _secret_in_line(added: Added, kinds: Sequence[SecretKind]) -> Secret | None:
    generic = not _LOCK_FILES.search(added.path)
    secret = find_secret(added.text, kinds, generic=generic)
    if secret or added.text.count(b"\0") < _LEAST_WIDE:
        return secret
    texts = (wide[0].replace(b"\0", b"") for wide in _WIDE.finditer(added.text))
    return next(filter(None, (find_secret(text, kinds, generic=generic) for text in texts)), None)
