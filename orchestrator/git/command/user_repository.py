"""Reads the user's own checkout, to detect changes by a job; reads ref logs.

Ref logs show which refs workers changed, because each entry has the email address of the person or
worker that made the change.

The only file that this module writes is ``info/exclude``. Because of its lines there, git does not
show the product's directories, such as the workspace.
"""

import base64
import hashlib
import json
import os
import shlex
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from orchestrator.core.model.user_repository_changes import (
    FILE,
    REFLOGS,
    SETTING,
    STASH_ENTRY,
    WAYS_TO_MERGE,
    RefMove,
)
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.core.repository.repository import ADDRESSES
from orchestrator.core.text.path_patterns import literal, within
from orchestrator.git.command import git_config, ref_files
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.checkout_status import path_of, status
from orchestrator.git.command.git_config import SETTLED_SECONDS
from orchestrator.git.command.git_sessions import Stamp, shared_part, stamp_at
from orchestrator.git.command.runner import Git, with_nul
from orchestrator.security.files.untrusted_files import read_regular

#: Maximum number of changed files that are checked individually.
MOST_FILES = 20_000
_REFS = ("refs/heads/", "refs/tags/", "refs/stash", "refs/notes/", "refs/replace/")
#: Files of the repository that decide which programs git runs, and how git treats files.
_SETTINGS = (
    *("config.worktree", "hooks", "objects/info/alternates"),
    *("info/exclude", "info/attributes", "info/sparse-checkout", "info/grafts", "shallow"),
)
#: Maximum size of a repository file whose content is stored. Larger files are only compared.
MOST_CONTENT = 65536
_MERGING = r"^(merge\..*\.driver|merge\.default|core\.attributesfile)$"
#: The flags of the index that was read last, with the index's path and stamp.
_flags_of = BoundedCache[str, tuple[Stamp, dict[str, str]]](1)


def state(git: Git, top: str, common: Path, ours: Sequence[str]) -> dict[str, str]:
    """Return the state of the checkout: a text for each ref, setting, and uncommitted file.

    Equal states mean that nothing has changed. ``ours``: the product's own folders, relative to
    ``top``. Changes in these folders do not count.
    """
    texts = {"HEAD": branch(git) or git.resolve("HEAD")}
    texts |= settings(common)
    for name in _SETTINGS:
        for file in _files_at(common / name):
            texts[f"git {os.path.relpath(file, common)}"] = content(file)
    if _fingerprint(str(common / "logs" / "HEAD")).startswith("0 "):
        texts[REFLOGS] = "empty"
    # Record locks, because a lock of a running or killed git blocks all other git commands.
    for file in (*common.glob("*.lock"), *common.glob("reftable/*.lock")):
        texts[f"git {os.path.relpath(file, common)}"] = _fingerprint(str(file))
    # Omit branches of jobs, which are not the user's: jobs that were not landed may have many
    # branches.
    texts |= ref_files.tips(git, common, *_REFS, without=f"refs/heads/{BRANCHES}/")
    texts |= stash_entries(common)
    texts |= _index_flags(git) | {WAYS_TO_MERGE: ways_to_merge(git, common)}
    for index, field in enumerate(status(git, top, ours)):
        path = path_of(field)
        if index < MOST_FILES and not any(within(path, each) for each in ours):
            texts[f"{FILE}{path}"] = f"{field} {_fingerprint(os.path.join(top, path))}"
    return texts


def branch(git: Git) -> str:
    """Return the full name of the branch that is checked out; "" for a detached HEAD."""
    part = shared_part(git.directory, git.env)
    content = part and read_regular(f"{part.common}/{part.head}HEAD", MOST_CONTENT)
    if not content or content.startswith(b"ref: refs/heads/.invalid"):
        # With a reftable, the file HEAD has no meaning.
        return git.ask("symbolic-ref", "--quiet", "HEAD")
    text = os.fsdecode(content).rstrip()
    return text.removeprefix("ref:").strip() if text.startswith("ref:") else ""


def settings(common: Path) -> dict[str, str]:
    """Return the repository's own settings by name. Each value is a JSON list of strings."""
    config = common / "config"
    listed = git_config.of_file(config)
    if listed is None:
        return {"git config": content(config)}
    values: dict[str, list[str | None]] = {}
    for name, is_set, value in (os.fsdecode(each).partition("\n") for each in listed):
        values.setdefault(name, []).append(value if is_set else None)
    return {f"{SETTING}{name}": json.dumps(all_values) for name, all_values in values.items()}


def stash_entries(common: Path) -> dict[str, str]:
    """Return the messages of the stash entries, by name."""
    log = read_regular(common / "logs" / "refs" / "stash", _MOST_BYTES) or b""
    lines = (os.fsdecode(each).partition("\t") for each in log.splitlines())
    # Lines that a worker has damaged have no commit.
    entries = ((head.split(" ")[1:2], message) for head, _, message in lines)
    return {f"{STASH_ENTRY}{commits[0]}": message for commits, message in entries if commits}


def content(path: Path) -> str:
    """Return a text from which ``RepositoryRestore`` can recreate the file; "" if there is no file.

    For a large file, a link, or an example hook of git (``*.sample``), return only a digest, from
    which ``RepositoryRestore`` cannot recreate the file.
    """
    try:
        mode = os.lstat(path).st_mode
        raw = path.read_bytes()
    except OSError:
        return ""
    digest = hashlib.sha256(raw).hexdigest()
    if not stat.S_ISREG(mode) or len(raw) > MOST_CONTENT or path.name.endswith(".sample"):
        return digest
    return f"{stat.S_IMODE(mode):o} {base64.b64encode(raw).decode()}"


def files(git: Git, top: str, ours: Sequence[str]) -> dict[str, str]:
    """Return the uncommitted files and their fingerprints, by path.

    Omits ignored files and the product's own folders.
    """
    fields = [each for each in status(git, top, ours) if not each.startswith("!")]
    entries = {path_of(each): each for each in fields[:MOST_FILES]}
    return {
        path: f"{field} {_fingerprint(os.path.join(top, path))}"
        for path, field in entries.items()
        if not any(within(path, each) for each in ours)
    }


def files_of(state: Mapping[str, str]) -> dict[str, str] | None:
    """Return the uncommitted files in ``state``, in the form that ``files`` returns.

    ``state``: a result of the function ``state``. Return None if ``state`` may lack files, because
    the checkout had MOST_FILES changed files or more.
    """
    entries = {
        name.removeprefix(FILE): each for name, each in state.items() if name.startswith(FILE)
    }
    if len(entries) >= MOST_FILES:
        return None
    return {path: each for path, each in entries.items() if not each.startswith("!")}


def ways_to_merge(git: Git, common: Path) -> str:
    """Return a digest of the settings and attributes that decide how git merges files.

    Return "" if there are no such settings and attributes.
    """
    settings = git_config.matching(git, _MERGING)
    attributes = common / "info" / "attributes"
    settings += attributes.read_bytes() if attributes.is_file() else b""
    return hashlib.sha256(settings).hexdigest() if settings else ""


def _index_flags(git: Git) -> dict[str, str]:
    part = shared_part(git.directory, git.env)
    index = f"{part.common}/{part.head}index" if part else ""
    stamp, began = stamp_at(index), time.time()
    cached_stamp, flags = _flags_of.get(index) or (None, {})
    if cached_stamp is not None and cached_stamp == stamp:
        return flags
    answer = git.run("ls-files", "-v", "-z", accept=range(256))
    marked = "\0".join(each for each in answer.fields if not each.startswith("H"))
    digest = hashlib.sha256(os.fsencode(marked)).hexdigest()
    flags = {"flags in the index": digest} if marked else {}
    # Do not cache the flags of an index that was written a moment ago, because it may change again
    # without a visible difference.
    if stamp and not answer.code and max(stamp[2:]) < (began - SETTLED_SECONDS) * 1e9:
        _flags_of.put(index, (stamp, flags))
    return flags


def _fingerprint(path: str) -> str:
    try:
        file_status = os.lstat(path)
    except OSError:
        return "gone"
    return f"{file_status.st_size} {file_status.st_mtime_ns} {file_status.st_ctime_ns}"


def _files_at(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def hide(git: Git, top: str, common: Path, directory: str) -> bool:
    """Make git ignore a directory of the checkout, by a line in ``info/exclude``. Idempotent.

    Return True if a line was added. Does nothing if git already ignores the directory, or if the
    directory is outside of the checkout.
    """
    relative = os.path.relpath(directory, top)
    if relative.startswith(".."):
        return False
    if ignored(git, [f"{relative}/x"]):
        return False
    line = f"/{literal(relative)}/\n".encode("utf-8", "surrogateescape")
    path = common / "info" / "exclude"
    path.parent.mkdir(exist_ok=True)
    rules = path.read_bytes() if path.exists() else b""
    if line in rules.splitlines(keepends=True):
        return False
    with path.open("ab") as file:
        file.write((b"" if not rules or rules.endswith(b"\n") else b"\n") + line)
    return True


def exclude_line(directory: str, top: str) -> str:
    """Return the line for ``info/exclude`` that makes git ignore a directory of a checkout.

    ``top``: the checkout. Return "" if the directory is outside of the checkout, or is the
    checkout.
    """
    relative = os.path.relpath(directory, top)
    return "" if relative.split(os.sep)[0] in (os.curdir, os.pardir) else f"/{literal(relative)}/"


def exclude_command(directory: Path) -> str:
    """Return a shell command that makes git ignore a directory; "" if no command is necessary.

    Raise RepositoryError if git fails, and OSError if the disk is full.
    """
    git = Git(str(directory.absolute().parent), {})
    top, file = git.ask("rev-parse", "--show-toplevel"), git.ask(*_EXCLUDE_FILE)
    target = str(directory.resolve())
    line = exclude_line(target, top) if top else ""
    if not line or ignored(Git(top, {}), [f"{os.path.relpath(target, top)}/x"]):
        return ""
    path = os.path.relpath(os.path.join(git.directory, file))
    return f"echo {shlex.quote(line)} >> {shlex.quote(path)}"


_EXCLUDE_FILE = ("rev-parse", "--git-path", "info/exclude")


def ignored(git: Git, paths: Sequence[str]) -> list[str]:
    """Return the paths in ``paths`` that are untracked and ignored.

    A directory in ``paths`` must end with a slash.
    """
    if not paths:
        return []
    # The command has no option for literal paths. After "./", a colon at the beginning of a path is
    # literal.
    literal_paths = with_nul(f"./{path}" for path in paths)
    command = ("--no-literal-pathspecs", "check-ignore", "-z", "--stdin")
    fields = git.run(*command, stdin=literal_paths, accept=(0, 1)).fields
    return [path.removeprefix("./") for path in fields]


def exclude(directory: Path) -> bool:
    """Make git ignore a directory, by a line in its repository's ``info/exclude``. Idempotent.

    Return True if a line was added. Does nothing if git already ignores the directory. Linked
    worktrees share the file. Raise RepositoryError if git fails, and OSError if the file cannot be
    written.
    """
    git = Git(str(directory.parent), {})
    top, common = git.ask("rev-parse", "--show-toplevel"), git.ask("rev-parse", "--git-common-dir")
    if not top or not common:
        return False
    return hide(Git(top, {}), top, directory.parent / common, str(directory.resolve()))


def tracked_below(directory: Path) -> str:
    """Return the first file in ``directory`` that its repository tracks; "" without such a file.

    Raise RepositoryError if git fails.
    """
    git = Git(str(directory.parent), {})
    if not git.ask("rev-parse", "--show-toplevel"):
        return ""
    return next(iter(git.run("ls-files", "-z", "--", str(directory.resolve())).fields), "")


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
    by ``restore``. Pushes and moves of HEAD are never omitted. Only logs that changed after
    ``since`` (Unix time) are read.
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
