"""The project digest: a short description of the project, made from a survey.

A job tree uses one digest, even if the project changes while the tree runs. Later job trees use the
same digest until the project changes.
"""

import fcntl
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.agents.prompts.shared_context import write_once
from orchestrator.agents.survey.analysis.project_map import map_files
from orchestrator.agents.survey.analysis.result import SurveyResult
from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment
from orchestrator.agents.survey.project_files.git_info import ask_git
from orchestrator.agents.survey.project_files.listing import Listing, list_files
from orchestrator.agents.survey.report.survey_headline import first_sentence, top_languages
from orchestrator.agents.survey.source import tree_sitter_parsing
from orchestrator.core.text.formatting import cut, cut_bytes, listed, one_line
from orchestrator.security.files.untrusted_files import read_regular

MOST_BYTES = 12 * 1024
_LONGEST_LINE = 200


def digest(result: SurveyResult, name: str, *, unread_files: int = 0) -> str:
    """Return the digest, with at most ``MOST_BYTES``. Equal surveys have equal digests.

    ``unread_files``: the number of files that were not read.
    """
    lines = [f"Project {one_line(name) or '/'}: {first_sentence(result).replace('**', '')}"]
    if unread_files:
        lines.append(f"{unread_files:,} files in deeper directories were not read.")
    if result.unparsed:
        languages = ", ".join(sorted(result.unparsed))
        lines.append(f"Public names, imports and test cases of {languages} were not read.")
    for title, section in _SECTIONS:
        rows = [f"- {cut(one_line(row), _LONGEST_LINE)}" for row in section(result)]
        if rows:
            lines += ["", f"{title}:", *rows]
    text = "\n".join(lines)
    shown = cut_bytes(text, MOST_BYTES)
    return text if shown == text else shown.rpartition("\n")[0] + "\n(cut here)"


def _listed_names(names: Iterable[str], most: int) -> str:
    return listed(list(dict.fromkeys(names)), most)


def _languages(result: SurveyResult) -> Iterator[str]:
    for name, counts in top_languages(result.languages)[:8]:
        yield f"{name}: {counts.files:,} files, {counts.code:,} lines of code"


def _directories(result: SurveyResult) -> Iterator[str]:
    largest = sorted(result.directories.items(), key=lambda item: (-item[1].code, item[0]))[:30]
    for path, counts in sorted(largest):
        yield f"{path}: {counts.files:,} files, {counts.code:,} lines of code"


def _entry_points(result: SurveyResult) -> Iterator[str]:
    for row in result.entry_points[:20]:
        yield f"{row.kind} {row.name}" + (f" ({row.path})" if row.path != row.name else "")


def _tests(result: SurveyResult) -> Iterator[str]:
    by_directory: dict[str, list[int]] = defaultdict(list)
    for row in result.tests:
        by_directory[row.path.rpartition("/")[0] or "."].append(row.cases)
    most_first = sorted(by_directory.items(), key=lambda item: (-sum(item[1]), item[0]))
    for directory, cases in most_first[:10]:
        yield f"{directory}: {len(cases):,} files, {sum(cases):,} test cases"


def _settings(result: SurveyResult) -> Iterator[str]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in result.config_files:
        by_kind[row.kind].append(row.path)
    for kind, paths in sorted(by_kind.items()):
        yield f"{kind}: {_listed_names(paths, 5)}"


def _dependencies(result: SurveyResult) -> Iterator[str]:
    by_ecosystem: dict[str, list[str]] = defaultdict(list)
    for row in result.dependencies:
        by_ecosystem[row.ecosystem].append(row.name)
    for ecosystem, names in sorted(by_ecosystem.items()):
        yield f"{ecosystem}: {_listed_names(names, 20)}"


def _most_changed(result: SurveyResult) -> Iterator[str]:
    for row in sorted(result.churn, key=lambda each: (-each.changes, each.path))[:10]:
        yield f"{row.path}: {row.changes:,} times"


def _symbols(result: SurveyResult) -> Iterator[str]:
    by_path: dict[str, list[str]] = defaultdict(list)
    for row in result.symbols:
        by_path[row.path].append(row.name)
    largest = sorted(by_path.items(), key=lambda item: (-len(item[1]), item[0]))[:60]
    for path, names in sorted(largest):
        yield f"{path}: {_listed_names(names, 8)}"


#: Sections of a digest, in order. A digest that is too long is cut at the end, so short and useful
#: sections come first.
_SECTIONS: tuple[tuple[str, Callable[[SurveyResult], Iterator[str]]], ...] = (
    ("Languages", _languages),
    ("Entry points", _entry_points),
    ("Directories with the most code", _directories),
    ("Tests", _tests),
    ("Settings of tools", _settings),
    ("Dependencies", _dependencies),
    ("Changed most often", _most_changed),
    ("Public names, by file", _symbols),
)


#: Directory of the stored digests, in the workspace. Later job trees reuse these digests.
CACHE = "cache/survey"
#: Maximum number of stored digests; the oldest digests are deleted.
MOST_KEPT = 20
#: File in ``context/`` with the digest that all jobs of a tree use.
PINNED = "project.md"
#: Maximum number of files that are read. In a larger project, files in upper directories have
#: priority.
MOST_FILES = 2_000
_MOST_BYTES = 64 * 1024
#: Version of the digest's content and form.
_EDITION = "1"


def project_digest(environment: SurveyEnvironment) -> str:
    """Return the job tree's digest of the project; empty for a project without files.

    The first job of the tree stores the digest in ``environment.directory``. Later jobs of the tree
    read this digest, even if the project has changed. So all shared contexts of the tree begin with
    the same bytes.
    """
    pinned = environment.directory / PINNED
    with _locked(environment.directory):
        text = _cached_text(pinned)
        if text is None:
            text = _cached_or_new(environment)
            write_once(pinned, text)
    return text


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    handle = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _cached_text(path: Path) -> str | None:
    content = read_regular(path, _MOST_BYTES)
    return None if content is None else content.decode("utf-8", "replace")


def _cached_or_new(environment: SurveyEnvironment) -> str:
    try:
        listing = list_files(environment, ())
    except SurveyError:
        return ""
    # job_<root>/context is two levels below the workspace.
    cache = environment.directory.parent.parent / CACHE
    path = cache / f"{fingerprint(environment.root, listing)}.md"
    text = _cached_text(path)
    if text is None:
        text = _new_digest(environment.root, listing)
        _store(path, text)
    return text


def _store(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(path, text)
        newest_first = sorted(path.parent.glob("*.md"), key=_changed_at, reverse=True)
        for old in newest_first[MOST_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        pass  # In a sandbox, the workspace is read-only. The next job tree creates its own digest.


def _changed_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _new_digest(root: Path, listing: Listing) -> str:
    if not listing.files:
        return ""
    highest = sorted(listing.files, key=lambda file: (file.path.count("/"), file.path))[:MOST_FILES]
    paths = {file.path for file in highest}
    result = map_files(root, listing.select(paths.__contains__), [], lambda line: None)
    return digest(result, root.name, unread_files=len(listing.files) - len(paths))


def fingerprint(root: Path, listing: Listing) -> str:
    """Return a hash that changes when the project changes."""
    commit = ask_git(root, ["log", "-1", "--format=%H"]) if listing.by_git else None
    # A digest without grammars has less content.
    edition = _EDITION if tree_sitter_parsing.are_installed() else f"{_EDITION} without grammars"
    hasher = hashlib.sha256(f"{edition}\0{root}\0".encode("utf-8", "surrogateescape"))
    if commit is None:
        paths: Iterable[str] = (file.path for file in listing.files)
    else:
        status = ask_git(root, ["status", "--porcelain", "-z", "-uall", "--no-renames"], ["."])
        hasher.update(commit + (status or b""))
        top = ask_git(root, ["rev-parse", "--show-cdup"]) or b""
        prefix = os.fsdecode(top.split(b"\n")[0])
        paths = (prefix + os.fsdecode(line[3:]) for line in (status or b"").split(b"\0") if line)
    for path in paths:
        hasher.update(_file_state(root, path))
    return hasher.hexdigest()[:32]


def _file_state(root: Path, path: str) -> bytes:
    try:
        status = os.lstat(root / path)
        state = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0"
    except OSError:
        state = f"{path}\0gone\0"
    return state.encode("utf-8", "surrogateescape")
