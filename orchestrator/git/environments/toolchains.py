"""Installed packages of a project (virtual environments, ``node_modules``) for its worktrees."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.repository.repository import Tools
from orchestrator.git.command.runner import Git
from orchestrator.git.environments import copied_files, manifests, node_modules, virtualenvs
from orchestrator.git.environments.virtualenvs import PathMove
from orchestrator.git.user_repository.checkout import within

logger = logging.getLogger(__name__)

ENVIRONMENTS = (".venv", "venv")
#: Files next to which their packages are installed.
_MANIFESTS = ("package.json", "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt")
_MOST_PLACES = 200
#: Name of the environment in the directory for the programs of a gate or worker.
_ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Toolchains:
    """Installed packages of one worktree. Directories are real paths."""

    #: The user's checkout, and the product's own paths in it, relative to its top.
    checkout: Git
    ours: Sequence[str]
    worktree: str
    #: Path of the host project from the top of the repository; empty: the top.
    project: str
    #: False if the worktree gets its packages from ``git.setup``.
    derives: bool = True

    @property
    def _top(self) -> str:
        return self.checkout.directory

    @property
    def _sources(self) -> PathMove:
        return PathMove(self._top, self.worktree)

    def derive(self, admin: Path) -> None:
        """Derive the checkout's installed packages in the worktree. Idempotent: existing packages
        stay.

        The derived packages do not count as a worker's work. Packages that cannot be derived are
        omitted.
        """
        for place in self._places() if self.derives else ():
            for name in ENVIRONMENTS:
                source, target = self._both(place, name)
                if virtualenvs.is_environment(source) and not os.path.lexists(target):
                    copied_files.note(admin, os.path.join(place, name))
                    _attempt(source, target, self._sources)
            source, target = self._both(place, node_modules.NAME)
            if os.path.isdir(source) and not os.path.islink(target):
                if not os.path.lexists(target):
                    copied_files.note(admin, os.path.join(place, node_modules.NAME))
                self._link_modules(source, target)

    def _both(self, place: str, name: str) -> tuple[str, str]:
        return os.path.join(self._top, place, name), os.path.join(self.worktree, place, name)

    def _link_modules(self, source: str, target: str) -> bool:
        try:
            return node_modules.derive(source, target, self._moved)
        except OSError:
            logger.warning("not all of node_modules is derived", exc_info=True)
            return True

    def _moved(self, real: str) -> str | None:
        """Return the same source in the worktree; None if the path is an installed package, or
        elsewhere.
        """
        inside = os.path.relpath(real, self._top)
        parts = inside.split("/")
        is_source = parts[0] != ".." and node_modules.NAME not in parts
        if not is_source or any(within(inside, each) for each in self.ours):
            return None
        return os.path.join(self.worktree, inside)

    def _places(self) -> list[str]:
        """Return directories that may have installed packages, the top directory first."""
        listed = manifests.tracked(self.checkout, _MANIFESTS)
        found = dict.fromkeys(["", self.project, *map(os.path.dirname, listed)])
        mine = (each for each in found if not any(within(each, own) for own in self.ours))
        there = [each for each in mine if os.path.isdir(os.path.join(self.worktree, each))]
        return there[:_MOST_PLACES]

    # -- programs ------------------------------------------------------------------------------

    def tools(self, programs: str, search: str, *, trusted: bool) -> Tools:
        """Return the directories and variables to put before a search path.

        ``programs``: a directory for created programs, whose content is replaced. ``search``: the
        rest of the path. ``trusted``: programs that a worker installed are not used.
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

    def _environment(self, made: str, search: str, trusted: bool) -> str:
        for name in ENVIRONMENTS:
            source, target = self._both(self.project, name)
            if not self.derives and virtualenvs.is_environment(target):
                return target
            if self.derives and virtualenvs.is_environment(source):
                is_linked = os.path.islink(f"{target}/bin")
                if not trusted and not is_linked and virtualenvs.is_environment(target):
                    return target
                added = virtualenvs.packages_of(target)
                return made if _attempt(source, made, self._sources, added) else source
        if not self.derives:
            return ""
        # An active environment, or one elsewhere, only if it leads to the checkout.
        for source in _environments_on(search):
            if virtualenvs.leads_to(source, self._sources):
                return made if _attempt(source, made, self._sources) else ""
        return ""

    def _node_programs(self, trusted: bool) -> Iterator[str]:
        for place in dict.fromkeys([self.project, ""]):
            source, target = self._both(place, node_modules.NAME)
            if not self.derives:
                yield f"{target}/{node_modules.PROGRAMS}"
                continue
            found = f"{source}/{node_modules.PROGRAMS}"
            if not os.path.isdir(found):
                continue
            leads = self._link_modules(source, target)
            is_own = leads or not trusted
            yield f"{target}/{node_modules.PROGRAMS}" if is_own else found


def _attempt(source: str, target: str, sources: PathMove, added: Sequence[str] = ()) -> bool:
    try:
        virtualenvs.derive(source, target, sources, added)
    except OSError:
        logger.warning("not derived: %s", source, exc_info=True)
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def _environments_on(search: str) -> Iterator[str]:
    for directory in dict.fromkeys(search.split(os.pathsep)):
        if os.path.basename(directory) == "bin" and os.path.isabs(directory):
            above = os.path.dirname(directory)
            if virtualenvs.is_environment(above):
                yield above
