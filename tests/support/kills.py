"""``python -m tests.support.kills --minutes N --seed S``: runs jobs while processes are killed.

Kills the server, keeper, spawner, and shims with SIGKILL, one or two at a time. The seed decides
the times. A restarting server may be killed again before it is ready. At the end of each job,
``tests.faults.site.check`` checks the invariants. With ``ORCHESTRATOR_TEST_STORE=postgresql``,
the servers store their state in PostgreSQL.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from orchestrator.system import process_table
from tests.faults.site import STORE, FaultSite, check, fault_tasks
from tests.faults.zygote import Zygote
from tests.support import above, seeded

#: Number of parallel jobs.
AT_ONCE = 3
#: Seconds between two kills.
PAUSES = (0.1, 1.2)
#: Command that delays each worker, so that its processes can be killed.
WORK = "sleep 0.$((RANDOM % 4)); "


class Victim(StrEnum):
    SERVER = "server"
    KEEPER = "keeper"
    SPAWNER = "spawner"
    SHIM = "shim"


@dataclass
class Figures:
    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {times}" for kind, times in sorted(self.kills.items()))
        return (
            f"kills survived {self.kills.total()} ({kinds}); jobs run {self.jobs}, "
            f"lost {self.lost}, doubled {self.doubled}, otherwise wrong {len(self.wrong)}"
        )


class Killer:
    """Kills processes of a site; the caller chooses the time and the process."""

    def __init__(self, site: FaultSite, rng: random.Random, jobs: list[str]) -> None:
        """``jobs`` is the live list of the running jobs."""
        self._site = site
        self._random = rng
        self._jobs = jobs
        self.kills: Counter[str] = Counter()

    def kill(self, kinds: Sequence[Victim]) -> set[Victim]:
        """Kill one process of each kind, and return the kinds that existed.

        All processes are killed at once, so that none reacts to the exit of another.
        """
        found = {kind: pid for kind in kinds if (pid := self._find(kind))}
        for kind, pid in found.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills[kind] += 1
        return set(found)

    def kill_at_start(self) -> None:
        """Start the next server, and kill it before it is ready."""
        self._site.begin()
        time.sleep(self._random.uniform(0.0, 0.5))
        assert self._site.process is not None
        self._site.process.kill()
        self.kills[Victim.SERVER] += 1

    def _find(self, kind: Victim) -> int | None:
        process = self._site.process
        if kind is Victim.SHIM:
            return self._random.choice(self._shims() or [0]) or None
        if process is None or process.poll() is not None:
            return None
        if kind is Victim.SERVER:
            return process.pid
        # A keeper whose spawner has exited starts no more shims, although shims may remain.
        for keeper in above.keepers(process.pid):
            spawner = above.spawner(keeper)
            if spawner is not None:
                return keeper if kind is Victim.KEEPER else spawner
        return None

    def _shims(self) -> list[int]:
        """Return the pids of busy shims, from the ``.run`` files of their attempts."""
        found = []
        for job in self._jobs:
            for run in (self._site.directory(job) / "attempts").glob("*.run"):
                with suppress(OSError, ValueError, KeyError):
                    holder = json.loads(run.read_bytes().split(b"\n", 1)[0])
                    if process_table.start_ticks(holder["shim"]) == holder["shim_start"]:
                        found.append(int(holder["shim"]))
        return sorted(found)


class Kills:
    def __init__(self, folder: Path, zygote: Zygote, seed: int, store: str = STORE) -> None:
        self._random = random.Random(seed)
        self._site = FaultSite(folder, zygote, store=store)
        self._site.most_starts = sys.maxsize
        #: Running jobs, and jobs during which a shim was killed.
        self._jobs: list[str] = []
        self._touched: set[str] = set()
        self._submitted = 0
        self._killer = Killer(self._site, self._random, self._jobs)
        self.figures = Figures(self._killer.kills)

    def run(self, seconds: float) -> Figures:
        self._site.ensure()
        ends = time.monotonic() + seconds
        try:
            while time.monotonic() < ends:
                self._fill()
                time.sleep(self._random.uniform(*PAUSES))
                self._kill()
                self._collect()
            while self._jobs:
                self._collect()
                time.sleep(0.05)
        finally:
            self._site.end()
        return self.figures

    def _fill(self) -> None:
        while len(self._jobs) < AT_ONCE:
            self._submitted += 1
            tasks = fault_tasks(self._site, retries=50, pause=WORK)
            self._jobs.append(self._site.submit_once(tasks, f"job {self._submitted}"))

    def _kill(self) -> None:
        kinds = self._random.sample(list(Victim), self._random.choice((1, 1, 2)))
        killed = self._killer.kill(kinds)
        if Victim.SHIM in killed:
            self._touched |= set(self._jobs)
        if Victim.SERVER in killed and self._random.random() < 0.5:
            self._killer.kill_at_start()

    def _collect(self) -> None:
        self._site.ensure()
        for job in list(self._jobs):
            answer = self._site.insist(
                lambda job=job: self._site.call("GET", f"/jobs/{job}/status")
            )
            if answer["status"] in ("completed", "partial", "failed", "cancelled"):
                self._jobs.remove(job)
                self.figures.jobs += 1
                self._judge(job)

    def _judge(self, job: str) -> None:
        answer = self._site.insist(lambda: self._site.call("GET", f"/jobs/{job}/status"))
        try:
            check(self._site, job, answer, shim_died=job in self._touched)
        except AssertionError as error:
            finding = f"{job}: {error}"
            self.figures.lost += answer["status"] != "completed"
            self.figures.doubled += (
                "twice" in finding or "overlap" in finding or "ran again" in finding
            )
            self.figures.wrong.append(finding)


def kill_for(place: Path, zygote: Zygote, seed: int, seconds: float) -> Figures:
    return Kills(place / "site", zygote, seed).run(seconds)


if __name__ == "__main__":
    sys.exit(seeded.main(__doc__, kill_for))
