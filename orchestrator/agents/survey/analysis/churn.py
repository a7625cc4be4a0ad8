"""Changes (churn) and authors (owners) of surveyed files, from the git history."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from orchestrator.agents.survey.analysis.result import ChurnRow, Owner, SurveyResult
from orchestrator.agents.survey.project_files.git_info import ask_git
from orchestrator.agents.survey.project_files.listing import DIRECT_FILES, shown

#: Maximum age of a counted change, in days before the newest commit. Older changes say little about
#: current work.
HISTORY_DAYS = 730
_SECONDS_PER_DAY = 86_400
_AUTHOR_MARK = b"\x01"
_LOG = ("log", "--no-merges", "--no-renames", "--numstat", "-z", "--no-ext-diff", "--no-textconv")
_LOG_FORMAT = ("--use-mailmap", "--relative", f"--format={_AUTHOR_MARK.decode()}%aN")

NO_HISTORY = "no git history"
COUNTED_COMMITS = f"commits of the {HISTORY_DAYS} days before the newest commit, without merges"


def add_history(result: SurveyResult, root: Path, paths: Sequence[str], files: Set[str]) -> None:
    """Add the churn and the owners of ``files`` below ``paths`` to ``result``.

    Churn counts the commits that change a file. A commit is ignored if it is a merge, or if it is
    more than HISTORY_DAYS days older than the newest commit.
    """
    newest = ask_git(root, ["log", "-1", "--format=%ct"])
    if not newest or not newest.strip().isdigit():
        result.churn_note = NO_HISTORY
        return
    since = int(newest) - HISTORY_DAYS * _SECONDS_PER_DAY
    names = ["." if p == "*" else p.removesuffix(DIRECT_FILES) for p in paths] or ["."]
    log = ask_git(root, [*_LOG, *_LOG_FORMAT, f"--since=@{since}"], names)
    if log is None:
        result.churn_note = "the git history could not be read"
        return
    result.churn_note = COUNTED_COMMITS
    _tally(result, log, files)


def _tally(result: SurveyResult, log: bytes, files: Set[str]) -> None:
    by_path: dict[str, tuple[int, int, int]] = {}
    for author, path, added, deleted in _changes(log):
        if path in files:  # Files that were later deleted or renamed do not count.
            changes, plus, minus = by_path.get(path, (0, 0, 0))
            by_path[path] = (changes + 1, plus + added, minus + deleted)
            owner = result.owners.setdefault(author, Owner())
            owner.changes += 1
            owner.lines += added
    result.churn = [ChurnRow(shown(path), *counts) for path, counts in sorted(by_path.items())]


def _changes(log: bytes) -> Iterator[tuple[str, str, int, int]]:
    author = ""
    for entry in log.split(b"\0"):
        entry = entry.lstrip(b"\n")
        if entry.startswith(_AUTHOR_MARK):
            author = entry[1:].decode("utf-8", "replace").strip()
        elif entry.count(b"\t") >= 2:
            added, deleted, path = entry.split(b"\t", 2)
            name = path.decode("utf-8", "surrogateescape")
            # Binary files have "-" instead of a number.
            yield author, name, _number(added), _number(deleted)


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
