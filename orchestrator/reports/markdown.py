"""How text that is not ours is put into Markdown: every such string goes through one of these.

``fence`` and ``code`` show it as it is; ``cell`` and ``inline`` show it as text within a line;
``document`` (in ``document.py``) keeps a worker's own Markdown readable.
"""

import re
import shlex
from urllib.parse import quote

from orchestrator.reports.plain import one_line, plain

_SPECIAL = re.compile(r"[\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_])")
_BY_NAME = {"<": "&lt;", "|": "&#124;", "\\": "&#92;"}
_LINK_START = re.compile(r"(?i)\b(www|mailto|xmpp)([.:])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
#: What starts a heading, list, quote, rule or underline when it is the first in a line.
_BLOCK_START = re.compile(r"^(?:[#>+=:-]|\d+(?=[.)]))")


def longest_run(text: str, character: str) -> int:
    return max((len(run) for run in re.findall(re.escape(character) + "+", text)), default=0)


def fence(text: str, language: str = "text") -> str:
    """A code block that no line of the text can end."""
    content = plain(text).strip("\n")
    ticks = "`" * max(3, longest_run(content, "`") + 1)
    return f"{ticks}{language}\n{content}\n{ticks}"


def code(text: str, limit: int = 400) -> str:
    """A code span; not for tables, where a ``|`` would end the cell."""
    content = one_line(text, limit) or " "
    ticks = "`" * (longest_run(content, "`") + 1)
    pad = " " if "`" in (content[0], content[-1]) else ""
    return f"{ticks}{pad}{content}{pad}{ticks}"


def inline(text: str, limit: int = 400) -> str:
    """One line of inert text, at whatever place in a line."""
    return _BLOCK_START.sub(_escaped_start, cell(text, limit))


def cell(text: str, limit: int = 160) -> str:
    """One line of inert text that stays in its table cell."""
    line = _ENTITY.sub("&amp;", one_line(text, limit))
    return unlinked(_SPECIAL.sub(_escaped, line))


def unlinked(line: str) -> str:
    """Text that no renderer turns into a link or a mention by itself."""
    line = line.replace("://", ":&#47;&#47;").replace("@", "&#64;")
    return _LINK_START.sub(lambda found: found.group(1) + f"&#{ord(found.group(2))};", line)


def href(path: str) -> str:
    """A relative path as the target of a link."""
    return quote(path, safe="/._-")


def shell(*words: str) -> str:
    """The words as one line that can be pasted into a shell."""
    return shlex.join(words)


def _escaped(found: re.Match[str]) -> str:
    """With a backslash, which reads better in the source, where that is safe in a table too."""
    character = found.group()
    return _BY_NAME.get(character, "\\" + character)


def _escaped_start(found: re.Match[str]) -> str:
    start = found.group()
    return f"&#{ord(start[0])};{start[1:]}"
