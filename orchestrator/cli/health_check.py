"""One thing that ``doctor`` looks at."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    name: str
    #: None: nothing is wrong, but it is worth knowing.
    ok: bool | None
    message: str
    #: How to mend it; never empty when ``ok`` is False.
    fix: str = ""
