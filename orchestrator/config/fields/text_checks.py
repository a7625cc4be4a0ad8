"""Checks of the text in a setting."""

import re

SIZE_PATTERN = r"^[1-9][0-9]{0,18}(\.[0-9]{1,18})?([KMGT](i?B)?|B)?$"
_POWERS = {"K": 10, "M": 20, "G": 30, "T": 40}


def without_nul(value: str) -> str:
    """Reject text that no path, argument, or variable can contain."""
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def upper_case(value: object) -> object:
    """Accept ``info`` for ``INFO``."""
    return value.upper() if isinstance(value, str) else value


def empty_for_null(value: object) -> object:
    """Accept an empty ``api_key:`` as a key that is not set yet."""
    return "" if value is None else value


def bytes_of(value: object) -> object:
    """Convert ``512M``, ``512MiB``, and ``512MB`` to bytes (unit: 1024)."""
    if not isinstance(value, str) or not re.fullmatch(SIZE_PATTERN, value):
        return value
    digits = re.match(r"[0-9.]+", value)
    assert digits is not None
    unit = value[digits.end() :][:1]
    return int(float(digits[0]) * (1 << _POWERS.get(unit, 0)))
