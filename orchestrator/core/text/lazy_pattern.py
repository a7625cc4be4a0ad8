"""Regular expressions that are compiled at their first use, for a faster start."""

import re
from typing import Any, AnyStr, cast


class _LazyPattern:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._given: Any = pattern, flags

    def __getattr__(self, name: str) -> Any:
        method = getattr(re.compile(*self._given), name)
        # Store the method as an attribute, so that the next access does not call ``__getattr__``.
        setattr(self, name, method)
        return method


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern that is compiled at its first use.

    Call the pattern's own methods, such as ``sub``. Functions such as ``re.sub`` do not accept the
    returned object.
    """
    return cast(re.Pattern[AnyStr], _LazyPattern(pattern, flags))
