"""The list of tools for clients, from a file, so that no heavy module is loaded."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tools.json")
#: Marks a tool that workers may not call.
FOR_PEOPLE = {"orchestrator/callers": "people"}


@cache
def definitions(*, for_worker: bool = False) -> list[dict[str, Any]]:
    """Return the tools; ``for_worker``: without those that only people may call."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return [each for each in found if not for_worker or each.get("_meta") != FOR_PEOPLE]
