"""``output.md``: the result of a survey, written for people."""

import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

from orchestrator.agents.survey.analysis.churn import COUNTED_COMMITS, NO_HISTORY
from orchestrator.agents.survey.analysis.result import Counts, ModuleRow, SurveyResult, SymbolRow
from orchestrator.agents.survey.assignment.request_analysis import NOTHING_BUILT
from orchestrator.agents.survey.report.markdown import code, table
from orchestrator.agents.survey.report.request_match import matching_dependencies
from orchestrator.agents.survey.report.survey_headline import (
    first_sentence,
    only_counted,
    top_languages,
)
from orchestrator.agents.survey.source.line_count import RULE
from orchestrator.agents.survey.source.module_names import ModuleIndex
from orchestrator.core.model.states import SUCCEEDED_WORKER
from orchestrator.core.text.formatting import listed, plural
from orchestrator.security.files.atomic_write import replace_file

OUTPUT_FILE = "output.md"
#: Maximum number of rows of a list; result.json has all rows.
MOST_ROWS = 20
_MOST_DIRECTORIES = 40
_MOST_NAMES = 12
_STRUCTURE_LEVELS = 2
NO_FILES = (
    "**No files were found** in the project. To survey another directory: `--project DIR`, or"
    " `orchestrator.project_root` in config.yaml."
)


def write_report(result: SurveyResult, directory: Path, title: str, task: str = "") -> None:
    """Write ``output.md``.

    ``task``: the text of the request if it asks to build something, otherwise "".
    """
    text = "\n".join(render(result, title, task)) + "\n"
    replace_file(directory / OUTPUT_FILE, text.encode("utf-8", "backslashreplace"))


def render(result: SurveyResult, title: str, task: str = "") -> list[str]:
    if result.mode != "survey":
        return _build_report(result, title, task)
    if not result.totals.files and not result.parts:
        return [f"# Nothing to survey in {title}", "", NO_FILES, *_notes(result)]
    importers = _importers(result)
    sections = (
        ("Languages", _languages(result)),
        ("Structure", _structure(result)),
        ("Entry points", _entry_points(result)),
        ("Most imported modules", _most_imported(importers)),
        ("Public names", _public_names(result, importers)),
        ("Tests", _tests(result)),
        ("TODO and FIXME", _todos(result)),
        ("Dependencies", _dependencies(result)),
        ("Imports of external packages", _foreign_imports(result)),
        ("Configuration", _configuration(result)),
        ("Hot spots", _hot_spots(result)),
        ("Owners", _owners(result)),
        ("Parts surveyed by other workers", _parts(result)),
        ("Not surveyed", _notes(result)[1:]),
        ("How lines are counted", [RULE]),
    )
    lines = [f"# Survey of {title}", "", first_sentence(result), *_missing(result)]
    for head, body in sections:
        lines += ["", f"## {head}", "", *body] if body else []
    return lines


def _build_report(result: SurveyResult, title: str, task: str) -> list[str]:
    matched = sum(row.code for row in result.matches)
    files = plural(len(result.matches), "source file")
    lines = [f"# Survey of {title} for this task", "", f"**{NOTHING_BUILT}**", ""]
    lines += [f"Task: {code(task)}", ""]
    if result.matches:
        lines += [f"{files} with {plural(matched, 'line')} of code match the task:", ""]
        rows = [(code(m.path), m.code, ", ".join(map(code, m.reasons))) for m in result.matches]
        lines += table(("File", "Code", "Why"), rows)
    else:
        lines.append("No file of the project matches the words of this task.")
    if dependencies := matching_dependencies(result, task):
        lines += [
            "",
            "Dependencies that match the request: " + ", ".join(map(code, dependencies)) + ".",
        ]
    return [*lines, "", "## The whole project", "", first_sentence(result), "", *_languages(result)]


def _missing(result: SurveyResult) -> list[str]:
    missing = [part for part in result.parts if part.status not in SUCCEEDED_WORKER]
    if not missing:
        return []
    rows = [f"- {code(part.title)}: {part.status} {code(part.reason)}" for part in missing]
    return ["", "**This survey is not complete. Missing or incomplete parts:**", "", *rows]


def _languages(result: SurveyResult) -> list[str]:
    heads = ("Language", "Files", "Code", "Comment", "Blank")
    rows = [
        (name, c.files, c.code, c.comment, c.blank) for name, c in top_languages(result.languages)
    ]
    totals = result.totals
    total = ("**All**", totals.files, totals.code, totals.comment, totals.blank)
    unparsed = only_counted(result)
    return table(heads, [*rows, total]) + (["", unparsed] if unparsed else [])


def _structure(result: SurveyResult) -> list[str]:
    trees = _totals_by_directory(result)
    outer_and_large_first = sorted(trees, key=lambda path: (path.count("/"), -trees[path].files))
    paths = sorted(outer_and_large_first[:_MOST_DIRECTORIES])
    labelled_counts = [("." if path == "." else f"{path}/", trees[path]) for path in paths]
    rows = [(code(name), c.files, c.code, c.comment) for name, c in labelled_counts]
    lines = table(("Directory, with everything below", "Files", "Code", "Comment"), rows)
    return lines + _omitted_note(len(trees) - len(rows), "directory", "directories")


def _totals_by_directory(result: SurveyResult) -> dict[str, Counts]:
    """Return {directory: totals} for the upper directories of the survey.

    The result has the common directory of all surveyed files, and _STRUCTURE_LEVELS levels of its
    subdirectories.
    """
    base = os.path.commonpath(result.directories) if result.directories else ""
    depth = len(base.split("/")) if base and base != "." else 0
    trees: dict[str, Counts] = defaultdict(Counts)
    for path, counts in result.directories.items():
        names = path.split("/") if path != "." else []
        for level in range(depth, min(len(names), depth + _STRUCTURE_LEVELS) + 1):
            trees["/".join(names[:level]) or "."].add(counts, counts.files)
    return trees


def _entry_points(result: SurveyResult) -> list[str]:
    rows = [
        (
            e.kind,
            code(e.name),
            code(f"{e.path}:{e.line}" if e.line else e.path),
            _code_if_any(e.target),
        )
        for e in sorted(result.entry_points, key=lambda e: (e.kind, e.path, e.name))
    ]
    if not rows:
        return []
    lines = table(("Kind", "Name", "Where", "Runs"), rows[:MOST_ROWS])
    return lines + _omitted_note(len(rows) - MOST_ROWS, "entry point")


def _code_if_any(text: str) -> str:
    return code(text) if text else ""


def _importers(result: SurveyResult) -> Counter[str]:
    """Return {path: number of other files that import the file} for the surveyed files."""
    index = ModuleIndex(vars(module) for module in result.modules)
    languages = {module.path: module.language for module in result.modules}
    pairs = {
        (row.path, target)
        for row in result.imports
        for target in index.targets(row.path, languages.get(row.path, ""), row.module, row.names)
    }
    return Counter(target for importer, target in pairs if importer != target)


def _most_imported(importers: Counter[str]) -> list[str]:
    best = sorted(importers.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS]
    return table(("Module", "Imported by files"), [(code(p), n) for p, n in best]) if best else []


def _public_names(result: SurveyResult, importers: Counter[str]) -> list[str]:
    by_path: dict[str, list[SymbolRow]] = defaultdict(list)
    for symbol in result.symbols:
        by_path[symbol.path].append(symbol)
    modules = [m for m in result.modules if m.path in by_path]
    modules.sort(key=lambda m: (-importers[m.path], -len(by_path[m.path]), m.path))
    lines = [f"- {_module_names(m, by_path[m.path])}" for m in modules[:MOST_ROWS]]
    return lines + _omitted_note(len(modules) - MOST_ROWS, "module")


def _module_names(module: ModuleRow, symbols: list[SymbolRow]) -> str:
    outer = [s for s in symbols if s.kind != "method"] or symbols
    unique = list(dict.fromkeys(s.name for s in outer))
    methods = sum(s.kind == "method" for s in symbols) if len(outer) != len(symbols) else 0
    extra = f", with {plural(methods, 'method')}" if methods else ""
    return f"{code(module.path)}: {_listed_names(unique)}{extra}"


def _tests(result: SurveyResult) -> list[str]:
    lines = _test_cases(result)
    unread = sum(m.is_test and m.language in result.unparsed for m in result.modules)
    if unread:
        lines += [""] if lines else []
        lines.append(
            f"Test cases of {plural(unread, 'file')} were not counted: their grammars are not "
            "installed."
        )
    return lines or ["No tests were found."]


def _test_cases(result: SurveyResult) -> list[str]:
    if not result.tests:
        return []
    cases = sum(row.cases for row in result.tests)
    files = sum(row.cases > 0 for row in result.tests)
    by_directory: Counter[str] = Counter()
    for row in result.tests:
        by_directory[os.path.dirname(row.path) or "."] += row.cases
    total = f"{plural(cases, 'test case')} in {plural(files, 'file')}"
    lines = [f"{total}; {len(result.tests) - files:,} other test files have no test case.", ""]
    best = [(code(path), cases) for path, cases in by_directory.most_common(10) if cases]
    return lines + (table(("Directory", "Test cases"), best) if best else [])


def _todos(result: SurveyResult) -> list[str]:
    lines = [
        f"- {code(f'{row.path}:{row.line}')} {row.tag} {_code_if_any(row.text)}"
        for row in result.todos[:MOST_ROWS]
    ]
    return lines + _omitted_note(len(result.todos) - MOST_ROWS, "note")


def _dependencies(result: SurveyResult) -> list[str]:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in result.dependencies:
        name = f"{row.name} {row.version}".strip()
        groups[row.ecosystem, row.path, row.group].append(name)
    rows = [
        (kind, code(path), _code_if_any(group), len(names), _listed_names(names))
        for (kind, path, group), names in sorted(groups.items())
    ]
    if not rows:
        return []
    lines = table(("Kind", "Named in", "Group", "Number", "Packages"), rows[:MOST_ROWS])
    return lines + _omitted_note(len(rows) - MOST_ROWS, "group")


def _listed_names(names: list[str]) -> str:
    return listed([code(name) for name in names], _MOST_NAMES)


def _foreign_imports(result: SurveyResult) -> list[str]:
    index = ModuleIndex(vars(module) for module in result.modules)
    own_packages = sys.stdlib_module_names | {
        m.name.split(".")[0] for m in result.modules if m.name
    }
    packages: dict[str, set[str]] = defaultdict(set)
    python = {m.path for m in result.modules if m.language == "Python"}
    for row in result.imports:
        top = row.module.split(".")[0]
        if (
            row.path in python
            and top
            and top not in own_packages
            and not index.sibling_module(row.path, top)
        ):
            packages[top].add(row.path)
    best = sorted(packages.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_NAMES]
    rows = [(code(name), len(paths)) for name, paths in best]
    return table(("Python package", "Files that import the package"), rows) if rows else []


def _configuration(result: SurveyResult) -> list[str]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in result.config_files:
        kinds[row.kind].append(row.path)
    return [f"- {kind}: {_listed_names(paths)}" for kind, paths in sorted(kinds.items())]


def _hot_spots(result: SurveyResult) -> list[str]:
    if not result.churn and result.churn_note == COUNTED_COMMITS:
        return [f"No commit changed these files. Counted: {COUNTED_COMMITS}."]
    if not result.churn:
        return [f"Unknown: {result.churn_note or NO_HISTORY}."]
    best = sorted(result.churn, key=lambda row: (-row.changes, -row.added, row.path))[:MOST_ROWS]
    rows = [(code(row.path), row.changes, row.added, row.deleted) for row in best]
    lines = table(("File", "Commits", "Lines added", "Lines deleted"), rows)
    return [f"Counted: {result.churn_note}.", "", *lines]


def _owners(result: SurveyResult) -> list[str]:
    best = sorted(result.owners.items(), key=lambda item: (-item[1].lines, item[0]))[:10]
    rows = [(code(name), owner.changes, owner.lines) for name, owner in best]
    return table(("Author", "Changes of files", "Lines added"), rows) if rows else []


def _parts(result: SurveyResult) -> list[str]:
    rows = [(code(part.title), part.worker_id, part.status) for part in result.parts]
    return table(("Part", "Worker", "Status"), rows) if rows else []


def _notes(result: SurveyResult) -> list[str]:
    return [line for note in result.notes for line in ("", note)]


def _omitted_note(number: int, noun: str, nouns: str = "") -> list[str]:
    if number <= 0:
        return []
    omitted = plural(number, f"more {noun}", nouns and f"more {nouns}")
    return ["", f"... and {omitted}, in result.json."]
