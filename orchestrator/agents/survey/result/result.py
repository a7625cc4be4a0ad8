"""The result of a survey: rows that can be merged.

The sums stay correct if no file is in two results.
"""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import ClassVar

from orchestrator.agents.survey.source.line_count import LineCount
from orchestrator.core.dataclass import dataclass


@dataclass
class Counts:
    """Numbers of files and lines. Counts can be added."""

    files: int = 0
    code: int = 0
    comment: int = 0
    blank: int = 0
    bare: int = 0

    def add(self, lines: "LineCount | Counts", files: int = 1) -> None:
        """Add ``lines``, the lines of ``files`` files."""
        self.files += files
        self.code += lines.code
        self.comment += lines.comment
        self.blank += lines.blank
        self.bare += lines.bare


@dataclass
class SurveyTotals(Counts):
    """Counts of a whole survey, and numbers of files whose lines were not counted."""

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
    __test__: ClassVar[bool] = False  # Tells pytest that the class is no test case.

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
    """Changes by one author: the number of changes of files, and the number of added lines."""

    changes: int = 0
    lines: int = 0


@dataclass
class SurveyResult:
    """All findings about a set of files.

    ``absorb`` adds the findings about another set. The two sets must not have a file in common.
    """

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
        """Add the findings of ``other``, except its ``parts``, ``notes``, and ``matches``."""
        for name in _NUMBERS:
            setattr(self.totals, name, getattr(self.totals, name) + getattr(other.totals, name))
        _add_counts(self.languages, other.languages)
        _add_counts(self.directories, other.directories)
        for name, owner in other.owners.items():
            known = self.owners.setdefault(name, Owner())
            known.changes += owner.changes
            known.lines += owner.lines
        for name in _MERGED_ROWS:
            getattr(self, name).extend(getattr(other, name))
        self.unparsed |= other.unparsed
        self.churn_note = self.churn_note or other.churn_note

    def sort(self) -> None:
        """Sort all rows by path, so that their order is the same for any division among workers."""
        for name in _MERGED_ROWS:
            getattr(self, name).sort(key=_order)


def _order(row: object) -> list[str]:
    values = vars(row).values()
    return [f"{value:09}" if isinstance(value, int) else str(value) for value in values]


def _add_counts(mine: dict[str, Counts], theirs: Mapping[str, Counts]) -> None:
    for key, counts in theirs.items():
        mine.setdefault(key, Counts()).add(counts, counts.files)


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
