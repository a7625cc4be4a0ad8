"""Failpoints: places where a test can make the process exit as in a crash.

A failpoint has no effect until a test arms it; see ``launchers.process.crash_injection``.
"""

from collections.abc import Callable

#: Called with the name of each failpoint that is reached.
_armed: Callable[[str], None] | None = None


def arm(action: Callable[[str], None] | None) -> None:
    """Call ``action`` at every failpoint of this process; None disarms all failpoints."""
    global _armed
    _armed = action


def reached(name: str) -> None:
    """Mark a failpoint: call the armed action with the failpoint's name, if there is one."""
    if _armed is not None:
        _armed(name)
