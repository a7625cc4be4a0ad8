"""Differences between two commits: paths, numbers of lines, and patches."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from orchestrator.core.errors import NotFound
from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.repository.git_refs import (
    branch_of,
    checkpoint_refs,
    child_refs,
    child_results,
    hidden,
)
from orchestrator.core.repository.repository import BranchWork
from orchestrator.core.text.command_name import COMMAND
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_sessions import shared_part
from orchestrator.git.command.ref_files import ID_LENGTHS, listed_refs
from orchestrator.git.command.runner import Git

#: Options that make the output independent of the user's configuration.
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")

#: Limits of ``BranchWork``: commits, files, characters of a commit's subject, and columns of the
#: file statistics.
MOST_COMMITS, MOST_FILES, SUBJECT_CHARACTERS, STAT_WIDTH = 20, 30, 100, 100
#: Maximum number of changed files whose hunks are read.
_MOST_FILES_READ = 20

_MOST_CACHED = 256

#: Maximum number of paths of a cached difference.
_MOST_CACHED_PATHS = 500

#: Pairs (letter, path) of changed files. The letter is git's letter for the kind of the change.
Differences = Sequence[tuple[str, str]]

_cached_differences = BoundedCache[tuple[str, str, str], Differences](_MOST_CACHED)


def differing_paths(git: Git, start: str, end: str) -> Differences:
    key = _cache_key(git, start, end)
    cached = _cached_differences.get(key) if key else None
    if cached is not None:
        return cached
    fields = git.run(
        "diff-tree", "--name-status", "--no-renames", "-r", "-z", start, end, "--"
    ).fields
    differences = list(zip(fields[::2], fields[1::2], strict=True))
    _cache(key, differences)
    return differences


def remember(git: Git, start: str, end: str, differences: Differences) -> None:
    """Store the differences of two commits in the cache of ``differing_paths``."""
    _cache(_cache_key(git, start, end), differences)


def _cache_key(git: Git, start: str, end: str) -> tuple[str, str, str] | None:
    """Return the cache key of the difference of two commits.

    Return None if ``start`` or ``end`` is not an object id, because a name may later mean another
    commit. Also return None if the repository's directory is unknown.
    """
    key = commit_key(git, end)
    return (key[0], start, end) if key and len(start) in ID_LENGTHS else None


def commit_key(git: Git, commit: str) -> tuple[str, str] | None:
    """Return a cache key: the repository's shared git directory, and the commit.

    Return None if ``commit`` is not an object id, because a name may later mean another commit.
    Also return None if the directory is unknown.
    """
    part = shared_part(git.directory, git.env)
    is_id = len(commit) in ID_LENGTHS and commit.isalnum()
    return (part.common, commit) if part and is_id else None


def _cache(key: tuple[str, str, str] | None, differences: Differences) -> None:
    if key is not None and len(differences) <= _MOST_CACHED_PATHS:
        _cached_differences.put(key, differences)


def changed(git: Git, start: str, end: str) -> list[str]:
    return [path for status, path in differing_paths(git, start, end) if status != "D"]


def touched(git: Git, start: str, end: str) -> dict[str, bool]:
    """Return the paths that differ between the commits ``start`` and ``end``.

    A value is True if ``start`` has the path.

    Renames are not detected, so a renamed file counts as two paths.
    """
    return {path: status != "A" for status, path in differing_paths(git, start, end)}


#: Minimum similarity, in percent, of a file that was moved and changed.
_LEAST_SIMILAR = 50


def moved(git: Git, start: str, end: str) -> dict[str, tuple[str, bool]]:
    """Return the moved files by their new path.

    A value is a pair: the old path, and True if the file's content is unchanged.
    """
    options = ("--name-status", f"--find-renames={_LEAST_SIMILAR}%", "--diff-filter=R", "-r", "-z")
    fields = git.run("diff-tree", *options, start, end).fields
    entries = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    return {after: (before, status == "R100") for status, before, after in entries}


def branch_work(git: Git, start: str, end: str) -> BranchWork:
    span = ("--first-parent", f"{start}..{end}")
    count = int(git.run("rev-list", "--count", *span, "--").text)
    log = git.run("log", "-z", f"-n{MOST_COMMITS}", "--format=%h %s", *span, "--")
    entries = (field.partition(" ") for field in log.fields)
    commits = tuple((commit, subject[:SUBJECT_CHARACTERS]) for commit, _, subject in entries)
    stat = git.run(
        "diff", *_PLAIN, f"--stat={STAT_WIDTH}", f"--stat-count={MOST_FILES}", start, end, "--"
    )
    return BranchWork(commits=commits, more=count - len(commits), stat=stat.text.strip("\n"))


def differing(git: Git, kinds: str, before: str, after: str) -> list[str]:
    """Return the paths that changed between two commits, and whose change is one of ``kinds``.

    ``kinds``: git's letters for kinds of changes, as for the option --diff-filter.
    """
    options = ("--name-only", f"--diff-filter={kinds}", "--no-renames", "-r", "-z")
    return git.run("diff-tree", *options, before, after, "--").fields


def size(git: Git, start: str, end: str) -> ChangeSize:
    counts = lines(git, start, end).values()
    return ChangeSize(
        files=len(counts),
        added=sum(added for added, _ in counts),
        removed=sum(removed for _, removed in counts),
    )


def lines(git: Git, start: str, end: str) -> dict[str, tuple[int, int]]:
    """Return the numbers of added and removed lines, by path.

    Both numbers are 0 for a file that is not text.
    """
    output = git.run("diff-tree", "--numstat", "--no-renames", "-r", "-z", start, end, "--")
    entries = (field.split("\t", 2) for field in output.fields)
    return {path: (_count(added), _count(removed)) for added, removed, path in entries}


def _count(lines: str) -> int:
    return 0 if lines == "-" else int(lines)


def patch(git: Git, start: str, end: str, most_bytes: int) -> str:
    diff = git.run("diff", "--patch", *_PLAIN, start, end, "--").out
    text = diff[:most_bytes].decode("utf-8", "replace")
    if len(diff) <= most_bytes:
        return text
    return f"{text}\n(the diff is cut here: the whole diff has {len(diff):,} bytes)\n"


def between(project: Path, first: str, second: str) -> bytes:
    """Return the patch from the branch ``first`` to the branch ``second``.

    Raise NotFound if a branch does not exist.
    """
    git = Git(str(project), {})
    commits = [_commit_of(git, each) for each in (first, second)]
    return git.run("diff", "--patch", "--binary", *_PLAIN, *commits, "--").out


def of_worker(
    project: Path, root_id: str, worker_id: str, *, attempt: int | None = None, stat: bool
) -> bytes:
    """Return a patch of one worker's changes.

    ``attempt``: return the changes in the worktree at the end of this attempt; None: return the
    current changes of the worker and of its child jobs. ``stat``: True to return only the numbers
    of changed lines. Raise NotFound if the worker has no branch, or if the attempt has no
    checkpoint.
    """
    git = Git(str(project), {})
    options = ("--stat=100",) if stat else ("--patch", "--binary", "--full-index")
    spans = spans_of_worker(project, root_id, worker_id, attempt)
    return b"".join(git.run("diff", *options, *_PLAIN, *span, "--").out for span in spans)


def spans_of_worker(
    project: Path, root_id: str, worker_id: str, attempt: int | None
) -> list[tuple[str, str]]:
    """Return the pairs of commits (start, end) whose differences are one worker's changes.

    The first pair is the worker's, the other pairs are of its child jobs. ``attempt`` and errors:
    see ``of_worker``.
    """
    git = Git(str(project), {})
    if attempt is not None:
        return [_span_of_attempt(git, root_id, worker_id, attempt)]
    spans = list(_spans(git, root_id, worker_id)) if git.has_repository else []
    if not spans:
        raise NotFound(
            f"no branch of {worker_id} in job {root_id}: the worker had no worktree, has not "
            f"started, or was removed; list the workers: {COMMAND} status {root_id}"
        )
    return spans


def _span_of_attempt(git: Git, root_id: str, worker_id: str, attempt: int) -> tuple[str, str]:
    start = git.ask("rev-parse", "-q", "--verify", f"{hidden(root_id)}start/{worker_id}")
    checkpoint = f"{checkpoint_refs(root_id, worker_id)}{after(attempt)}"
    end = git.resolve(checkpoint)
    if not start or not end:
        raise NotFound(
            f"no checkpoint after attempt {attempt} of {worker_id} in job {root_id}; list the "
            f"checkpoints: {COMMAND} checkpoints {root_id} {worker_id}"
        )
    return start, end


def _spans(git: Git, root_id: str, worker_id: str) -> Iterator[tuple[str, str]]:
    """Yield pairs of commits (start, end): first for the worker, then for the worker's child jobs.

    Child jobs whose results are already in the worker's branch are omitted.
    """
    start = git.ask("rev-parse", "-q", "--verify", f"{hidden(root_id)}start/{worker_id}")
    tip = git.ask("rev-parse", "-q", "--verify", branch_of(root_id, worker_id))
    if start and tip:
        yield start, tip
    for child in child_results(listed_refs(git, child_refs(root_id, worker_id))):
        is_inside = tip and git.is_ancestor(child.result, tip)
        if child.base and not is_inside:
            yield child.base, child.result


def _commit_of(git: Git, branch: str) -> str:
    commit = git.resolve(f"refs/heads/{branch}^{{commit}}")
    if not commit:
        raise NotFound(
            f"branch {branch} does not exist: it was never created, or was removed with its job; "
            f"list the jobs: {COMMAND} jobs"
        )
    return commit


def changed_places(git: Git, commit: str) -> dict[str, list[str]]:
    """Return the tracked files of the worktree that differ from a commit, by path.

    A value has one digest for each hunk of the file. Only the first ``_MOST_FILES_READ`` files are
    read. All other files have the value ``[""]``.
    """
    quiet = ("--ignore-submodules=all", *_PLAIN)
    paths = git.run("diff", "--name-only", "-z", *quiet, commit, "--").fields
    places = {path: [""] for path in paths}
    for path in paths[:_MOST_FILES_READ]:
        diff = git.run("diff", "--unified=0", "--binary", *quiet, commit, "--", path).out
        places[path] = [sha256(each).hexdigest() for each in _places_in(diff)] or [""]
    return places


def _places_in(patch: bytes) -> list[bytes]:
    """Return the removed and added lines of each hunk of a patch, without line numbers.

    For a file that is not text, return one value: the patch after its ``index`` line.
    """
    hunks = re.split(rb"^@@ [^\n]*\n", patch, flags=re.MULTILINE)
    return hunks[1:] if len(hunks) > 1 else [patch.partition(b"\nindex ")[2]]
