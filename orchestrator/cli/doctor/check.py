"""One check of ``doctor``."""

import shlex
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    name: str
    #: True: the check passed; False: it found a problem; None: it has a note.
    ok: bool | None
    message: str
    #: How to fix it; never empty if ``ok`` is False.
    fix: str = ""


def quoted(path: Path) -> str:
    return shlex.quote(str(path))
