"""The tools ``list`` and ``search``."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.agents.model_loop.tools import search_process
from orchestrator.agents.model_loop.tools.allowed_paths import AllowedPaths
from orchestrator.agents.model_loop.tools.tool import Tool, Unusable, text_argument

_MAX_ENTRIES = 1000
_SEARCH_SECONDS = 30.0
_TEXT = {"type": "string"}


def listing(paths: AllowedPaths) -> Tool:
    def use(arguments: Mapping[str, Any]) -> str:
        path = paths.find(text_argument(arguments, "path", "."))
        entries = sorted(f"{each.name}{_type_mark(each)}" for each in path.iterdir())
        omitted = len(entries) - _MAX_ENTRIES
        shown = [*entries[:_MAX_ENTRIES], *([f"[{omitted} more]"] if omitted > 0 else [])]
        return "\n".join(shown) or "[empty]"

    return Tool(
        name="list",
        description="List a directory; the names of directories end with a slash.",
        properties={"path": _TEXT},
        required=(),
        use=use,
    )


def _type_mark(path: Path) -> str:
    if path.is_symlink():
        return "@"
    return "/" if path.is_dir() else ""


def searching(paths: AllowedPaths) -> Tool:
    def use(arguments: Mapping[str, Any]) -> str:
        path = paths.find(text_argument(arguments, "path", "."))
        if not path.exists():
            raise Unusable(f"{path.name} does not exist")
        request = {
            "pattern": text_argument(arguments, "pattern"),
            "files": text_argument(arguments, "files", "*"),
            "path": str(path),
            "root": str(paths.root),
        }
        return _in_another_process(request)

    return Tool(
        name="search",
        description="Find the lines of files that match a regular expression in Python's syntax.",
        properties={
            "pattern": _TEXT,
            "path": {
                "type": "string",
                "description": "a file or directory; default: the working directory",
            },
            "files": {"type": "string", "description": "names of files to search, such as *.py"},
        },
        required=("pattern",),
        use=use,
        main="pattern",
    )


def _in_another_process(request: Mapping[str, str]) -> str:
    # Some regular expressions take forever to match. A separate process can then be killed; a
    # thread cannot.
    try:
        completed = subprocess.run(
            (sys.executable, "-I", search_process.__file__),
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=_SEARCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unusable(f"the search took more than {_SEARCH_SECONDS:g} s") from None
    if completed.returncode:
        raise Unusable(completed.stderr.decode("utf-8", "replace").strip()[-500:])
    return completed.stdout.decode("utf-8", "replace") or "[nothing found]"
