"""Two umasks: one for the product's private files, and one for files in the user's checkout.

In the checkout, the user's own umask applies. The umask of a process decides who may read the files
that the process creates.
"""

import os

#: Only the owner may read and write.
PRIVATE = 0o077
#: The umask before ``make_private``; empty if ``make_private`` was not called.
_former: list[int] = []


def make_private() -> None:
    """Set this process's umask, so that only its user can read the new files. Idempotent."""
    former = os.umask(PRIVATE)
    if not _former:
        _former.append(former)


def users_umask() -> int | None:
    """Return the umask for files in the user's checkout; None if ``make_private`` was not called.

    Without this call, the umask of the process is the user's own.
    """
    return _former[0] if _former else None
