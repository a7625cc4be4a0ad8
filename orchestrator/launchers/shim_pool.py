"""The shims of this server: those at work, those that are idle, and the spawner that forks them."""

import itertools
import logging
import select
import time

from orchestrator.core.evidence import Stray
from orchestrator.launchers.plan import Plan
from orchestrator.launchers.shim_link import ShimLink
from orchestrator.launchers.spawning import ShimGone, SpawnerProcess

logger = logging.getLogger(__name__)

#: Idle shims beyond these are let go after a while.
IDLE_SHIMS = 4
IDLE_SECONDS = 3.0

_READ, _READ_WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT


class ShimPool:
    """Registers its sockets with an epoll object. Not thread-safe: guarded by the launcher."""

    def __init__(self, epoll: select.epoll, plan: Plan) -> None:
        self._epoll = epoll
        self._plan = plan
        self._serials = itertools.count(1)
        self._spawner: SpawnerProcess | None = None
        #: That one, and such as have been replaced and tell of their last shims.
        self._spawners: list[SpawnerProcess] = []
        self._links: dict[int, ShimLink] = {}
        #: The one that was at work latest is last, and the next to work.
        self._idle: list[ShimLink] = []
        #: By serial number: shims that have ended at work, until what they left is gone.
        self._fallen: dict[int, ShimLink] = {}

    @property
    def spawner(self) -> SpawnerProcess:
        """Raise OSError when there is none and none can be started."""
        if self._spawner is None:
            self._spawner = SpawnerProcess(self._plan, self._serials)
            self._spawners.append(self._spawner)
            self._epoll.register(self._spawner, _READ)
        return self._spawner

    def take(self) -> ShimLink:
        """A shim that is free, or a new one. Raise OSError when there can be none."""
        return self._idle.pop() if self._idle else self._new_link()

    def _new_link(self) -> ShimLink:
        try:
            link = ShimLink(self.spawner)
        except ConnectionError:
            # It has just died, and that is still to be noticed.
            self._replace_spawner()
            link = ShimLink(self.spawner)
        self._links[link.fileno()] = link
        self._epoll.register(link, _READ)
        return link

    def give_back(self, link: ShimLink) -> None:
        """Keep a shim for the next attempt, if its remains would still fall to a spawner."""
        if link.spawner is not self._spawner:
            self._drop(link)
            return
        link.idle_since = time.monotonic()
        self._idle.append(link)

    def at(self, descriptor: int) -> ShimLink | None:
        return self._links.get(descriptor)

    def watch(self, link: ShimLink) -> None:
        """Be told when more can be written, if there is more to write."""
        self._epoll.modify(link, _READ_WRITE if link.has_unsent else _READ)

    @property
    def has_surplus(self) -> bool:
        return len(self._idle) > IDLE_SHIMS

    def let_idle_go(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        while self.has_surplus and self._idle[0].idle_since <= limit:
            self._drop(self._idle.pop(0))

    def fell(self, link: ShimLink) -> bool:
        """A shim's socket has closed. True when nobody will tell that what it left is gone."""
        self._drop(link)
        if link in self._idle:
            self._idle.remove(link)
        if link.launch is None:
            return False
        if link.is_gone or link.spawner not in self._spawners:
            return True
        self._fallen[link.serial] = link
        return False

    def _drop(self, link: ShimLink) -> None:
        del self._links[link.fileno()]
        self._epoll.unregister(link)
        link.close()

    def gone(self) -> list[tuple[ShimLink, tuple[Stray, ...]]]:
        """Shims at work that have ended with all that they left, as their spawners tell it."""
        ended: list[tuple[ShimLink | None, tuple[Stray, ...]]] = []
        for spawner in list(self._spawners):
            told, is_there = spawner.receive()
            ended += [(self._noted(shim), shim.strays) for shim in told]
            if not is_there:
                ended += [(link, ()) for link in self._abandon(spawner)]
            if spawner is self._spawner and (spawner.is_retired or not is_there):
                self._replace_spawner()
        return [(link, strays) for link, strays in ended if link is not None]

    def _noted(self, shim: ShimGone) -> ShimLink | None:
        """None for one that was let go."""
        link = self._fallen.pop(shim.serial, None)
        if link is None:
            link = next((each for each in self._links.values() if each.serial == shim.serial), None)
        if link is not None:
            link.is_gone, link.refused = True, shim.refused
        return link

    def _abandon(self, spawner: SpawnerProcess) -> list[ShimLink]:
        """It has ended with its keeper: the fallen shims of which it has not told."""
        self._epoll.unregister(spawner)
        spawner.close()
        self._spawners.remove(spawner)
        lonely = [link for link in self._fallen.values() if link.spawner is spawner]
        for link in lonely:
            del self._fallen[link.serial]
        return lonely

    def _replace_spawner(self) -> None:
        """Start another spawner; shims that are at work go on without theirs."""
        old, self._spawner = self._spawner, None
        if old is not None:
            logger.error("spawner ended", extra={"action": "spawner_ended", "pid": old.pid})
        while self._idle:
            self._drop(self._idle.pop())
        try:
            _ = self.spawner
        except OSError:
            # The next shim that is needed tries again, and its attempt tells of it.
            logger.exception("no spawner", extra={"action": "spawner_start"})

    def close(self) -> None:
        """Idle shims end; those at work go on until their attempt has ended."""
        has_work = any(link.launch for link in self._links.values())
        for link in list(self._links.values()):
            self._drop(link)
        for spawner in self._spawners:
            spawner.close(has_work)
