"""Reads ``tools.generated.json``, the list of tools for clients. Loads no heavy module.

``tool_table`` has the source of the list, and generates the file.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tools.generated.json")
#: Marks a tool that only keys with the scope admin may call.
FOR_PEOPLE = {"orchestrator/callers": "people"}


@cache
def definitions(*, for_admin: bool) -> list[dict[str, Any]]:
    """Return the tools. ``for_admin`` adds the tools that need the scope admin."""
    tools: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return [each for each in tools if for_admin or each.get("_meta") != FOR_PEOPLE]
