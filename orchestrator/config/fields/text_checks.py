"""Checks of the text in a setting."""

import re

SIZE_PATTERN = r"^[1-9][0-9]{0,18}(\.[0-9]{1,18})?([KMGT](i?B)?|B)?$"
_POWERS = {"K": 10, "M": 20, "G": 30, "T": 40}


def without_nul(value: str) -> str:
    """Refuse text that no path, argument or variable can hold."""
    if "\0" in value:
        raise ValueError("should not contain a NUL character")
    return value


def upper_case(value: object) -> object:
    """Let ``info`` stand for ``INFO``."""
    return value.upper() if isinstance(value, str) else value


def empty_for_null(value: object) -> object:
    """Let ``api_key:`` with nothing behind it be a key that is yet to come."""
    return "" if value is None else value


def bytes_of(value: object) -> object:
    """Let ``512M``, ``512MiB`` and ``512MB`` stand for as many bytes, counted by 1024."""
    if not isinstance(value, str) or not re.fullmatch(SIZE_PATTERN, value):
        return value
    digits = re.match(r"[0-9.]+", value)
    assert digits is not None
    unit = value[digits.end() :][:1]
    return int(float(digits[0]) * (1 << _POWERS.get(unit, 0)))
