"""The result of a survey: as values, and as the file ``result.json``.

To get the result of the whole project, merge the results of all parts. Counts are added, so no file
may be in two of the merged results.

The file holds one object. ``schema`` is 1. This number changes if a field is removed or gets
another meaning, but not if a field is added. Paths are relative to the project root.

==============  ==================================================================================
field           one row (or object)
==============  ==================================================================================
schema          1
mode            ``survey`` or ``build request``
built           build requests only: always false, because a survey builds nothing
surveyed        the requested paths; empty: the whole project
rule            how lines are counted, as text
totals          files, bytes, code, comment, blank, bare, binary, too_large, unreadable, links,
                special. ``bare``: lines with only brackets, punctuation, or ``pass``; they also
                count as ``blank``
languages       language, files, code, comment, blank, bare
directories     path, files, code, comment, blank, bare: files in subdirectories do not count
modules         path, language, name (dotted, Python only), code, comment, blank, bare, is_test
symbols         path, name, kind, line: public names, outside of tests
imports         path, module, names
entry_points    kind, name, path, line (0: the whole file), target
tests           path, language, cases
todos           path, line, tag, text
config_files    path, kind
dependencies    path, ecosystem, name, version, group
churn           ``files``: path, changes, added, deleted; ``owners``: name, changes, lines; ``note``
parts           title, files, worker_id, status, reason: what child jobs surveyed
notes           sentences on what was not surveyed, and why
unparsed        languages without an installed grammar: symbols, imports, test cases unknown
matches         path, code, score, reasons; empty for a survey
==============  ==================================================================================
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.agents.survey.source.line_count import RULE, LineCount
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.atomic_write import replace_file


@dataclass
class Counts:
    files: int = 0
    code: int = 0
    comment: int = 0
    blank: int = 0
    bare: int = 0

    def add(self, lines: "LineCount | Counts", files: int = 1) -> None:
        self.files += files
        self.code += lines.code
        self.comment += lines.comment
        self.blank += lines.blank
        self.bare += lines.bare


@dataclass
class SurveyTotals(Counts):
    """Totals of a whole survey, and numbers of files whose lines were not counted."""

    bytes: int = 0
    binary: int = 0
    too_large: int = 0
    unreadable: int = 0
    links: int = 0
    special: int = 0


@dataclass(frozen=True)
class ModuleRow:
    path: str
    language: str
    name: str
    code: int
    comment: int
    blank: int
    bare: int
    is_test: bool


@dataclass(frozen=True)
class SymbolRow:
    path: str
    name: str
    kind: str
    line: int


@dataclass(frozen=True)
class ImportRow:
    path: str
    module: str
    names: list[str]


@dataclass(frozen=True)
class EntryPointRow:
    kind: str
    name: str
    path: str
    line: int = 0
    target: str = ""


@dataclass(frozen=True)
class TestRow:
    __test__: ClassVar[bool] = False  # Otherwise pytest would collect the class.

    path: str
    language: str
    cases: int


@dataclass(frozen=True)
class TodoRow:
    path: str
    line: int
    tag: str
    text: str


@dataclass(frozen=True)
class ConfigRow:
    path: str
    kind: str


@dataclass(frozen=True)
class DependencyRow:
    path: str
    ecosystem: str
    name: str
    version: str = ""
    group: str = ""


@dataclass(frozen=True)
class ChurnRow:
    path: str
    changes: int
    added: int
    deleted: int


@dataclass(frozen=True)
class PartRow:
    title: str
    files: list[str]
    worker_id: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class MatchRow:
    path: str
    code: int
    score: int
    reasons: list[str]


@dataclass
class Owner:
    """An author's totals: the number of changes to files, and the number of added lines."""

    changes: int = 0
    lines: int = 0


@dataclass
class SurveyResult:
    surveyed: list[str] = field(default_factory=list)
    mode: str = "survey"
    totals: SurveyTotals = field(default_factory=SurveyTotals)
    languages: dict[str, Counts] = field(default_factory=dict)
    directories: dict[str, Counts] = field(default_factory=dict)
    modules: list[ModuleRow] = field(default_factory=list)
    symbols: list[SymbolRow] = field(default_factory=list)
    imports: list[ImportRow] = field(default_factory=list)
    entry_points: list[EntryPointRow] = field(default_factory=list)
    tests: list[TestRow] = field(default_factory=list)
    todos: list[TodoRow] = field(default_factory=list)
    config_files: list[ConfigRow] = field(default_factory=list)
    dependencies: list[DependencyRow] = field(default_factory=list)
    churn: list[ChurnRow] = field(default_factory=list)
    owners: dict[str, Owner] = field(default_factory=dict)
    churn_note: str = ""
    parts: list[PartRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Languages without an installed grammar: their symbols, imports and test cases are unknown.
    unparsed: set[str] = field(default_factory=set)
    matches: list[MatchRow] = field(default_factory=list)

    def absorb(self, other: "SurveyResult") -> None:
        """Add the findings of ``other``, except its ``parts``, ``notes``, and ``matches``.

        The two results must not have a file in common.
        """
        for name in _NUMBERS:
            setattr(self.totals, name, getattr(self.totals, name) + getattr(other.totals, name))
        _add_counts(self.languages, other.languages)
        _add_counts(self.directories, other.directories)
        for name, owner in other.owners.items():
            totals = self.owners.setdefault(name, Owner())
            totals.changes += owner.changes
            totals.lines += owner.lines
        for name in _MERGED_ROWS:
            getattr(self, name).extend(getattr(other, name))
        self.unparsed |= other.unparsed
        self.churn_note = self.churn_note or other.churn_note

    def sort(self) -> None:
        """Sort all rows, so that their order does not depend on the division into child jobs."""
        for name in _MERGED_ROWS:
            getattr(self, name).sort(key=_sort_key)


def _sort_key(row: object) -> list[str]:
    values = vars(row).values()
    return [f"{value:09}" if isinstance(value, int) else str(value) for value in values]


def _add_counts(totals: dict[str, Counts], additions: Mapping[str, Counts]) -> None:
    for key, counts in additions.items():
        totals.setdefault(key, Counts()).add(counts, counts.files)


_NUMBERS = tuple(entry.name for entry in fields(SurveyTotals))
#: Lists of rows in a result, with the class of their rows.
ROWS: dict[str, type] = {
    "modules": ModuleRow,
    "symbols": SymbolRow,
    "imports": ImportRow,
    "entry_points": EntryPointRow,
    "tests": TestRow,
    "todos": TodoRow,
    "config_files": ConfigRow,
    "dependencies": DependencyRow,
    "churn": ChurnRow,
    "parts": PartRow,
    "matches": MatchRow,
}
_MERGED_ROWS = tuple(name for name in ROWS if name not in ("parts", "matches"))


SCHEMA = 1
RESULT_FILE = "result.json"


def to_json(result: SurveyResult) -> dict[str, Any]:
    rows = {name: [vars(row) for row in getattr(result, name)] for name in ROWS}
    content = {
        "schema": SCHEMA,
        "mode": result.mode,
        "surveyed": result.surveyed,
        "rule": RULE,
        "totals": vars(result.totals),
        "languages": _rows_by_name(result.languages, "language"),
        "directories": _rows_by_name(result.directories, "path"),
        **rows,
        "churn": {
            "note": result.churn_note,
            "files": rows["churn"],
            "owners": _rows_by_name(result.owners, "name"),
        },
        "notes": result.notes,
        "unparsed": sorted(result.unparsed),
    }
    return content if result.mode == "survey" else content | {"built": False}


def _rows_by_name(counts: Mapping[str, object], key: str) -> list[dict[str, Any]]:
    return [{key: name, **vars(counts[name])} for name in sorted(counts)]


def write_result(result: SurveyResult, directory: Path) -> None:
    """Write ``result.json`` atomically."""
    text = json.dumps(to_json(result), separators=(",", ":"))
    replace_file(directory / RESULT_FILE, text.encode())


def read_result(directory: Path) -> SurveyResult:
    """Read a worker's ``result.json``.

    Raise SurveyError if the file is missing or has another format.
    """
    path = directory / RESULT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise SurveyError(f"{path} has schema {content['schema']!r}, not {SCHEMA}")
        return _from_json(content)
    except OSError as error:
        raise SurveyError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SurveyError(f"{path} is not the result of a survey") from error


def _from_json(content: Mapping[str, Any]) -> SurveyResult:
    churn = content["churn"]
    others = [name for name in ROWS if name != "churn"]
    rows: dict[str, Any] = {name: _rows(content[name], ROWS[name]) for name in others}
    return SurveyResult(
        surveyed=list(content["surveyed"]),
        mode=str(content["mode"]),
        totals=SurveyTotals(**_known_fields(content["totals"], SurveyTotals)),
        languages={row["language"]: _counts(row) for row in content["languages"]},
        directories={row["path"]: _counts(row) for row in content["directories"]},
        churn=_rows(churn["files"], ChurnRow),
        owners={row["name"]: Owner(**_known_fields(row, Owner)) for row in churn["owners"]},
        churn_note=str(churn["note"]),
        notes=[str(note) for note in content["notes"]],
        unparsed={str(name) for name in content.get("unparsed", ())},
        **rows,
    )


_Row = TypeVar("_Row")


def _rows(items: Iterable[Mapping[str, Any]], kind: type[_Row]) -> list[_Row]:
    return [kind(**_known_fields(item, kind)) for item in items]


def _counts(row: Mapping[str, Any]) -> Counts:
    return Counts(**_known_fields(row, Counts))


def _known_fields(item: Mapping[str, Any], kind: type) -> dict[str, Any]:
    # Ignore unknown fields, because a later version of the product may have written the file.
    return {entry.name: item[entry.name] for entry in fields(kind) if entry.name in item}
