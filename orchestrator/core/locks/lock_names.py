"""Names of locks: a path of the host project, or any other word. A name covers itself and
everything below it.
"""

from collections.abc import Sequence
from itertools import takewhile
from unicodedata import normalize

#: The lock of the whole project, which includes every other name.
EVERYTHING = "."
LONGEST_NAME = 500
#: Maximum number of names in one task's claims, or in one call.
MOST_NAMES = 100


def lock_name(text: str) -> str:
    """Return the canonical spelling of a lock name: ``./src//api/`` becomes ``src/api``.

    A pattern becomes its directory: ``src/**/*.py`` becomes ``src``, because two different
    patterns may match the same file. Raise ValueError with the cause if the name is invalid.
    """
    if not 0 < len(text) <= LONGEST_NAME:
        raise ValueError(f"invalid lock name: use 1 to {LONGEST_NAME} characters")
    if not text.isprintable():
        raise ValueError("invalid lock name: remove control characters and line breaks")
    parts = normalize("NFC", text.strip()).split("/")
    if not any(parts) or not parts[0]:
        raise ValueError("invalid lock name: use a word, or a path relative to the project")
    if ".." in parts:
        raise ValueError("invalid lock name: remove '..' from the path")
    whole = takewhile(lambda part: "*" not in part, parts)
    return "/".join(part for part in whole if part not in ("", ".")) or EVERYTHING


def names_above(name: str) -> Sequence[str]:
    """Return the names above, from the root down to the parent; none for the root."""
    if name == EVERYTHING:
        return ()
    parts = name.split("/")
    return (EVERYTHING, *("/".join(parts[:end]) for end in range(1, len(parts))))


def overlap(one: str, other: str) -> bool:
    """True if one name is equal to, or below, the other."""
    return one == other or one in names_above(other) or other in names_above(one)
