"""The list of tools for clients, from a file, so that no heavy module is loaded."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tools.json")


@cache
def definitions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return found
