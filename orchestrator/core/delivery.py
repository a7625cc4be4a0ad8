"""What a worker with a worktree delivered, against what its task promised. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import normpath

from orchestrator.core.patterns import matching

#: Roles whose work is a change of files.
BUILDING_ROLES = frozenset(
    {"backend", "frontend", "infrastructure", "testing", "documentation", "integration"}
)
#: Roles whose work is their output: a planner's list of files is what they read.
REPORTING_ROLES = frozenset({"reviewer", "analyst", "planner"})
#: Longer lists are cut where a person reads them.
NAMED_FILES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Stored with the result of a worker that has a worktree; paths as its task names them."""

    #: Files in the worktree differ from those that the worker started with, or were saved.
    changed: bool
    #: The task promises files, or its role builds: without a change the worker has failed.
    expected: bool = False
    #: Promised paths that do not exist and did not exist at the start.
    missing: tuple[str, ...] = ()
    #: Promised files that git ignores: they are in ``files/`` of the worker's directory.
    saved: tuple[str, ...] = ()
    #: Files outside of the worktree that the agent changed: absolute paths.
    outside: tuple[str, ...] = ()
    #: Files of the user's checkout that changed since the job began; only looked for if a worker
    #: changed nothing in its worktree.
    checkout: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the result has to know, each as text; empty for a plain success."""
        found = (
            ("promised files are missing", self.missing),
            ("promised files that git ignores are saved in the worker's directory", self.saved),
            ("changed outside of its worktree", self.outside),
            ("changed in the checkout since the job began", self.checkout),
        )
        return tuple(f"{words}: {listed(paths)}" for words, paths in found if paths)


def altered_in_words(judges: Sequence[str]) -> tuple[str, ...]:
    """A remark on files by which the work is judged, if it altered any."""
    return (f"changed the files it is judged by: {listed(judges)}",) if judges else ()


def expects_changes(role: str | None, writes: Sequence[str], *, is_agent: bool) -> bool:
    """True if a worker without any change has failed. A shell command plays no role."""
    return bool(writes) or (is_agent and role in BUILDING_ROLES)


def held_by(promised: str, paths: Iterable[str]) -> bool:
    """True if one of the paths is, fits or lies below what was promised."""
    path = normalized(promised)
    return path == "." or bool(matching(paths, [f"/{path}"]))


def is_relative(promised: str) -> bool:
    """True for a path that can lie in the project."""
    return bool(promised.strip()) and not promised.strip().startswith(("/", "~"))


def normalized(promised: str) -> str:
    return normpath(promised.strip() or ".")


def listed(paths: Sequence[str]) -> str:
    named = ", ".join(paths[:NAMED_FILES])
    more = len(paths) - NAMED_FILES
    return f"{named} and {more} more" if more > 0 else named
