"""The tools as clients are told of them, from a file: nothing heavy is loaded for it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("tools.json")


@cache
def definitions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    return found
