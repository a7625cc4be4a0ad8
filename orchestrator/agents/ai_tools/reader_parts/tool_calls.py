"""Tool calls of an agent's program: the files that a call writes, and the log line of a call."""

from collections.abc import Mapping

from orchestrator.core.text import json_values
from orchestrator.core.text.formatting import cut, one_line
from orchestrator.core.text.json_values import parsed, text

LINE_CHARS = 200


def log_line(words: str, limit: int = LINE_CHARS) -> str:
    line = one_line(words[: 4 * limit])
    return cut("".join(char if char.isprintable() else "?" for char in line), limit)


def plain_error(words: str) -> str:
    """Return the message of an API error that ``words`` contains as JSON, otherwise ``words``."""
    start, end = words.find("{"), words.rfind("}")
    inner = parsed(words[start : end + 1]) if 0 <= start < end else None
    return text(inner, "error", "message") or words


#: Arguments that best describe a tool call in one line, the best first.
_TELLING = ("command", "file_path", "filePath", "path", "pattern", "query", "url", "prompt", "task")


def summary(arguments: object) -> str:
    if not isinstance(arguments, Mapping):
        return log_line(text(arguments))
    values = (text(arguments, key) for key in (*_TELLING, *map(str, arguments)))
    return log_line(next(filter(None, values), ""))


#: Names of the tools that write a file, of all agents. A call's arguments contain the file's path.
_TOOLS = frozenset(
    ("write", "edit", "multiedit", "notebookedit", "write_file", "replace", "apply_patch", "patch")
)
_NAMES = ("file_path", "filePath", "notebook_path", "path")


def written_paths(tool: str, arguments: object) -> tuple[str, ...]:
    """Return the path that a tool call writes, as in the arguments; () if there is none."""
    if tool.lower() not in _TOOLS:
        return ()
    return tuple(filter(None, (json_values.text(arguments, name) for name in _NAMES)))[:1]
