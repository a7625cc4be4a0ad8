"""Parts of a project that match the words of a request, with reasons."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from orchestrator.agents.survey.analysis.result import MatchRow, SurveyResult
from orchestrator.agents.survey.assignment.request_analysis import keywords, related, stem

#: Scores of a match: in the file's path, in a symbol's name, in an import.
_PATH, _SYMBOL, _IMPORT = 4, 2, 1
#: Factor of the score for a match of the request's own word, not of a related word.
_OWN_WORD = 2
#: Maximum number of listed files.
MOST_MATCHES = 60
#: Maximum number of listed reasons per file.
_MOST_REASONS = 4
_PARTS_OF_NAMES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def find_matches(result: SurveyResult, words: str) -> list[MatchRow]:
    """Return the source files that match ``words``, the best match first."""
    stems = related(keywords(words))
    code = {module.path: module.code for module in result.modules}
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for path, reason, score in _hits(result, stems):
        reasons[path].setdefault(reason, score)
    rows = [
        _row(path, code[path], file_reasons)
        for path, file_reasons in reasons.items()
        if path in code
    ]
    rows.sort(key=lambda row: (-row.score, row.path))
    return rows[:MOST_MATCHES]


def matching_dependencies(result: SurveyResult, words: str) -> list[str]:
    stems = related(keywords(words))
    names = {row.name for row in result.dependencies}
    return sorted(name for name in names if any(_matching_words(name, stems)))


def _row(path: str, code: int, reasons: Mapping[str, int]) -> MatchRow:
    best = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    score = sum(sorted(reasons.values(), reverse=True)[: 2 * _MOST_REASONS])
    return MatchRow(path, code, score, best[:_MOST_REASONS])


def _hits(result: SurveyResult, stems: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    for module in result.modules:
        for word in _matching_words(module.path, stems):
            yield module.path, f"path contains '{word}'", _score(_PATH, word, stems)
    for symbol in result.symbols:
        for word in _matching_words(symbol.name, stems):
            yield symbol.path, f"defines {symbol.name}", _score(_SYMBOL, word, stems)
    for row in result.imports:
        for word in _matching_words(row.module, stems):
            yield row.path, f"imports {row.module}", _score(_IMPORT, word, stems)


def _score(weight: int, word: str, stems: Mapping[str, str]) -> int:
    return weight * (_OWN_WORD if stem(stems[stem(word)]) == stem(word) else 1)


def _matching_words(name: str, stems: Mapping[str, str]) -> Iterable[str]:
    return (word for word in _words(name) if stem(word) in stems)


@cache
def _words(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.lower() for word in _PARTS_OF_NAMES.findall(name)))
