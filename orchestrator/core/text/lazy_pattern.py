"""Regular expressions that are compiled at their first use, because most commands use none."""

import re
from typing import Any, cast


class _LazyPattern:
    def __init__(self, pattern: str, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._given), name)
        # The next access finds the attribute without this method.
        setattr(self, name, found)
        return found


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return an object with the methods of a compiled pattern."""
    return cast(re.Pattern[str], _LazyPattern(pattern, flags))
