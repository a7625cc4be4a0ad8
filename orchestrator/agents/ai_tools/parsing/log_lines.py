"""Actions and failures of an agent's program, each as one line for a log."""

from collections.abc import Mapping

from orchestrator.core.text.formatting import cut, one_line
from orchestrator.core.text.json_values import parsed, text

LINE_CHARS = 200


def log_line(words: str, limit: int = LINE_CHARS) -> str:
    """Return text for a log: no line breaks or control characters, at most ``limit`` characters."""
    line = one_line(words[: 4 * limit])
    return cut("".join(char if char.isprintable() else "?" for char in line), limit)


def plain_error(words: str) -> str:
    """Return the message inside an API error in JSON."""
    start, end = words.find("{"), words.rfind("}")
    inner = parsed(words[start : end + 1]) if 0 <= start < end else None
    return text(inner, "error", "message") or words


#: Arguments that describe the use of a tool, the best first.
_TELLING = ("command", "file_path", "filePath", "path", "pattern", "query", "url", "prompt", "task")


def summary(arguments: object) -> str:
    """Return the arguments of a tool's use, in one line."""
    if not isinstance(arguments, Mapping):
        return log_line(text(arguments))
    told = (text(arguments, key) for key in (*_TELLING, *map(str, arguments)))
    return log_line(next(filter(None, told), ""))
