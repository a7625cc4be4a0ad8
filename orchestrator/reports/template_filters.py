"""Filters of templates, which escape texts, and format numbers, times, and states.

Every text from a worker or user in a report must go through a filter. ``plain`` and ``one_line``
remove characters that could deceive a terminal or a reader. In Markdown, ``fence`` and ``code``
show text as code. ``cell`` and ``inline`` show text as one line on which Markdown has no effect.
``document`` keeps a worker's own Markdown readable.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from orchestrator.core.model.states import JobStatus
from orchestrator.core.text.formatting import cut, plural, ticks
from orchestrator.core.text.formatting import dollars as cost_text
from orchestrator.core.text.formatting import fence as code_block
from orchestrator.core.text.lazy_pattern import lazy_pattern
from orchestrator.reports.figures.analytics import Total

#: Control sequences of terminals (ECMA-48): CSI; OSC, DCS, SOS, PM, and APC up to their end; any
#: other escape sequence.
_SEQUENCE = lazy_pattern(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_END = lazy_pattern(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
#: Matches control characters other than tab and newline, characters that change the direction of
#: writing, and the byte order mark.
_CONTROL = lazy_pattern(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_SURROGATE = lazy_pattern(r"[\ud800-\udfff]")
_WHITE = lazy_pattern(r"\s+")

_SPECIAL = lazy_pattern(r"[\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_])")
_BY_NAME = {"<": "&lt;", "|": "&#124;", "\\": "&#92;"}
#: Text in which Markdown gives no character a special meaning. An underscore is allowed only within
#: a word.
_WORDS = lazy_pattern(r"[A-Za-z0-9 /-]*(?:(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])[A-Za-z0-9 /-]+)*")
_LINK_START = lazy_pattern(r"(?i)\b(www|mailto|xmpp)([.:])")
_PLAIN_PATH = lazy_pattern(r"[A-Za-z0-9/._~-]*")
_ENTITY = lazy_pattern(r"&(?=#?\w+;)")
#: Matches characters that start a heading, list, quote, rule, or underline at a line's beginning.
_BLOCK_START = lazy_pattern(r"^(?:[#>+=:-]|\d+(?=[.)]))")


def plain(text: str) -> str:
    """Return text without control characters and terminal sequences.

    Every line end becomes a newline. The result can be encoded as UTF-8. Idempotent.
    """
    # The most frequent case, with the fastest check.
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", _LINE_END.sub("\n", text))
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def one_line(text: str, limit: int = 200) -> str:
    """Return plain text on one line, of at most ``limit`` characters."""
    # The most frequent case, with the fastest check: the only white space is single spaces.
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    # Only a part of the text is processed, because a worker may write megabytes.
    line = _WHITE.sub(" ", plain(text[: 10 * limit])).strip()
    return cut(line if len(text) <= 10 * limit else f"{line}…", limit, "…")


def bounded(text: str, limit: int) -> str:
    """Return the first ``limit`` characters of a text, cut at the end of a line if possible."""
    if len(text) <= limit:
        return text
    start = text[: max(0, limit)]
    lines, newline, _ = start.rpartition("\n")
    return lines if newline else start


def ending(text: str, lines: int, limit: int) -> str:
    """Return the last ``lines`` lines of a text, but at most ``limit`` characters.

    A line whose beginning does not fit is omitted, unless it is the only line.
    """
    end = text[max(0, len(text) - limit) :] if limit > 0 else ""
    if len(end) < len(text):
        _, newline, whole_lines = end.partition("\n")
        end = whole_lines if newline and whole_lines else end
    return "\n".join(end.strip("\n").split("\n")[-lines:])


def last_lines(text: str, count: int, limit: int) -> str:
    """Return the last ``count`` lines of a text, but at most ``limit`` characters."""
    return "\n".join(text[-limit:].strip("\n").splitlines()[-count:])


def fence(text: str, language: str = "text") -> str:
    """Return the text as a code block. No line of the text can end the block."""
    return code_block(plain(text).strip("\n"), language)


def code(text: str, limit: int = 400) -> str:
    """Return a text as a code span. Do not use this filter in a table: a ``|`` ends the cell."""
    content = one_line(text, limit) or " "
    fence = ticks(content)
    pad = " " if "`" in (content[0], content[-1]) else ""
    return f"{fence}{pad}{content}{pad}{fence}"


def inline(text: str, limit: int = 400) -> str:
    """Return a text as one line, escaped so that Markdown shows the text literally."""
    return _BLOCK_START.sub(_escaped_start, cell(text, limit))


def cell(text: str, limit: int = 160) -> str:
    """Return a text as one line for a table cell, in which Markdown has no effect."""
    line = one_line(text, limit)
    # The most frequent case, with the fastest check.
    if _WORDS.fullmatch(line):
        return line
    line = _ENTITY.sub("&amp;", line)
    return unlinked(_SPECIAL.sub(_escaped, line))


def unlinked(line: str) -> str:
    """Return the line changed so that no renderer creates a link or a mention from its text."""
    line = line.replace("://", ":&#47;&#47;").replace("@", "&#64;")
    return _LINK_START.sub(lambda match: match.group(1) + f"&#{ord(match.group(2))};", line)


def href(path: str) -> str:
    # The most frequent case, with the fastest check.
    return path if _PLAIN_PATH.fullmatch(path) else quote(path, safe="/._-")


def shell(*words: str) -> str:
    """Return the words as one line that can be pasted into a shell."""
    return shlex.join(words)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return _BY_NAME.get(character, "\\" + character)


def _escaped_start(match: re.Match[str]) -> str:
    start = match.group()
    return f"&#{ord(start[0])};{start[1:]}"


#: The report's own headings have levels 1 to 3. Headings in workers' texts get levels 4 to 6.
_SMALLEST_OWN_HEADING = 3

_CONTAINERS = r"(?:[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]))*[ \t]*"
_FENCE = lazy_pattern(rf"^({_CONTAINERS})(?:(`{{3,}})([^`]*)|(~{{3,}})(.*))$")
_HEADING = lazy_pattern(rf"^({_CONTAINERS})(#{{1,6}})(?=[ \t]|$)")
_UNDERLINE = lazy_pattern(rf"^({_CONTAINERS})(?:(=+)|(-+))[ \t]*$")
_LINK = lazy_pattern(
    r"!?\[([^\[\]]{0,300})\]"
    r"\(\s{0,9}<?([^()\s<>`|]{0,500})>?(?:\s{1,9}[\"'][^\"'()]{0,300}[\"'])?\s{0,9}\)"
)
_ADDRESS = lazy_pattern(r"(?i)\b(?:https?|ftp)://[^\s<>`|\"'()\[\]*]+")
#: Matches text that looks like Markdown: a heading, table, code block, bold text, or link.
_SIGN = lazy_pattern(
    r"(?m)^ {0,3}(?:#{1,6} \S|```|~~~|\|?[ :]*-{3,}[ :]*\|)|\*\*\S[^*\n]*\*\*|\]\(\S"
)
_PROSE_COLUMNS = 120
_RUN = lazy_pattern(r"(\\?)(`+)")
#: Replacements for the ends of links and of their definitions, and for GitHub's alerts and
#: formulas.
_NEUTRAL = {"](": "]&#40;", "]:": "]&#58;", "][": "]&#91;", "[!": "&#91;!", "$": "&#36;"}
#: Code blocks that GitHub draws as diagrams.
_DRAWN = {"mermaid", "geojson", "topojson", "stl", "math"}


class OpenFence(NamedTuple):
    character: str
    length: int
    column: int
    language: str


def document(text: str) -> str:
    """Return a worker's text as Markdown for a report; "" if the text has no content.

    Text that does not look like Markdown, such as the output of a command, becomes a code block.
    """
    return quoted(text) if _is_markdown(text) else fence(text)


def _is_markdown(text: str) -> bool:
    """True if a text is shown as Markdown; False if the text is shown as a code block.

    A text is shown as Markdown if it has only one line, looks like Markdown, or has a long line.
    Long lines would not wrap in a code block.
    """
    lines = text.strip().splitlines()
    return len(lines) < 2 or bool(_SIGN.search(text)) or max(map(len, lines)) > _PROSE_COLUMNS


def quoted(text: str) -> str:
    lines = list(_lines(plain(text).expandtabs(4).strip("\n").split("\n")))
    if not any(line.strip() for line in lines):
        return ""
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _lines(source: list[str]) -> Iterator[str]:
    block: list[str] | None = None
    opened = OpenFence("", 0, 0, "")
    for line in source:
        if block is not None:
            if _closes(line, opened):
                yield from _code_block(block, opened.language)
                block = None
            else:
                block.append(_outdented(line, opened.column))
        elif start := _FENCE.match(line):
            block = []
            opened = _opening(start)
            if prefix := start.group(1).rstrip():
                yield from (prefix, "")
        else:
            yield _escaped_line(line)
    if block is not None:
        yield from _code_block(block, opened.language)


def _opening(start: re.Match[str]) -> OpenFence:
    run = start.group(2) or start.group(4)
    name_match = re.match(r"\s*([\w+#.-]{1,20})", start.group(3) or start.group(5) or "", re.ASCII)
    language = name_match.group(1) if name_match else "text"
    language = "text" if language.lower() in _DRAWN else language
    return OpenFence(run[0], len(run), len(start.group(1)), language)


def _closes(line: str, opened: OpenFence) -> bool:
    run = line.strip(" >")
    return len(run) >= opened.length and set(run) == {opened.character}


def _outdented(line: str, column: int) -> str:
    margin = line[:column]
    return margin.lstrip(" >") + line[column:]


def _code_block(block: list[str], language: str) -> Iterator[str]:
    line = ticks("\n".join(block), 3)
    yield line + language
    yield from block
    yield line


def _escaped_line(line: str) -> str:
    underline = _UNDERLINE.match(line)
    if underline:
        # "---" or "===" below a line would make the line a heading. Write a rule or plain text
        # instead.
        return underline.group(1) + ("***" if underline.group(3) else "&#61;" * 3)
    heading = _HEADING.match(line)
    if heading:
        level = min(6, len(heading.group(2)) + _SMALLEST_OWN_HEADING)
        return heading.group(1) + "#" * level + _escaped_markdown(line[heading.end() :])
    return _escaped_markdown(line)


def _escaped_markdown(line: str) -> str:
    """Escape Markdown outside of code spans. Links become text, and addresses become code spans."""
    pairs = list(_spans(_each_text(_each_text(line, _LINK, _link_as_text), _ADDRESS, r"`\g<0>`")))
    # In a table, a "|" ends the cell, even in a code span.
    broken = any("|" in span for _, span in pairs)
    return "".join(
        _escaped_text(text) + (_escaped_text(span) if broken else span) for text, span in pairs
    )


def _each_text(
    line: str, pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]
) -> str:
    return "".join(pattern.sub(replacement, text) + span for text, span in _spans(line))


def _link_as_text(match: re.Match[str]) -> str:
    text, address = match.groups()
    if not address or text == address:
        return text or address
    return f"{text} (`{address}`)"


def _spans(line: str) -> Iterator[tuple[str, str]]:
    """Split a line into pairs (text, code span that follows the text).

    Backticks that open no code span become entities.
    """
    text, position = "", 0
    while run := _RUN.search(line, position):
        ticks = run.group(2)
        text += line[position : run.start()]
        closing = None if run.group(1) else _closing(line, run)
        if closing is None:
            text += "&#96;" * len(ticks)
            position = run.end()
        else:
            yield text, line[run.start() : closing]
            text, position = "", closing
    yield text + line[position:], ""


def _closing(line: str, run: re.Match[str]) -> int | None:
    ticks = run.group(2)
    match = re.compile(rf"(?<!`){ticks}(?!`)").search(line, run.end())
    return match.end() if match else None


def _escaped_text(text: str) -> str:
    text = re.sub(r"\\?<", "&lt;", text)
    for special, inert in _NEUTRAL.items():
        text = text.replace(special, inert)
    return unlinked(text)


UNKNOWN = "unknown"

JOB_WORDS = {
    JobStatus.COMPLETED: "Completed",
    JobStatus.PARTIAL: "Partial",
    JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Cancelled",
}


def duration(seconds: float | None) -> str:
    """Format a duration, such as ``1.2 s``, ``3 min 04 s``, or ``2 h 03 min 04 s``.

    Return "unknown" for None.
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 0.005:
        return "0 s"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min {remainder:02d} s"
    return f"{minutes} min {remainder:02d} s"


def size(count: float | None) -> str:
    """Format a number of bytes in decimal units, such as ``12.3 MB``; None: "unknown"."""
    if count is None:
        return UNKNOWN
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def number(count: float | None) -> str:
    return UNKNOWN if count is None else f"{count:,.0f}"


def dollars(amount: float | None) -> str:
    return UNKNOWN if amount is None else cost_text(amount)


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.0f} %"


def moment(at: float | None) -> str:
    """Format a Unix time in ISO 8601, in UTC, to the second. Return "unknown" for None."""
    if at is None:
        return UNKNOWN
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sum_of_known(total: Total, shown: str) -> str:
    """Return ``shown``, the text of the sum ``total``. Add a note if some values are unknown."""
    if total.value is None or not total.unknown:
        return shown
    worker_count = total.known + total.unknown
    return f"at least {shown} (fully known for {total.known:,} of {plural(worker_count, 'worker')})"


def job_word(status: JobStatus) -> str:
    return JOB_WORDS.get(status, status.value.capitalize())


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def full_stop(text: str) -> str:
    """Return a text with a full stop at its end, unless the text ends with another mark."""
    return text if text.endswith((".", "!", "?", "…", ":")) else f"{text}."
