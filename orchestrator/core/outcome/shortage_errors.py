"""Recognizes errors that a full disk, or another shortage of the machine, caused.

Shims import this module, so it imports very little.
"""

import errno

#: Prefix of the error if a full disk or another shortage prevented the start of an attempt.
NO_ROOM = "not started: the machine lacks a resource"
#: Errors of a start that are not the program's fault: the disk is full, or no process or thread is
#: available.
STARTS_LATER = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EAGAIN})
_SHORTAGES = STARTS_LATER | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full_disk(error: BaseException | None) -> bool:
    return _has_errno(error, _FULL)


def is_shortage(error: BaseException | None) -> bool:
    """True if a full disk or another shortage caused the error. A retry may then succeed."""
    return _has_errno(error, _SHORTAGES)


def _has_errno(error: BaseException | None, numbers: frozenset[int]) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in numbers:
            return True
        error = error.__cause__
    return False
