"""Changes of refs by workers, read from git's ref logs.

Each log entry has the email address of its creator.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from orchestrator.core.model.repository_changes import RefMove
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.repository.repository import ADDRESSES
from orchestrator.security.files.untrusted_files import read_regular

_MOST_BYTES = 64 << 20
_PLACES = ("refs/heads", "refs/tags", "refs/notes", "refs/remotes")
_SINGLE = ("HEAD", "refs/stash")
#: Text in git's log when a push moves a remote-tracking branch.
_PUSHED = b"update by push"
#: Tolerance in seconds, because a file system may store a time slightly before that of the clock.
_CLOCK_SECONDS = 2.0
#: Name in the orchestrator's own identity, which belongs to no worker.
_MERGER = "merge"


def moves(common: Path, root_id: str, since: float) -> Iterator[RefMove]:
    """Yield moves of refs by a root job's workers. Fetches are excluded.

    All moves of one ref by one worker are one item, from the first to the last commit. Logs without
    a change after ``since`` are not read.
    """
    logs = common / "logs"
    ours = logs / "refs" / "heads" / BRANCHES
    below = (_below(logs / each, ours) for each in _PLACES)
    for path in chain((logs / each for each in _SINGLE), *below):
        ref = os.path.relpath(path, logs)
        if _is_newer(path, since):
            yield from _of_log(path, ref, f"@{root_id}{ADDRESSES}")


def _below(directory: Path, without: Path) -> Iterator[Path]:
    for place, directories, names in os.walk(directory):
        # Jobs that were not landed may have many branches.
        directories[:] = [each for each in directories if Path(place, each) != without]
        yield from (Path(place, name) for name in sorted(names))


def _is_newer(path: Path, since: float) -> bool:
    try:
        return os.lstat(path).st_mtime >= since - _CLOCK_SECONDS
    except OSError:
        return False


def _of_log(path: Path, ref: str, address: str) -> Iterator[RefMove]:
    found: dict[tuple[str, bool], RefMove] = {}
    for line in (read_regular(path, _MOST_BYTES) or b"").splitlines():
        who, _, message = line.partition(b"\t")
        before, after, worker_id = _entry(os.fsdecode(who), address)
        is_push = ref.startswith("refs/remotes/")
        if worker_id in ("", _MERGER) or is_push is not message.startswith(_PUSHED):
            continue
        earlier = found.get((worker_id, is_push))
        first = earlier.before if earlier else before
        found[worker_id, is_push] = RefMove(
            worker_id=worker_id, ref=ref, before=first, after=after, is_push=is_push
        )
    yield from found.values()


def _entry(who: str, address: str) -> tuple[str, str, str]:
    """Return a log entry's earlier commit, later commit, and worker; "" for a missing value."""
    before, _, rest = who.partition(" ")
    after, _, rest = rest.partition(" ")
    email = rest.rpartition(" <")[2].partition(">")[0]
    worker_id = email.removesuffix(address) if email.endswith(address) else ""
    return before.strip("0") and before, after.strip("0") and after, worker_id
