"""Regular expressions that are compiled when they are first used.

Compiling them at the server's start would make the start 1 % longer.
"""

import re
from typing import Any


class _LatePattern:
    def __init__(self, text: str, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self._text, self._flags), name)
        # The next use finds the method of the compiled expression here.
        setattr(self, name, value)
        return value


def late_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return an object with the methods of ``re.compile(text, flags)``.

    Functions such as ``re.sub`` do not accept it as a pattern.
    """
    pattern: Any = _LatePattern(text, flags)
    return pattern  # type: ignore[no-any-return]
