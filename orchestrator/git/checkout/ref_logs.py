"""Reads ref logs: moves of refs, and stash entries.

Ref logs show which refs workers changed, because each entry has the email address of the person or
worker that made the change.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from orchestrator.core.model.user_repository_changes import STASH_ENTRY, RefMove
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.repository.repository import ADDRESSES
from orchestrator.security.files.untrusted_files import read_regular

_MOST_BYTES = 64 << 20
_PLACES = ("refs/heads", "refs/tags", "refs/notes", "refs/remotes")
_SINGLE = ("HEAD", "refs/stash")
#: Message in git's log of a ref (reflog) when a push moves a remote-tracking branch. The log has no
#: other field for the cause of a move. Git does not translate the message.
_PUSHED = b"update by push"
#: Tolerance for the time of a log file, in seconds. A file system may store a time that is slightly
#: earlier than the time of the clock.
_CLOCK_SECONDS = 2.0
#: Name in the email address of the orchestrator's own commits. A worker's address has the worker's
#: id instead.
_MERGER = "merge"


def ref_moves(common: Path, root_id: str, since: float) -> Iterator[RefMove]:
    """Yield the moves of refs that a root job's workers made. Fetches are excluded.

    Several moves of one ref by one worker become one move, from the first commit to the last. A
    move is omitted if the ref later returned to the commit from which the move began, for example
    because the user ran the command ``restore``. Pushes and moves of HEAD are never omitted. Only
    logs that changed after ``since`` (Unix time) are read.
    """
    logs = common / "logs"
    ours = logs / "refs" / "heads" / BRANCHES
    logs_below = (_logs_below(logs / each, ours) for each in _PLACES)
    for path in chain((logs / each for each in _SINGLE), *logs_below):
        ref = os.path.relpath(path, logs)
        if _is_newer(path, since):
            yield from _moves_in_log(path, ref, f"@{root_id}{ADDRESSES}")


def _logs_below(directory: Path, without: Path) -> Iterator[Path]:
    for place, directories, names in os.walk(directory):
        # Skip the branches of jobs, which may be many.
        directories[:] = [each for each in directories if Path(place, each) != without]
        yield from (Path(place, name) for name in sorted(names))


def _is_newer(path: Path, since: float) -> bool:
    try:
        return os.lstat(path).st_mtime >= since - _CLOCK_SECONDS
    except OSError:
        return False


def _moves_in_log(path: Path, ref: str, address: str) -> Iterator[RefMove]:
    moves: dict[str, RefMove] = {}
    is_push = ref.startswith("refs/remotes/")
    for line in (read_regular(path, _MOST_BYTES) or b"").splitlines():
        head, _, message = line.partition(b"\t")
        before, after, worker_id = _parsed_entry(os.fsdecode(head), address)
        if worker_id not in ("", _MERGER) and is_push is message.startswith(_PUSHED):
            earlier = moves.get(worker_id)
            first = earlier.before if earlier else before
            moves[worker_id] = RefMove(
                worker_id=worker_id, ref=ref, before=first, after=after, is_push=is_push
            )
        # Never omit pushes, because a push cannot be undone here. Never omit moves of HEAD, because
        # HEAD may be at its earlier commit, but on another branch.
        if not is_push and ref != "HEAD" and before != after:
            moves = _without_undone(moves, after)
    yield from moves.values()


def _without_undone(moves: Mapping[str, RefMove], commit: str) -> dict[str, RefMove]:
    """Return the moves that remain after the ref has moved back to ``commit``.

    The ref's return to ``commit`` has undone the first move that began at ``commit``, and all moves
    after it.
    """
    remaining: dict[str, RefMove] = {}
    for worker_id, move in moves.items():
        if move.before == commit:
            break
        remaining[worker_id] = move
    return remaining


def _parsed_entry(head: str, address: str) -> tuple[str, str, str]:
    """Return the old commit, the new commit, and the worker of an entry in a ref's log.

    A missing value is "". ``address``: end of the email address of the job's workers.
    """
    before, _, rest = head.partition(" ")
    after, _, author = rest.partition(" ")
    email = author.rpartition(" <")[2].partition(">")[0]
    worker_id = email.removesuffix(address) if email.endswith(address) else ""
    return before.strip("0") and before, after.strip("0") and after, worker_id


def stash_entries(common: Path) -> dict[str, str]:
    """Return the messages of the stash entries, by name."""
    log = read_regular(common / "logs" / "refs" / "stash", _MOST_BYTES) or b""
    lines = (os.fsdecode(each).partition("\t") for each in log.splitlines())
    # Lines that a worker has damaged have no commit.
    entries = ((head.split(" ")[1:2], message) for head, _, message in lines)
    return {f"{STASH_ENTRY}{commits[0]}": message for commits, message in entries if commits}
