"""Finds ignored files of the user's checkout, and makes git ignore the product's directories.

The only file that this module writes is ``info/exclude``, a file with ignore rules. Its rules hide
the product's directories, such as the workspace, from ``git status``.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.text.path_patterns import literal
from orchestrator.git.command.runner import Git, with_nul

_EXCLUDE_FILE = ("rev-parse", "--git-path", "info/exclude")


def exclude_from_checkout(git: Git, top: str, common: Path, directory: str) -> bool:
    """Make git ignore a directory of the checkout, by a line in ``info/exclude``. Idempotent.

    Return True if a line was added. Does nothing if git already ignores the directory, or if the
    directory is outside of the checkout.
    """
    relative = os.path.relpath(directory, top)
    if relative.startswith(".."):
        return False
    if ignored(git, [f"{relative}/x"]):
        return False
    line = f"/{literal(relative)}/\n".encode("utf-8", "surrogateescape")
    path = common / "info" / "exclude"
    path.parent.mkdir(exist_ok=True)
    rules = path.read_bytes() if path.exists() else b""
    if line in rules.splitlines(keepends=True):
        return False
    with path.open("ab") as file:
        file.write((b"" if not rules or rules.endswith(b"\n") else b"\n") + line)
    return True


def exclude_line(directory: str, top: str) -> str:
    """Return the line for ``info/exclude`` that makes git ignore a directory of a checkout.

    ``top``: the checkout. Return "" if the directory is outside of the checkout, or is the
    checkout.
    """
    relative = os.path.relpath(directory, top)
    return "" if relative.split(os.sep)[0] in (os.curdir, os.pardir) else f"/{literal(relative)}/"


def exclude_command(directory: Path) -> str:
    """Return a shell command that makes git ignore a directory; "" if no command is necessary.

    Raise RepositoryError if git fails, and OSError if the disk is full.
    """
    git = Git(str(directory.absolute().parent), {})
    top, file = git.ask("rev-parse", "--show-toplevel"), git.ask(*_EXCLUDE_FILE)
    target = str(directory.resolve())
    line = exclude_line(target, top) if top else ""
    if not line or ignored(Git(top, {}), [f"{os.path.relpath(target, top)}/x"]):
        return ""
    path = os.path.relpath(os.path.join(git.directory, file))
    return f"echo {shlex.quote(line)} >> {shlex.quote(path)}"


def ignored(git: Git, paths: Sequence[str]) -> list[str]:
    """Return the paths in ``paths`` that are untracked and ignored.

    A directory in ``paths`` must end with a slash.
    """
    if not paths:
        return []
    # The command has no option for literal paths. After "./", a colon at the beginning of a path is
    # literal.
    literal_paths = with_nul(f"./{path}" for path in paths)
    command = ("--no-literal-pathspecs", "check-ignore", "-z", "--stdin")
    fields = git.run(*command, stdin=literal_paths, accept=(0, 1)).fields
    return [path.removeprefix("./") for path in fields]


def exclude(directory: Path) -> bool:
    """Make git ignore a directory, by a line in its repository's ``info/exclude``. Idempotent.

    Return True if a line was added. Does nothing if git already ignores the directory. Linked
    worktrees share the file. Raise RepositoryError if git fails, and OSError if the file cannot be
    written.
    """
    git = Git(str(directory.parent), {})
    top, common = git.ask("rev-parse", "--show-toplevel"), git.ask("rev-parse", "--git-common-dir")
    if not top or not common:
        return False
    return exclude_from_checkout(
        Git(top, {}), top, directory.parent / common, str(directory.resolve())
    )


def tracked_below(directory: Path) -> str:
    """Return the first file in ``directory`` that its repository tracks; "" without such a file.

    Raise RepositoryError if git fails.
    """
    git = Git(str(directory.parent), {})
    if not git.ask("rev-parse", "--show-toplevel"):
        return ""
    return next(iter(git.run("ls-files", "-z", "--", str(directory.resolve())).fields), "")
