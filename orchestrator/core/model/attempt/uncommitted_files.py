"""New files of a worker that are not committed (`git.never_commit`), with the reasons. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Maximum number of files that are stored, and that are named in texts for people.
MOST_STORED, _NAMED = 50, 5


class HeldBackRule(StrEnum):
    """Why a file is not committed. The values are stored, so they never change."""

    #: The name of the file, or of a directory above it, is in `git.never_commit`.
    NAME = "name"
    #: The directory is a virtual environment: it has `pyvenv.cfg`.
    ENVIRONMENT = "environment"
    #: The directory is a cache: it has `CACHEDIR.TAG`.
    CACHE = "cache"
    #: The file is a core dump.
    CORE = "core"
    #: The file is larger than `git.never_commit_over`.
    SIZE = "size"

    @property
    def is_of_a_file(self) -> bool:
        """True if the rule is about single files, which are saved: no command recreates them."""
        return self in (HeldBackRule.CORE, HeldBackRule.SIZE)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldBack:
    """An uncommitted new file, or all uncommitted new files of a directory."""

    #: Path relative to the top of the repository.
    path: str
    rule: HeldBackRule
    #: Number of files.
    files: int = 1
    #: Size in bytes.
    size: int = 0
    #: True if the file is saved in `files/` of the worker's directory.
    saved: bool = False
    #: True if the agent had committed the file, and one commit without it replaced the commits.
    folded: bool = False
    #: True if commits of the worker still have the file.
    in_history: bool = False


def held_back_in_words(held: Iterable[HeldBack]) -> tuple[str, ...]:
    held = tuple(held)
    if not held:
        return ()
    named = ", ".join(map(_in_words, held[:_NAMED]))
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    told = [f"not committed (git.never_commit): {named}{more}"]
    if any(each.folded for each in held):
        told.append("its commits contained such files and were replaced by one commit without them")
    if any(each.in_history for each in held):
        told.append("its commits still contain such files")
    return tuple(told)


def _in_words(each: HeldBack) -> str:
    if not each.rule.is_of_a_file:
        return f"{each.path} ({each.files} file{'s' * (each.files != 1)})"
    what = "core dump, " if each.rule is HeldBackRule.CORE else ""
    saved = ", saved in files/ of the worker's directory" if each.saved else ""
    return f"{each.path} ({what}{each.size / 1e6:.1f} MB{saved})"
