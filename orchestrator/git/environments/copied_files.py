"""Puts ignored files that a build needs into worktrees.

The files are copied or linked from the user's checkout, or copied from the parent worker's
worktree.
"""

import errno
import glob
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import BinaryIO

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.checkout.exclude_rules import ignored
from orchestrator.git.command.runner import Git
from orchestrator.git.commits.held_back_files import NOTHING, NeverCommit
from orchestrator.security.files.untrusted_files import open_log, open_plain, read_regular

logger = logging.getLogger(__name__)

#: Maximum size of scripts and lists of paths, in bytes. A larger file counts as a binary program.
_MOST_BYTES = 1 << 20
_NAMES = ("bin/*", *(f"lib*/python*/site-packages/{each}" for each in ("*.pth", "*.egg-link")))
_EDITABLE = "lib*/python*/site-packages/__editable__*"


def relocate(directory: str, before: str, after: str) -> None:
    """Replace paths below ``before`` with paths below ``after`` in a copied Python environment.

    With the old paths, the scripts of the copy would use the user's environment, and install
    packages there.
    """
    if os.path.islink(directory) or not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        return
    if any(os.path.islink(each.path) for each in os.scandir(directory) if each.name == "bin"):
        return
    path = re.compile(re.escape(os.fsencode(before)) + rb"(?=[/\n\r'\":;]|$)")
    for name in _files_with_paths(directory):
        with open(name, "r+b") as file:
            text = file.read()
            changed = path.sub(lambda _: os.fsencode(after), text)
            if changed != text and b"\0" not in text:
                file.seek(0)
                file.write(changed)
                file.truncate()


def _files_with_paths(directory: str) -> Iterator[str]:
    for pattern in (*_NAMES, _EDITABLE):
        for name in glob.glob(f"{glob.escape(directory)}/{pattern}"):
            regular = os.path.isfile(name) and not os.path.islink(name)
            if regular and os.path.getsize(name) <= _MOST_BYTES:
                yield name


#: Name of the file that lists copied files, which do not count as the worker's work. The file is in
#: the worktree's git directory (``.git/worktrees/NAME``).
COPIED_LIST = "orchestrator-carried"
#: Maximum size of the list of copied files, in bytes.
MOST_BYTES = 64 << 20
#: File of the project with more patterns of files to copy, one per line. Claude Code reads the same
#: file.
INCLUDE = ".worktreeinclude"


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyRules:
    """Rules for files that a worktree gets from the checkout, and for new files of the worktree.

    In ``copy`` and ``link``, a pattern is a file name, which matches anywhere in the project, or a
    path from the project's top.
    """

    #: Patterns of ignored files: files to copy from the user's checkout, and files to link.
    copy: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    #: True to make the checkout's installed packages usable in worktrees.
    derive: bool = True
    #: New files that are not committed.
    never: NeverCommit = NOTHING


NO_RULES = CopyRules()


def copy_or_link(
    checkout: Git, worktree: Git, admin: Path, rules: CopyRules, ours: Sequence[str]
) -> None:
    """Copy or link files from the checkout into a worktree. Idempotent: existing files stay.

    The patterns in ``rules`` and in the checkout's ``.worktreeinclude`` select the files. A file is
    copied or linked only if git ignores it in the checkout and in the worktree, so that the file is
    never committed. Unreadable files are skipped. Raise OSError if the disk is full.
    """
    top, to = checkout.directory, worktree.directory
    for act, patterns in ((_link, rules.link), (_copy, (*rules.copy, *_included_patterns(top)))):
        paths = [
            each for each in _matching_files(checkout, patterns) if each.rstrip("/") not in ours
        ]
        for path in ignored(worktree, [each for each in paths if not _exists(to, each)]):
            note(admin, path.rstrip("/"))
            _try(act, os.path.join(top, path.rstrip("/")), os.path.join(to, path.rstrip("/")))
            relocate(os.path.join(to, path), top, to)


def inherit(parent: Git, top: str, worktree: Git, admin: Path, rules: CopyRules) -> None:
    """Copy ignored files from ``parent``, the worktree of the parent worker.

    ``rules`` and the file ``.worktreeinclude`` in ``top``, the user's checkout, select the files.
    Call this before ``copy_or_link``, which does not replace existing files. Only regular files are
    copied: the parent worker may still run, and could replace a file with a link.
    """
    to = worktree.directory
    try:
        paths = [
            each
            for each in _matching_files(parent, (*rules.copy, *_included_patterns(top)))
            if each[-1] != "/"
        ]
        ignored_paths = ignored(worktree, [each for each in paths if not _exists(to, each)])
    except RepositoryError:
        logger.warning(
            "cannot copy ignored files from the parent worker's worktree %s",
            parent.directory,
            exc_info=True,
        )
        return
    for path in ignored_paths:
        note(admin, path)
        act = partial(_copy_plain, within=parent.directory)
        _try(act, os.path.join(parent.directory, path), os.path.join(to, path))


def note(admin: Path, path: str) -> None:
    """Add a path to the list of files that were copied or linked into a worktree.

    The listed files do not count as the worker's work. ``admin``: the worktree's git directory
    (``.git/worktrees/NAME``).
    """
    with os.fdopen(open_log(admin / COPIED_LIST), "ab") as file:
        file.write(os.fsencode(path) + b"\0")


def copied_paths(admin: Path) -> list[str]:
    """Return the paths that were copied or linked into a worktree, without trailing slashes."""
    listed = read_regular(admin / COPIED_LIST, MOST_BYTES) or b""
    return os.fsdecode(listed).split("\0")[:-1]


def _included_patterns(top: str) -> list[str]:
    try:
        lines = Path(top, INCLUDE).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#!"]


def _matching_files(checkout: Git, patterns: Sequence[str]) -> list[str]:
    if not patterns:
        return []
    bare_patterns = [each.strip("/") for each in patterns]
    command = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    paths = [each for each in checkout.run(*command).fields if _matches(each, bare_patterns)]
    # For an ignored directory, ``ls-files --directory`` lists only the directory, not its files.
    deep = [
        each for pattern in bare_patterns if "/" in pattern for each in _glob(checkout, pattern)
    ]
    return list(dict.fromkeys([*paths, *ignored(checkout, deep)]))


def _matches(path: str, patterns: Sequence[str]) -> bool:
    path = path.rstrip("/")
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in each else name, each) for each in patterns)


def _glob(checkout: Git, pattern: str) -> Iterator[str]:
    if ".." in pattern.split("/"):
        return
    for path in Path(checkout.directory).glob(pattern):
        slash = "/" if path.is_dir() and not path.is_symlink() else ""
        yield f"{path.relative_to(checkout.directory)}{slash}"


def _exists(directory: str, path: str) -> bool:
    return os.path.lexists(os.path.join(directory, path.rstrip("/")))


def _try(act: Callable[[str, str], None], source: str, target: str) -> None:
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        act(source, target)
    except (OSError, shutil.Error, subprocess.CalledProcessError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        logger.warning(
            "cannot copy or link the ignored file %s to %s", source, target, exc_info=True
        )


def _copy(source: str, target: str) -> None:
    # Only the owner may read a copied file, because it may contain secrets. A directory is copied
    # with its modes.
    if os.path.isdir(source) and not os.path.islink(source):
        _copy_directory(source, target)
        return
    if not stat.S_ISREG(os.stat(source).st_mode):
        return
    with open(source, "rb") as file:
        _copy_open(file, target)


def _copy_plain(source: str, target: str, *, within: str) -> None:
    with open_plain(source, within) as file:
        _copy_open(file, target)


def _copy_open(source: BinaryIO, target: str) -> None:
    executable = os.fstat(source.fileno()).st_mode & stat.S_IXUSR
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "wb") as file:
        shutil.copyfileobj(source, file)
        os.fchmod(descriptor, 0o700 if executable else 0o600)


def _copy_directory(source: str, target: str) -> None:
    # If the file system supports it, the copies share disk blocks. Hard links are not used, because
    # a write to one file would change the other file.
    if sys.platform == "linux" and shutil.which("cp"):
        command = ["cp", "-a", "--reflink=auto", "--no-preserve=ownership", "--", source, target]
        subprocess.run(command, check=True, capture_output=True)
        return
    shutil.copytree(source, target, symlinks=True)


def _link(source: str, target: str) -> None:
    """Create links at ``target``: to a file, or to each entry of a directory.

    The directory itself is not linked, because a .gitignore rule such as ``node_modules/`` does not
    match a link. Also, a worker would add entries to the user's directory through the link.
    """
    if not os.path.isdir(source):
        os.symlink(source, target)
        return
    os.mkdir(target)
    for name in os.listdir(source):
        os.symlink(os.path.join(source, name), os.path.join(target, name))
