"""Setup commands: the commands that prepare a worktree.

The commands run once for each worktree, before its worker or its first gate starts, and again after
each rollback.
"""

import os
from hashlib import sha256
from pathlib import Path

from orchestrator.core.gates.findings import FinishedRun
from orchestrator.core.gates.gate import Gate
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import one_line
from orchestrator.security.files.untrusted_files import read_regular

#: Name of the file with a hash of the setup commands that have run in a worktree. The file is in
#: git's directory for the worktree, and is removed with the worktree.
_MARK = "orchestrator-set-up"
_MOST_BYTES = 4096
_MOST_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    commands: tuple[str, ...]
    #: Timeout of all setup commands together, in seconds.
    timeout: float

    @property
    def gate(self) -> Gate:
        """The setup commands as a gate, so that they get a log, a timeout, and containment."""
        return Gate(name="setup", run="\n".join(("set -e", *self.commands)), timeout=self.timeout)

    def is_done(self, worktree: str) -> bool:
        if not self.commands:
            return True
        mark = _mark_of(worktree)
        return mark is not None and read_regular(mark, _MOST_BYTES) == self._digest

    def mark_done(self, worktree: str) -> None:
        """Record that the setup has run in this worktree.

        Raise OSError if the record cannot be written.
        """
        mark = _mark_of(worktree)
        if mark is not None:
            mark.write_bytes(self._digest)

    @property
    def _digest(self) -> bytes:
        return sha256("\0".join(self.commands).encode()).hexdigest().encode()


def forget_setup(worktree: str) -> None:
    """Let the setup commands run again in this worktree, because a rollback removes their files."""
    mark = _mark_of(worktree)
    if mark is not None:
        mark.unlink(missing_ok=True)


def _mark_of(worktree: str) -> Path | None:
    """Return the path of the file that shows that the setup has run. The file may not exist.

    Return None if a worker has removed or changed the worktree's file ``.git``.
    """
    link = os.fsdecode(read_regular(f"{worktree}/.git", _MOST_BYTES) or b"").strip()
    git_directory = link.removeprefix("gitdir: ")
    return (
        Path(git_directory, _MARK)
        if git_directory != link and os.path.isdir(git_directory)
        else None
    )


def why_failed(ran: FinishedRun) -> str:
    """Return why the setup failed, as text; "" if the setup succeeded."""
    if ran.passed:
        return ""
    why = ran.broken or "; ".join(finding.text for finding in ran.reading.findings)
    output = one_line(ran.output)[-_MOST_CHARACTERS:]
    return f"git.setup failed: {why}{f' ({output})' if output else ''}; log: {ran.log}"
