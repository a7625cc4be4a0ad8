"""The tools ``read``, ``write``, and ``edit``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.model_loop.tools import allowed_paths
from orchestrator.agents.model_loop.tools.allowed_paths import AllowedPaths
from orchestrator.agents.model_loop.tools.tool import Tool, Unusable, number_argument, text_argument
from orchestrator.core.text.formatting import plural

#: Maximum size of a file; larger files are not source code.
_MAX_BYTES = 10 * 1024 * 1024
_LINES = 2000
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 1}


def reading(paths: AllowedPaths) -> Tool:
    def use(arguments: Mapping[str, Any]) -> str:
        text = _text(paths.find(text_argument(arguments, "path")))
        first = max(1, int(number_argument(arguments, "first_line", 1)))
        count = int(number_argument(arguments, "lines", _LINES))
        lines = text.splitlines(keepends=True)
        part = "".join(lines[first - 1 : first - 1 + count])
        remaining = len(lines) - (first - 1 + count)
        note = f"\n[{remaining} more lines, from line {first + count}]" if remaining > 0 else ""
        return part + note or "[empty]"

    return Tool(
        name="read",
        description=f"Read a text file, or a part of it; {_LINES} lines by default.",
        properties={"path": _TEXT, "first_line": _COUNT, "lines": _COUNT},
        required=("path",),
        use=use,
    )


def writing(paths: AllowedPaths) -> Tool:
    def use(arguments: Mapping[str, Any]) -> str:
        path = paths.to_change(text_argument(arguments, "path"))
        content = text_argument(arguments, "content").encode()
        allowed_paths.replace_content(path, content)
        return f"wrote {len(content)} bytes to {paths.shown(path)}"

    return Tool(
        name="write",
        description="Write a whole text file; its directories are created.",
        properties={"path": _TEXT, "content": _TEXT},
        required=("path", "content"),
        use=use,
    )


def editing(paths: AllowedPaths) -> Tool:
    def use(arguments: Mapping[str, Any]) -> str:
        path = paths.to_change(text_argument(arguments, "path"))
        old, new = text_argument(arguments, "old_text"), text_argument(arguments, "new_text")
        text = _text(path)
        count = _occurrences(text, old, every=arguments.get("replace_all") is True)
        allowed_paths.replace_content(path, text.replace(old, new).encode())
        times = plural(count, "time")
        return f"replaced the text {times} in {paths.shown(path)}"

    return Tool(
        name="edit",
        description="Replace a text that occurs exactly once in a file.",
        properties={
            "path": _TEXT,
            "old_text": _TEXT,
            "new_text": _TEXT,
            "replace_all": {"type": "boolean", "description": "all occurrences"},
        },
        required=("path", "old_text", "new_text"),
        use=use,
    )


def _occurrences(text: str, old: str, *, every: bool) -> int:
    count = text.count(old) if old else 0
    if not count:
        raise Unusable("old_text is not in the file; read the file, and use its exact text")
    if count > 1 and not every:
        raise Unusable(f"old_text occurs {count} times; use a longer text, or replace_all")
    return count


def _text(path: Path) -> str:
    with os.fdopen(allowed_paths.open_to_read(path), "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise Unusable(f"{path.name} is larger than {_MAX_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable(f"{path.name} is not UTF-8 text ({len(content)} bytes)") from None
