"""Places where a test may end the process as a crash would: around every commit and rename.

Nothing happens at them unless something was armed, which only tests have done; see
``launchers.process.crash_injection`` for what is armed and how.
"""

from collections.abc import Callable

#: What is called with the name of each place that is reached.
_armed: Callable[[str], None] | None = None


def arm(action: Callable[[str], None] | None) -> None:
    """Have ``action`` called at every failpoint of this process; None: nothing any more."""
    global _armed
    _armed = action


def reached(name: str) -> None:
    if _armed is not None:
        _armed(name)
