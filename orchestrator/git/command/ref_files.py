"""Reads refs and their logs from files, because a git process would take 50 times as long."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.git_refs import BRANCHES
from orchestrator.git.command.runner import Git
from orchestrator.security.files.untrusted_files import read_regular

#: Allowed characters in names of refs, in addition to letters and digits.
_SAFE = "/-_.,=@"


def part_of_ref(path: str) -> str:
    """Return a path as a part of a ref name. Characters that git rejects become %XX, as in URLs."""
    quoted = quote(path, safe=_SAFE, errors="surrogateescape")
    for bad in (".lock", "..", "/.", "~"):
        quoted = quoted.replace(bad, bad.replace(".", "%2E").replace("~", "%7E"))
    quoted = f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
    return f"{quoted[:-1]}%2E" if quoted.endswith(".") else quoted


#: Maximum bytes of a file of packed refs, and of a ref's log.
_MOST_BYTES = 64 << 20
_HEXADECIMAL = frozenset(b"0123456789abcdef")
#: Lengths of full object names: SHA-1, SHA-256.
ID_LENGTHS = (40, 64)
#: Matches parts of ref names that git rejects. Git does not list refs with such names.
_INVALID = re.compile(r"^[.@]$|^\.|\.\.|\.$|@\{|[\x00-\x20\x7f~^:?*\[\\]")


def listed_refs(git: Git, *how: str) -> dict[str, str]:
    """Return the object ids of refs by ref name, in git's order.

    ``how``: names and prefixes of refs, and options of ``git for-each-ref``.
    """
    output = git.run("for-each-ref", "--format=%(refname) %(objectname)", *how).text
    return dict(line.split(" ") for line in output.splitlines())


def is_in_users_refs(git: Git, commit: str, *places: str) -> bool:
    """True if the commit is in the history of a ref of the user below ``places``.

    ``places``: directories of refs, such as ``refs/heads``. Branches of jobs do not count, because
    they are not the user's.
    """
    job_branches = f"refs/heads/{BRANCHES}/"
    return any(
        not each.startswith(job_branches)
        for each in listed_refs(git, f"--contains={commit}", *places)
    )


class UnusualRefs(Exception):
    """Only git can read the refs: there is a reftable, a symbolic ref, or an unusual file."""


def tips(git: Git, common: Path, *places: str, without: str = "") -> dict[str, str]:
    """Return the object id of each ref. The keys are the names of the refs, in sorted order.

    ``places``: names of refs, or directories of refs with a trailing slash. ``without``: a
    directory of refs to exclude, with a trailing slash; "" for none.
    """
    try:
        refs = _tips_in_files(common, places, without)
    except UnusualRefs:
        refs = listed_refs(git, *places)
    return {name: refs[name] for name in sorted(refs) if not _is_below(name, without)}


def _tips_in_files(common: Path, places: Sequence[str], without: str) -> dict[str, str]:
    if os.path.lexists(common / "reftable"):
        raise UnusualRefs
    # Read loose refs first, because git packs a ref before it removes the ref's file.
    loose = {name: tip for each in places for name, tip in _loose_refs(str(common), each, without)}
    content = _read_packed(common / "packed-refs")
    packed = {name: tip for each in places for name, tip in _packed_refs(content, each)}
    return {**packed, **loose}


def _is_below(name: str, directory: str) -> bool:
    return bool(directory) and name.startswith(directory)


def _loose_refs(common: str, place: str, without: str) -> Iterator[tuple[str, str]]:
    if _is_below(place, without):
        return
    if not place.endswith("/"):
        content = _content(f"{common}/{place}")
        if content is not None:
            yield place, _object_id(content)
        return
    try:
        entries = list(os.scandir(f"{common}/{place}"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusualRefs from error
    for entry in entries:
        name = f"{place}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _loose_refs(common, f"{name}/", without)
        elif _INVALID.search(entry.name):
            raise UnusualRefs
        elif not name.endswith(".lock"):
            yield from _loose_refs(common, name, without)


def _content(path: str) -> bytes | None:
    try:
        is_file = stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusualRefs from error
    content = read_regular(path, 256) if is_file else None
    if content is None and os.path.lexists(path):
        raise UnusualRefs
    return content


def _read_packed(path: Path) -> bytes:
    if not os.path.lexists(path):
        return b""
    content = read_regular(path, _MOST_BYTES)
    if content is None or len(content) >= _MOST_BYTES:
        raise UnusualRefs
    return content


def _packed_refs(content: bytes, place: str) -> Iterator[tuple[str, str]]:
    pattern = b" " + os.fsencode(place) + (b"" if place.endswith("/") else b"\n")
    position = content.find(pattern)
    while position >= 0:
        begin, end = content.rfind(b"\n", 0, position) + 1, content.find(b"\n", position)
        if end < 0:
            raise UnusualRefs
        yield os.fsdecode(content[position + 1 : end]), _object_id(content[begin:position])
        position = content.find(pattern, end)


def _object_id(content: bytes) -> str:
    name = content.strip()
    if len(name) not in ID_LENGTHS or not _HEXADECIMAL.issuperset(name):
        raise UnusualRefs
    return name.decode("ascii")


#: Beginnings of log messages of commands that may create a commit, in addition to ``commit``.
_CREATING = ("cherry-pick", "revert", "am: ", "rebase", "merge ", "pull")
#: Steps of a rebase that only move HEAD to an existing commit.
_STEPS = ("(start)", "(finish)", "(abort)")
_CHECKOUT = "checkout: moving from "
#: Message of the entry that ``git stash`` adds to HEAD's log, when it discards the changes in the
#: worktree.
_STASHED = "reset: moving to HEAD"
#: Maximum seconds between an entry in the stash's log and the entry in HEAD's log.
_STASH_SECONDS = 2
#: Variables for the orchestrator's git commands, so that their log entries do not look like the
#: worker's.
REFLOG_ENV = {"GIT_REFLOG_ACTION": "orchestrator"}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of a ref's log. ``before`` and ``after``: the ref's object ids."""

    before: str
    after: str
    #: Address of the person or worker that ran the command.
    email: str
    #: Unix time.
    seconds: int
    message: str

    @property
    def creates(self) -> bool:
        """True if the logged command created the commit ``after``."""
        command, _, details = self.message.partition(": ")
        if command.startswith("commit"):
            return True
        moves = details.lower() == "fast-forward" or any(each in command for each in _STEPS)
        return self.message.startswith(_CREATING) and not moves


def entries(path: Path) -> Iterator[LogEntry]:
    """Yield the entries of a ref's log, the oldest first. Damaged entries are omitted."""
    for line in (read_regular(path, _MOST_BYTES) or b"").splitlines():
        head, _, words = os.fsdecode(line).partition("\t")
        ids, _, email_and_time = head.partition(" <")
        before, after, *_ = (*ids.split(" "), "", "")
        email, _, time = email_and_time.rpartition("> ")
        seconds = time.partition(" ")[0]
        if after and seconds.isdecimal():
            yield LogEntry(before, after, email, int(seconds), words)


class HeadLog:
    """The log of a worktree's HEAD, which shows what was done in the worktree.

    Only git commands in the worktree add entries. The entries are therefore the worker's, even if
    the worker runs git with another user name and email address.
    """

    def __init__(self, admin: str | Path) -> None:
        """``admin``: the git directory that has the worktree's HEAD."""
        self._entries: Sequence[LogEntry] = tuple(entries(Path(admin, "logs", "HEAD")))

    @cached_property
    def created(self) -> frozenset[str]:
        """The commits that were created in the worktree."""
        return frozenset(created(self._entries))

    @cached_property
    def checkouts(self) -> Sequence[tuple[str, str]]:
        """Pairs (branch, commit): HEAD's branch and commit before each checkout.

        If HEAD was detached, the first value is the commit's id.
        """
        switches = (each for each in self._entries if each.message.startswith(_CHECKOUT))
        moves = ((each.message.removeprefix(_CHECKOUT), each.before) for each in switches)
        return [(words.partition(" to ")[0], commit) for words, commit in moves]

    def last_commit_of(self, branch: str) -> str:
        """Return the branch's commit when HEAD last switched away from the branch; "" if never.

        ``branch``: full name. The commit may have been removed since then.
        """
        name = branch.removeprefix("refs/heads/")
        return next((commit for former, commit in reversed(self.checkouts) if former == name), "")

    def stashed(self, stash: Sequence[LogEntry]) -> dict[str, str]:
        """Return the stash entries that were probably created in this worktree.

        A key is the commit of an entry. The value is the commit on which the entry is based.
        ``stash``: the log of the stash.
        """
        bases = dict[str, str]()
        for reset in (each for each in self._entries if each.message == _STASHED):
            for entry in reversed(stash):
                if entry.email == reset.email and entry.seconds <= reset.seconds:
                    if reset.seconds - entry.seconds <= _STASH_SECONDS:
                        bases[entry.after] = reset.after
                    break
        return bases


def created(log_entries: Iterable[LogEntry]) -> Iterator[str]:
    return (each.after for each in log_entries if each.creates)


def may_have_refs(common: Path, root_id: str) -> bool:
    """True if the repository may have refs of a root job, False if it certainly has none.

    With a reftable, the result is always True. Runs no git, because every removal of a job calls
    this function.
    """
    kinds = (common / "refs" / "heads" / BRANCHES, common / "refs" / BRANCHES)
    if any((each / root_id).exists() for each in kinds) or (common / "reftable").exists():
        return True
    packed = common / "packed-refs"
    return packed.exists() and f"{BRANCHES}/{root_id}/".encode() in packed.read_bytes()
