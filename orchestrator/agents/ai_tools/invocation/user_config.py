"""Reads the user's own configuration of a tool. A missing or invalid file counts as empty."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_LARGEST_BYTES = 32 * 1024 * 1024


def json_object(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def toml_table(path: Path) -> Mapping[str, Any]:
    # Imported here, because only Codex needs this module, which loads slowly.
    import tomllib

    try:
        return tomllib.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        return {}


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"{path} is larger than {_LARGEST_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def select_keys(mapping: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}
