"""Reads state files in JSON. A damaged file is treated as missing."""

from pathlib import Path
from typing import Any

from orchestrator.core.text.json_values import value_in
from orchestrator.security.files.untrusted_files import read_regular


def read_object(
    path: Path | str, most_bytes: int, within: Path | str | None = None
) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if the file contains anything else. Never raises.

    The result is also None if ``open_plain`` cannot open the file, or if the file is larger than
    ``most_bytes``.
    """
    value = _value(path, most_bytes, within)
    return value if isinstance(value, dict) else None


def read_list(
    path: Path | str, most_bytes: int, within: Path | str | None = None
) -> list[Any] | None:
    """Return the JSON list in a file; None in the same cases as ``read_object``."""
    value = _value(path, most_bytes, within)
    return value if isinstance(value, list) else None


def _value(path: Path | str, most_bytes: int, within: Path | str | None) -> object:
    content = read_regular(path, most_bytes + 1, within)
    return None if content is None or len(content) > most_bytes else value_in(content)
