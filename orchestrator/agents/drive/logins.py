"""Logins of the user that work in spite of a tool's isolated configuration.

The tool gets a link to the file, so that a token that it renews is renewed for the user, too. Some
tools renew by putting a new file in place of the link: that one is brought back afterwards.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.agents.tools.call import Login

_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Linked:
    login: Login
    #: Of the user's file when the tool began.
    changed_ns: int


def link(logins: Sequence[Login]) -> list[Linked]:
    """Put links where the tool looks. What is not there is left out."""
    made = []
    for login in logins:
        with contextlib.suppress(OSError):
            status = login.source.stat()
            login.target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # of a directory that attempts share
                login.target.symlink_to(login.source)
            made.append(Linked(login, status.st_mtime_ns))
    return made


def bring_back(linked: Sequence[Linked]) -> None:
    """Renewed logins replace the user's own, unless somebody else changed those meanwhile."""
    for each in linked:
        with contextlib.suppress(OSError):
            if _is_renewed(each.login):
                _replace(each)


def _is_renewed(login: Login) -> bool:
    target = login.target
    return not target.is_symlink() and 0 < target.stat().st_size < _LARGEST_BYTES


def _replace(each: Linked) -> None:
    source = each.login.source.resolve()
    if source.stat().st_mtime_ns != each.changed_ns:
        return
    content = each.login.target.read_bytes()
    temporary = source.with_name(f".{source.name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(source)
