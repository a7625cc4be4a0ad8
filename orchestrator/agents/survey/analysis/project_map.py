"""Surveys the files of a listing in one pass, and returns the result."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from orchestrator.agents.survey.analysis.churn import add_history
from orchestrator.agents.survey.analysis.manifests import config_kind, is_manifest, read_manifest
from orchestrator.agents.survey.analysis.result import (
    ConfigRow,
    Counts,
    DependencyRow,
    EntryPointRow,
    ImportRow,
    ModuleRow,
    SurveyResult,
    SymbolRow,
    TestRow,
    TodoRow,
)
from orchestrator.agents.survey.project_files.listing import Listing, shown
from orchestrator.agents.survey.project_files.read_file import ReadFile, read_file

_TEST_NAME = re.compile(
    r"(?:^|/)(?:test_[^/]+\.py|[^/]+_test\.(?:py|go|rb|cc|cpp|c|exs|dart)|tests?\.py"
    r"|[^/]+\.(?:test|spec)\.[cm]?[jt]sx?|[^/]+_spec\.rb"
    r"|[^/]*Tests?\.(?:java|kt|cs|php|scala|swift)|test_[^/]+\.(?:sh|rb|c)|[^/]+\.bats)$"
)
_TEST_DIRECTORY = re.compile(r"(?:^|/)(?:tests|__tests__|specs?|src/test|e2e)/|^test/")
#: Number of files between two progress lines.
FILES_PER_PROGRESS_LINE = 500


def is_test_path(path: str) -> bool:
    return bool(_TEST_NAME.search(path) or _TEST_DIRECTORY.search(path))


def map_files(
    root: Path,
    listing: Listing,
    paths: list[str],
    say: Callable[[str], None],
    *,
    with_history: bool = True,
) -> SurveyResult:
    """Read all files of ``listing``, and return the findings.

    ``paths``: the surveyed directories and files.
    """
    result = SurveyResult(surveyed=[shown(path) for path in paths])
    for number, file in enumerate(listing.files, 1):
        _add_file(result, read_file(root, file, keep_text=is_manifest(file.path)))
        if number % FILES_PER_PROGRESS_LINE == 0:
            say(f"read {number:,} of {len(listing.files):,} files")
    result.totals.links = len(listing.links)
    result.totals.special = len(listing.special)
    result.notes = _notes(listing)
    if listing.files and with_history:
        add_history(result, root, paths, {file.path for file in listing.files})
    result.sort()
    return result


def _notes(listing: Listing) -> list[str]:
    names = sorted({os.path.basename(path) for path in listing.directories_skipped} - {".git"})
    if not names:
        return []
    why = "Git lists no files here" if listing.in_repository else "Not a git repository"
    return [f"{why}, so these directories were skipped: {shown(', '.join(names))}."]


def _add_file(result: SurveyResult, file: ReadFile) -> None:
    path = shown(file.path)
    _add_counts(result, file, path)
    if kind := config_kind(path):
        result.config_files.append(ConfigRow(path, kind))
    for row in read_manifest(path, file.text) if file.text else ():
        rows = result.dependencies if isinstance(row, DependencyRow) else result.entry_points
        rows.append(row)  # type: ignore[arg-type]
    result.todos += [TodoRow(path, todo.line, todo.tag, todo.text) for todo in file.todos]
    if file.source is not None:
        _add_source(result, file, path)


def _add_counts(result: SurveyResult, file: ReadFile, path: str) -> None:
    result.totals.add(file.lines)
    result.totals.bytes += file.size
    result.totals.binary += file.state == "binary"
    result.totals.too_large += file.state == "too large"
    result.totals.unreadable += file.state == "unreadable"
    result.languages.setdefault(file.language, Counts()).add(file.lines)
    result.directories.setdefault(os.path.dirname(path) or ".", Counts()).add(file.lines)


def _add_source(result: SurveyResult, file: ReadFile, path: str) -> None:
    source = file.source
    if source is None or not source.is_module:
        _add_script(result, file, path)
        return
    is_test = is_test_path(path)
    lines = file.lines
    counts = (lines.code, lines.comment, lines.blank, lines.bare)
    result.modules.append(ModuleRow(path, file.language, source.name, *counts, is_test))
    result.imports += [ImportRow(path, i.module, list(i.names)) for i in source.imports]
    if source.lacks_grammar:
        result.unparsed.add(file.language)
    if not is_test:
        result.symbols += [SymbolRow(path, s.name, s.kind, s.line) for s in source.symbols]
        _add_entry_point(result, file, path)
    elif not source.lacks_grammar:
        result.tests.append(TestRow(path, file.language, source.test_cases))


def _add_entry_point(result: SurveyResult, file: ReadFile, path: str) -> None:
    source = file.source
    if os.path.basename(path) == "__main__.py":
        name = f"python -m {source.name.removesuffix('.__main__')}" if source else path
        result.entry_points.append(EntryPointRow("Python package", name, path))
    elif source and source.main_line:
        kind = "Python script" if file.language == "Python" else f"{file.language} main function"
        result.entry_points.append(EntryPointRow(kind, path, path, source.main_line))
    else:
        _add_script(result, file, path)


def _add_script(result: SurveyResult, file: ReadFile, path: str) -> None:
    if file.executable and file.shebang:
        row = EntryPointRow("executable script", path, path, 1, file.shebang[2:].strip())
        result.entry_points.append(row)
