"""The result of one check of ``doctor``."""

import shlex
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    name: str
    #: True: the check passed. False: the check found a problem. None: the check has a note only.
    ok: bool | None
    message: str
    #: How to fix the problem; never empty if ``ok`` is False.
    fix: str = ""


def quoted(path: Path) -> str:
    return shlex.quote(str(path))
