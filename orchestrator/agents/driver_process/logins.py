"""Gives the user's logins to a tool that has its own configuration.

The tool gets a link to the user's login file, so that a renewed token reaches this file. Some tools
replace the link by a new file. This module then soon copies the new file to the user's file,
because other workers use the same login. After a crash, the next attempt copies the new file.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.agents.ai_tools.invocation.call import AgentLogin
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.files.atomic_write import replace_file

_LARGEST_BYTES = 1 << 20


@dataclass(slots=True)
class LinkedLogin:
    login: AgentLogin
    #: Modification time (ns) of the user's file, as last seen by the tool. If the file has another
    #: time, another process has changed it.
    source_ns: int
    #: (modification time in ns, inode) of the file that last replaced the link.
    seen: tuple[int, int] = (0, 0)


def link(logins: Sequence[AgentLogin]) -> list[LinkedLogin]:
    """Create links to the user's login files, and return the linked logins.

    Each link is at the path where the tool reads the login. Missing logins are skipped.
    """
    linked = []
    for login in logins:
        with contextlib.suppress(OSError):
            # The tool of a killed attempt may have replaced the link by a renewed login.
            _recover_one(login.target, login.source)
            status = login.source.stat()
            login.target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put_link(login)
            linked.append(LinkedLogin(login, status.st_mtime_ns))
    return linked


def recover(logins: Iterable[AgentLogin], control: Path, earlier: Iterable[Path]) -> None:
    """Copy renewed logins of killed attempts to the user's login files.

    ``control``: this attempt's control directory. ``earlier``: the control directories of the
    worker's earlier attempts.
    """
    attempt_logins = [each for each in logins if each.target.is_relative_to(control)]
    for directory in earlier:
        for login in attempt_logins:
            target = directory / login.target.relative_to(control)
            with contextlib.suppress(OSError):
                _recover_one(target, login.source)
                _remove_copy(AgentLogin(source=login.source, target=target))


def copy_renewed(linked: Iterable[LinkedLogin]) -> None:
    """Copy renewed logins to the user's login files.

    A user's file that another process has changed is not replaced. Never raises OSError.
    Idempotent.
    """
    for each in linked:
        with contextlib.suppress(OSError):
            _copy_renewed_one(each)


def finish(linked: Sequence[LinkedLogin]) -> None:
    """Copy renewed logins to the user's login files, and restore the links. Never raises OSError.

    A tool may have replaced a link by a new file. The link is restored only if the user's file has
    the same content as the new file. Otherwise, the new file stays, so that its login is not lost.
    """
    copy_renewed(linked)
    for each in linked:
        with contextlib.suppress(OSError):
            _remove_copy(each.login)


def _remove_copy(login: AgentLogin) -> None:
    is_file = stat.S_ISREG(login.target.lstat().st_mode)
    if is_file and login.target.read_bytes() == login.source.read_bytes():
        _put_link(login)


def _copy_renewed_one(linked: LinkedLogin) -> None:
    login = linked.login
    status = login.target.lstat()
    if not stat.S_ISREG(status.st_mode):
        # The link is intact, so the tool uses the user's current file.
        linked.source_ns = login.source.stat().st_mtime_ns
        return
    if linked.seen == (status.st_mtime_ns, status.st_ino):
        return
    content = _complete_content(login.target)
    if content is None:
        return
    if login.source.stat().st_mtime_ns == linked.source_ns:
        replace_file(login.source.resolve(), content)
        linked.source_ns = login.source.stat().st_mtime_ns
    linked.seen = (status.st_mtime_ns, status.st_ino)


def _recover_one(target: Path, source: Path) -> None:
    status = target.lstat() if os.path.lexists(target) else None
    if status is None or not stat.S_ISREG(status.st_mode):
        return
    if (
        status.st_mtime_ns > source.stat().st_mtime_ns
        and (content := _complete_content(target)) is not None
    ):
        replace_file(source.resolve(), content)


def _complete_content(path: Path) -> bytes | None:
    """Return a login file's content; None if it is not valid JSON, such as a half-written file."""
    content = path.read_bytes() if 0 < path.stat().st_size < _LARGEST_BYTES else b""
    with contextlib.suppress(ValueError, RecursionError):
        return content if json.loads(content) else None
    return None


def _put_link(login: AgentLogin) -> None:
    # Replace the link atomically, because another attempt may read it in a shared directory.
    temporary = login.target.with_name(f".{login.target.name}.{os.getpid()}.link")
    temporary.symlink_to(login.source)
    temporary.replace(login.target)
