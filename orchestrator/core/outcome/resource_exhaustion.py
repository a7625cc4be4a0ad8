"""What a machine runs out of, and may have again. Shims import this: it imports next to nothing."""

import errno

#: How the error of an attempt begins that a full disk, or the like, kept from being started.
NO_ROOM = "there was no room to start it"
#: A full disk, or no process or thread to be had: whatever the program is, it is not its fault.
STARTS_LATER = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EAGAIN})
_SHORTAGES = STARTS_LATER | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full_disk(error: BaseException | None) -> bool:
    """Whether it comes from a full disk, or from a quota on it."""
    return _any(error, _FULL)


def is_shortage(error: BaseException | None) -> bool:
    """Whether it comes from a full disk or the like: the same may work later."""
    return _any(error, _SHORTAGES)


def _any(error: BaseException | None, numbers: frozenset[int]) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in numbers:
            return True
        error = error.__cause__
    return False
