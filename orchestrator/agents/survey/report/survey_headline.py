"""The result of a survey in one sentence."""

from collections.abc import Mapping

from orchestrator.agents.survey.analysis.result import Counts, SurveyResult
from orchestrator.agents.survey.source.languages import BINARY
from orchestrator.core.text.command_name import GRAMMARS
from orchestrator.core.text.formatting import plural

_MOST_LANGUAGES = 3


def top_languages(languages: Mapping[str, Counts]) -> list[tuple[str, Counts]]:
    return sorted(languages.items(), key=lambda item: (-item[1].code, -item[1].comment, item[0]))


def first_sentence(result: SurveyResult) -> str:
    totals = result.totals
    text = f"**{_files_and_code(result)}**{_language_shares(result)}"
    text += f" There are also {plural(totals.comment, 'line')} of comment and prose, and"
    text += f" {plural(totals.blank, 'blank line')}."
    return text + _unread(result)


def summary(result: SurveyResult) -> str:
    return f"surveyed {_files_and_code(result)}"


def only_counted(result: SurveyResult) -> str:
    """Return a sentence about the surveyed languages whose grammars are missing; "" for none."""
    if not result.unparsed:
        return ""
    return (
        f"Only lines were counted for: {', '.join(sorted(result.unparsed))}. To read symbols,"
        f" imports, and test cases, install the grammars: {GRAMMARS}."
    )


def _files_and_code(result: SurveyResult) -> str:
    languages = len(result.languages.keys() - {BINARY})
    code = plural(result.totals.code, "line") + " of code"
    return f"{plural(result.totals.files, 'file')}, {code} in {plural(languages, 'language')}"


def _language_shares(result: SurveyResult) -> str:
    best = top_languages(result.languages)[:_MOST_LANGUAGES]
    percents = ((name, 100 * c.code // max(result.totals.code, 1)) for name, c in best)
    shares = [f"{name} {percent} %" for name, percent in percents if percent]
    return f": {', '.join(shares)}." if shares else "."


def _unread(result: SurveyResult) -> str:
    totals = result.totals
    kinds = (
        (totals.binary, "binary file", ""),
        (totals.too_large, "file that is too large to read", "files that are too large to read"),
        (totals.unreadable, "file that cannot be read", "files that cannot be read"),
    )
    parts = [plural(number, noun, nouns) for number, noun, nouns in kinds if number]
    skipped = [
        plural(number, noun)
        for number, noun in ((totals.links, "symbolic link"), (totals.special, "special file"))
        if number
    ]
    text = f" Not counted as lines: {', '.join(parts)}." if parts else ""
    return text + (f" Skipped: {', '.join(skipped)}." if skipped else "")
