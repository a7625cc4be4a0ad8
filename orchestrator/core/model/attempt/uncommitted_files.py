"""New files of a worker that are not committed (`git.never_commit`), with the reasons. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Most files that are stored, and most that are named in texts for people.
MOST_STORED, _NAMED = 50, 5


class HeldBackRule(StrEnum):
    """Why a file is not committed; stored, so that values never change."""

    #: Its name, or the name of a directory above it, is on the list.
    NAME = "name"
    #: A virtual environment: the directory has `pyvenv.cfg`.
    ENVIRONMENT = "environment"
    #: A cache: the directory has `CACHEDIR.TAG`.
    CACHE = "cache"
    #: A core dump.
    CORE = "core"
    #: Larger than `git.never_commit_over`.
    SIZE = "size"

    @property
    def is_of_a_file(self) -> bool:
        """True if no command recreates such a file: it is saved."""
        return self in (HeldBackRule.CORE, HeldBackRule.SIZE)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldBack:
    """A file, or all new files of a directory."""

    #: From the top of the repository.
    path: str
    rule: HeldBackRule
    files: int = 1
    size: int = 0
    #: It is in `files/` of the worker's directory.
    saved: bool = False
    #: The agent had committed the file, and its commits were folded into one without it.
    folded: bool = False
    #: Commits of the worker still have the file.
    in_history: bool = False


def held_back_in_words(held: Iterable[HeldBack]) -> tuple[str, ...]:
    held = tuple(held)
    if not held:
        return ()
    named = ", ".join(map(_in_words, held[:_NAMED]))
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    told = [f"not committed (git.never_commit): {named}{more}"]
    if any(each.folded for each in held):
        told.append("its own commits had such files and were folded into one commit without them")
    if any(each.in_history for each in held):
        told.append("its own commits still have such files")
    return tuple(told)


def _in_words(each: HeldBack) -> str:
    if not each.rule.is_of_a_file:
        return f"{each.path} ({each.files} file{'s' * (each.files != 1)})"
    what = "core dump, " if each.rule is HeldBackRule.CORE else ""
    saved = ", saved in files/ of the worker's directory" if each.saved else ""
    return f"{each.path} ({what}{each.size / 1e6:.1f} MB{saved})"
