"""Makes the checkout's installed packages usable in worktrees.

Installed packages are virtual environments and ``node_modules``.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import Tools
from orchestrator.core.text.path_patterns import within
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_sessions import Stamp, shared_part, stamp_at
from orchestrator.git.command.runner import Git
from orchestrator.git.environments import copied_files, virtualenvs
from orchestrator.git.environments.virtualenvs import PathMove

logger = logging.getLogger(__name__)

#: If the index changes again within this time, in seconds, both changes may give it the same time.
#: Therefore nothing is cached if the index has just changed.
_SETTLED_SECONDS = 0.1
_MOST_CACHED = 16

_cached_manifests = BoundedCache[str, tuple[Stamp, Sequence[str]]](_MOST_CACHED)


def tracked_manifests(checkout: Git, names: Sequence[str]) -> Sequence[str]:
    """Return the paths of tracked files that have one of the file names ``names``.

    The result is cached while the index is unchanged.
    """
    part = shared_part(checkout.directory, checkout.env)
    index = f"{part.common}/{part.head}index" if part else ""
    began, stamp = time.time(), stamp_at(index)
    cached = _cached_manifests.get(index)
    if cached is not None and cached[0] == stamp:
        return cached[1]
    command = ("--no-literal-pathspecs", "ls-files", "-z", "--")
    paths = checkout.run(*command, *(f":(glob)**/{each}" for each in names)).fields
    if stamp is not None and max(stamp[2:]) < (began - _SETTLED_SECONDS) * 1e9:
        _cached_manifests.put(index, (stamp, paths))
    return paths


NODE_MODULES = "node_modules"
PROGRAMS = ".bin"
#: Entries of ``node_modules`` that are not linked, because tools write to them while they run.
#: ``.pnpm`` needs no link, because the packages in ``node_modules`` are links into ``.pnpm``.
_NOT_LINKED = frozenset({".cache", ".vite", ".vitest", ".pnpm"})
#: Files in which the package manager records what is installed. They are copied, not linked.
_STATE = frozenset({".package-lock.json", ".modules.yaml", ".yarn-state.yml", ".yarn-integrity"})

#: A function that takes a real path in the checkout, and returns the corresponding path in the
#: worktree. It returns None for a path that is not part of the project's own code.
Moved = Callable[[str], str | None]


def derive_node_modules(source: str, target: str, moved: Moved) -> bool:
    """Fill the directory ``target`` with links to the packages in the directory ``source``.

    Return True if one of the packages is a link to the project's own code. Idempotent: existing
    entries stay. Only a wrong link to the project's own code is corrected.
    """
    os.makedirs(target, exist_ok=True)
    leads_to_sources = False
    for entry in list(os.scandir(source)):
        to = f"{target}/{entry.name}"
        if entry.name in _NOT_LINKED:
            continue
        if entry.name in _STATE:
            if not os.path.lexists(to):
                shutil.copyfile(entry.path, to)
        elif not entry.is_symlink() and (entry.name == PROGRAMS or entry.name.startswith("@")):
            leads_to_sources |= derive_node_modules(entry.path, to, moved)
        else:
            worktree_path = moved(os.path.realpath(entry.path)) if entry.is_symlink() else None
            leads_to_sources |= worktree_path is not None
            _link(worktree_path or entry.path, to, is_source=worktree_path is not None)
    return leads_to_sources


def _link(source: str, target: str, *, is_source: bool) -> None:
    if is_source and os.path.islink(target) and os.readlink(target) != source:
        os.unlink(target)
    with suppress(FileExistsError):
        os.symlink(source, target)


ENVIRONMENTS = (".venv", "venv")
#: Names of files that list packages. The packages are installed in the directory of the file.
_MANIFESTS = ("package.json", "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt")
_MOST_PLACES = 200
#: Name of the environment in the directory for the programs of a gate or worker.
_ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """Installed packages of one worktree. Paths of directories contain no links."""

    #: The user's checkout.
    checkout: Git
    #: The product's own paths in the checkout, relative to the checkout's top.
    ours: Sequence[str]
    worktree: str
    #: Path of the project, relative to the repository's top; "" if the project is the top.
    project: str
    #: False if the worktree gets its packages from ``git.setup``.
    derives: bool

    @property
    def _top(self) -> str:
        return self.checkout.directory

    @property
    def _sources(self) -> PathMove:
        return PathMove(self._top, self.worktree)

    def derive(self, admin: Path) -> None:
        """Make the checkout's installed packages usable in the worktree.

        Idempotent: existing packages stay. Derived packages do not count as a worker's work.
        Packages that cannot be derived are skipped.
        """
        for place in self._package_directories() if self.derives else ():
            for name in ENVIRONMENTS:
                source, target = self._source_and_target(place, name)
                if virtualenvs.is_environment(source) and not os.path.lexists(target):
                    copied_files.note(admin, os.path.join(place, name))
                    _try_to_derive(source, target, self._sources)
            source, target = self._source_and_target(place, NODE_MODULES)
            if os.path.isdir(source) and not os.path.islink(target):
                if not os.path.lexists(target):
                    copied_files.note(admin, os.path.join(place, NODE_MODULES))
                self._link_modules(source, target)

    def _source_and_target(self, place: str, name: str) -> tuple[str, str]:
        return os.path.join(self._top, place, name), os.path.join(self.worktree, place, name)

    def _link_modules(self, source: str, target: str) -> bool:
        try:
            return derive_node_modules(source, target, self._path_in_worktree)
        except OSError:
            logger.warning("cannot link all of node_modules into a worktree", exc_info=True)
            return True

    def _path_in_worktree(self, real: str) -> str | None:
        """Return the path in the worktree that corresponds to the real path ``real``.

        Return None if ``real`` is in an installed package, in the product's own folders, or outside
        of the checkout.
        """
        inside = os.path.relpath(real, self._top)
        parts = inside.split("/")
        is_source = parts[0] != ".." and NODE_MODULES not in parts
        if not is_source or any(within(inside, each) for each in self.ours):
            return None
        return os.path.join(self.worktree, inside)

    def _package_directories(self) -> list[str]:
        listed = tracked_manifests(self.checkout, _MANIFESTS)
        directories = dict.fromkeys(["", self.project, *map(os.path.dirname, listed)])
        users = (each for each in directories if not any(within(each, own) for own in self.ours))
        existing = [each for each in users if os.path.isdir(os.path.join(self.worktree, each))]
        return existing[:_MOST_PLACES]

    # -- programs ------------------------------------------------------------------------------

    def tools(self, programs: str, search: str, *, trusted: bool) -> Tools:
        """Return the directories to put at the start of a search path, and variables to set.

        ``programs``: a directory for programs, which this method empties and fills. ``search``: the
        rest of the search path. ``trusted``: True to use only trusted programs; the programs that a
        worker installed are then ignored.
        """
        path: list[str] = []
        variables: dict[str, str] = {}
        with suppress(FileNotFoundError):
            os.unlink(programs) if os.path.islink(programs) else shutil.rmtree(programs)
        environment = self._environment(f"{programs}/{_ENVIRONMENT}", search, trusted)
        if environment:
            path.append(f"{environment}/bin")
            variables["VIRTUAL_ENV"] = environment
        path += self._node_programs(trusted)
        return Tools(path=tuple(path), variables=variables, checkout=self._top)

    def _environment(self, derived: str, search: str, trusted: bool) -> str:
        for name in ENVIRONMENTS:
            source, target = self._source_and_target(self.project, name)
            if not self.derives and virtualenvs.is_environment(target):
                return target
            if self.derives and virtualenvs.is_environment(source):
                is_linked = os.path.islink(f"{target}/bin")
                if not trusted and not is_linked and virtualenvs.is_environment(target):
                    return target
                added = virtualenvs.packages_of(target)
                return derived if _try_to_derive(source, derived, self._sources, added) else source
        if not self.derives:
            return ""
        # Use another environment on the search path only if it leads to the checkout's sources.
        for source in _environments_on(search):
            if virtualenvs.leads_to(source, self._sources):
                return derived if _try_to_derive(source, derived, self._sources) else ""
        return ""

    def _node_programs(self, trusted: bool) -> Iterator[str]:
        for place in dict.fromkeys([self.project, ""]):
            source, target = self._source_and_target(place, NODE_MODULES)
            if not self.derives:
                yield f"{target}/{PROGRAMS}"
                continue
            programs = f"{source}/{PROGRAMS}"
            if not os.path.isdir(programs):
                continue
            leads_to_sources = self._link_modules(source, target)
            is_own = leads_to_sources or not trusted
            yield f"{target}/{PROGRAMS}" if is_own else programs


def _try_to_derive(source: str, target: str, sources: PathMove, added: Sequence[str] = ()) -> bool:
    try:
        virtualenvs.derive(source, target, sources, added)
    except OSError:
        logger.warning(
            "cannot link a Python environment into a worktree: %s", source, exc_info=True
        )
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def _environments_on(search: str) -> Iterator[str]:
    for directory in dict.fromkeys(search.split(os.pathsep)):
        if os.path.basename(directory) == "bin" and os.path.isabs(directory):
            environment = os.path.dirname(directory)
            if virtualenvs.is_environment(environment):
                yield environment
