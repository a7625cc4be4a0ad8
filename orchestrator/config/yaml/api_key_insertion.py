"""Inserts the API key into the text of ``config.yaml``."""

import re
from collections.abc import Iterator

from orchestrator.config.yaml.key_paths import FILE_NAME
from orchestrator.config.yaml.yaml_text import Position, read_yaml

#: Values of ``api_key`` that mean "no key yet".
PLACEHOLDERS = (None, "", "...")
PLACEHOLDER = re.compile(r"""["']?api_key["']?\s*:[ ]*("(\.\.\.)?"|'(\.\.\.)?'|\.\.\.|null|~)?""")


def with_key(text: str, key: str) -> str:
    """Return ``text``, the content of ``config.yaml``, with the API key added.

    All other values are unchanged. Raise ValueError if no insertion leaves them unchanged.
    """
    for edited in _edits(text, f'api_key: "{key}"'):
        if _differs_only_by_key(text, edited, key):
            return edited
    raise ValueError(
        f"{FILE_NAME}: the key cannot be added automatically; add these two lines:\n"
        f'api:\n  api_key: "{key}"'
    )


def lacks_key(text: str) -> bool:
    """True if ``text``, the content of ``config.yaml``, has no API key.

    Raise ValueError if the text is invalid.
    """
    document = read_yaml(text)
    if document.faults:
        position, reason = document.faults[0]
        raise ValueError(f"{FILE_NAME}:{position.line}:{position.column}: {reason}")
    return _api_section(document.value).get("api_key") in PLACEHOLDERS


def _api_section(value: object) -> dict[str, object]:
    api = value.get("api") if isinstance(value, dict) else None
    return api if isinstance(api, dict) else {}


def _edits(text: str, entry: str) -> Iterator[str]:
    """Yield copies of ``text`` with ``entry`` inserted, each at another position; the best first.

    ``entry``: the line with the key. A copy may be invalid YAML, so the caller must check each
    copy.
    """
    positions = read_yaml(text).positions
    first_position = next(
        (position for path, position in positions.items() if path[:-1] == ("api",)), None
    )
    if ("api", "api_key") in positions:
        start = _offset(text, positions["api", "api_key"])
        yield text[:start] + PLACEHOLDER.sub(entry, text[start:], count=1)
    elif first_position:
        start = _offset(text, first_position)
        yield text[:start] + entry + "\n" + " " * (first_position.column - 1) + text[start:]
        yield text[:start] + entry + ", " + text[start:]
    elif ("api",) in positions:
        start = _offset(text, positions["api",])
        end = (text + "\n").index("\n", start)
        yield text[:end] + "\n  " + entry + text[end:]
        yield text[:start] + "api:\n  " + entry + text[end:]
    else:
        yield text + ("" if text.endswith("\n") else "\n") + f"api:\n  {entry}\n"


def _offset(text: str, position: Position) -> int:
    lines = text.split("\n")[: position.line - 1]
    return sum(len(line) + 1 for line in lines) + position.column - 1


def _differs_only_by_key(text: str, edited: str, key: str) -> bool:
    before, after = read_yaml(text), read_yaml(edited)
    if after.faults or _api_section(after.value).get("api_key") != key:
        return False
    return _without_key(before.value) == _without_key(after.value)


def _without_key(value: object) -> dict[str, object]:
    sections = dict(value) if isinstance(value, dict) else {}
    api = {name: setting for name, setting in _api_section(value).items() if name != "api_key"}
    return {**sections, "api": api}
