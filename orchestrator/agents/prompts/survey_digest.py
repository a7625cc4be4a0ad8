"""A digest of a survey: a few kilobytes for a reader who does not know the project."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from orchestrator.agents.survey.report.headline import headline, top_languages
from orchestrator.agents.survey.result.result import SurveyResult
from orchestrator.core.text.formatting import cut, cut_bytes, one_line

MOST_BYTES = 12 * 1024
_LONGEST_LINE = 200


def digest(result: SurveyResult, name: str, *, left_out: int = 0) -> str:
    """Return the digest, with at most ``MOST_BYTES``. Equal surveys have equal digests."""
    lines = [f"Project {one_line(name) or '/'}: {headline(result).replace('**', '')}"]
    if left_out:
        lines.append(f"{left_out:,} files in deeper directories were not read.")
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


def _named(names: Iterable[str], most: int) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


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
    by_place: dict[str, list[int]] = defaultdict(list)
    for row in result.tests:
        by_place[row.path.rpartition("/")[0] or "."].append(row.cases)
    for place, cases in sorted(by_place.items(), key=lambda item: (-sum(item[1]), item[0]))[:10]:
        yield f"{place}: {len(cases):,} files, {sum(cases):,} test cases"


def _settings(result: SurveyResult) -> Iterator[str]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in result.config_files:
        by_kind[row.kind].append(row.path)
    for kind, paths in sorted(by_kind.items()):
        yield f"{kind}: {_named(paths, 5)}"


def _dependencies(result: SurveyResult) -> Iterator[str]:
    by_ecosystem: dict[str, list[str]] = defaultdict(list)
    for row in result.dependencies:
        by_ecosystem[row.ecosystem].append(row.name)
    for ecosystem, names in sorted(by_ecosystem.items()):
        yield f"{ecosystem}: {_named(names, 20)}"


def _most_changed(result: SurveyResult) -> Iterator[str]:
    for row in sorted(result.churn, key=lambda each: (-each.changes, each.path))[:10]:
        yield f"{row.path}: {row.changes:,} times"


def _symbols(result: SurveyResult) -> Iterator[str]:
    by_path: dict[str, list[str]] = defaultdict(list)
    for row in result.symbols:
        by_path[row.path].append(row.name)
    largest = sorted(by_path.items(), key=lambda item: (-len(item[1]), item[0]))[:60]
    for path, names in sorted(largest):
        yield f"{path}: {_named(names, 8)}"


#: Sections are cut from the end if the digest is too long, so the most useful short sections come
#: first.
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
