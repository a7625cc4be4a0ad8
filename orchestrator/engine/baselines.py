"""What gates find at the commits that changes began with: run once, kept, and shared."""

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.core.gates import Check, Gate, GateCause
from orchestrator.core.ports import Workspace
from orchestrator.core.readings import Flaw, Ran, Reading
from orchestrator.core.repository import Repository
from orchestrator.engine.beside import Beside
from orchestrator.engine.gate_runs import GateRuns, Run
from orchestrator.engine.rewrites import rewrites
from orchestrator.security.paths import read_regular, write_private

logger = logging.getLogger(__name__)

#: A larger record is not read: the gate runs again.
MOST_BYTES = 64 * 1024 * 1024
#: None: nobody can say what the gate finds there.
Told = Callable[[Ran | None], None]


@dataclass(slots=True)
class _Wanted:
    """A gate that is to be run, or runs, for those who wait."""

    gate: Gate
    waiting: dict[object, Told] = field(default_factory=dict)


@dataclass(slots=True)
class _Site:
    """One commit of one root job: its worktree, and what is to be run there, one at a time."""

    root_id: str
    commit: str
    queue: deque[_Wanted] = field(default_factory=deque)
    running: _Wanted | None = None
    #: By which the present run is stopped.
    process: str = ""
    is_clear: bool = False
    is_dropped: bool = False

    @property
    def owner(self) -> str:
        return f"base_{self.commit[:12]}"


class Baselines:
    """Any thread may call; what is told comes from a thread of ``beside``."""

    def __init__(
        self, runs: GateRuns, repository: Repository, workspace: Workspace, beside: Beside
    ) -> None:
        self._runs = runs
        self._repository = repository
        self._workspace = workspace
        self._beside = beside
        self._lock = threading.Lock()
        self._sites: dict[tuple[str, str], _Site] = {}

    def ask(self, who: object, check: Check, gate: Gate, told: Told) -> None:
        """What the gate finds at the base of a check; ``who`` may ``forget`` that it asked."""
        kept = self._kept(check.root_id, check.base, gate)
        if kept is not None:
            self._beside.later(partial(told, kept))
            return
        key = check.root_id, check.base
        with self._lock:
            site = self._sites.setdefault(key, _Site(*key))
            wanted = next((each for each in _all(site) if _same(each.gate, gate)), None)
            if wanted is None:
                wanted = _Wanted(gate)
                site.queue.append(wanted)
            wanted.waiting[who] = told
        self._beside.later(partial(self._next, site))

    def forget(self, who: object, by: tuple[str, str]) -> None:
        """Nobody waits for what ``who`` asked for; what nobody else waits for is stopped."""
        with self._lock:
            for site in self._sites.values():
                for wanted in _all(site):
                    wanted.waiting.pop(who, None)
                site.queue = deque(each for each in site.queue if each.waiting)
                running = site.running
                if running is not None and not running.waiting and site.process:
                    self._runs.stop(site.process, *by)

    def drop(self, root_id: str) -> None:
        """The root job has ended: its worktrees go. Idempotent."""
        with self._lock:
            sites = [self._sites.pop(each) for each in [*self._sites] if each[0] == root_id]
            for site in sites:
                site.is_dropped = True
            is_idle = all(site.running is None for site in sites)
        if is_idle:
            self._beside.later(partial(self._remove, root_id))

    # -- one at a time --------------------------------------------------------------------------

    def _next(self, site: _Site) -> None:
        with self._lock:
            if site.running is not None or not site.queue:
                return
            site.running = site.queue.popleft()
            site.process = ""
        if site.is_clear:
            self._open(site)
        else:
            self._runs.clear(site.root_id, site.owner, partial(self._open, site))

    def _open(self, site: _Site) -> None:
        site.is_clear = True
        wanted, directory = site.running, self._directory(site)
        assert wanted is not None, "taken from the queue"
        try:
            self._repository.open_at(directory, site.commit)
            cwd = self._repository.inside(directory)
            run = Run(
                root_id=site.root_id,
                owner=site.owner,
                gate=wanted.gate,
                cwd=cwd,
                worktree=directory,
            )
            self._runs.begin(run, partial(self._ran, site), partial(self._named, site))
        except Exception as error:
            # Somebody waits for an answer, whatever goes wrong.
            logger.warning("no baseline: %s", error, extra={"root_id": site.root_id}, exc_info=True)
            self._tell(site, None)
            return
        with self._lock:
            process = site.process if site.running is wanted and not wanted.waiting else ""
        if process:
            self._runs.stop(process, "cancel", "nobody waits for it")

    def _named(self, site: _Site, process: str) -> None:
        with self._lock:
            site.process = process

    def _ran(self, site: _Site, ran: Ran | None) -> None:
        assert site.running is not None, "it has just ended"
        directory = self._directory(site)
        if ran is not None:
            ran = replace(ran, rewritten=rewrites(self._repository, directory, site.commit))
        try:
            self._repository.restore(directory, site.commit)
            if ran is not None:
                self._keep(site, site.running.gate, ran)
        except Exception as error:
            logger.warning("a baseline is not kept: %s", error, extra={"root_id": site.root_id})
        self._tell(site, ran)

    def _tell(self, site: _Site, ran: Ran | None) -> None:
        with self._lock:
            ended, site.running, site.process = site.running, None, ""
            waiting = list(ended.waiting.values()) if ended else []
            is_over = site.is_dropped and not site.queue
        for told in waiting:
            self._beside.later(partial(told, ran))
        if is_over:
            self._remove(site.root_id)
        self._next(site)

    # -- files ----------------------------------------------------------------------------------

    def _folder(self, root_id: str) -> Path:
        return self._workspace.job_directory(root_id) / "gates"

    def _directory(self, site: _Site) -> str:
        folder = self._folder(site.root_id) / site.owner
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(folder / "worktree")

    def _remove(self, root_id: str) -> None:
        for folder in self._folder(root_id).glob("base_*"):
            if os.path.lexists(folder / "worktree"):
                self._repository.close_at(str(folder / "worktree"))

    def _record(self, root_id: str, commit: str, gate: Gate) -> Path:
        # What decides about its findings; whether they count, or for how long, does not.
        seen = json.dumps([gate.name, gate.run, gate.report, gate.timeout])
        name = f"{gate.name}.{sha256(seen.encode()).hexdigest()[:12]}.json"
        return self._folder(root_id) / f"base_{commit[:12]}" / name

    def _keep(self, site: _Site, gate: Gate, ran: Ran) -> None:
        path = self._record(site.root_id, site.commit, gate)
        write_private(path, json.dumps(asdict(replace(ran, output=""))).encode())

    def _kept(self, root_id: str, commit: str, gate: Gate) -> Ran | None:
        content = read_regular(self._record(root_id, commit, gate), MOST_BYTES)
        try:
            return _ran_of(json.loads(content)) if content else None
        except (ValueError, TypeError, KeyError):
            return None


def _all(site: _Site) -> Iterable[_Wanted]:
    return [*([site.running] if site.running else []), *site.queue]


def _same(one: Gate, other: Gate) -> bool:
    return (one.name, one.run, one.report, one.timeout) == (
        other.name,
        other.run,
        other.report,
        other.timeout,
    )


def _ran_of(found: dict[str, Any]) -> Ran:
    reading = found.pop("reading")
    passed = reading["passed"]
    flaws = tuple(Flaw(**each) for each in reading["flaws"])
    names = None if passed is None else tuple(passed)
    cause = GateCause(found["cause"]) if found["cause"] else None
    rewritten = tuple(Flaw(**each) for each in found.get("rewritten", ()))
    return Ran(
        **{**found, "cause": cause, "rewritten": rewritten},
        reading=Reading(flaws=flaws, passed=names, skipped=reading["skipped"]),
    )
