"""``python tests/support/soak.py --minutes N --seed S``: runs all kinds of jobs under faults.

The jobs are of all kinds (``tests.support.soaking.kinds``), including hostile and cancelled jobs.
The server, keeper, spawner, and shims are killed, and the disk runs full. Each job's outcome is
checked at its end. At intervals, the run submits no jobs and waits until all jobs have ended (a
quiet moment). Then it checks the invariants (``tests.support.soaking.invariants``).

In the second half, no server is killed, so that leaks become visible. Only root can mount the small
disk that runs full; other users run the soak without full disks. With
``ORCHESTRATOR_TEST_STORE=postgresql``, the servers store their state in PostgreSQL.
"""

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))

from tests.faults.site import ENDED, STORE, FaultSite, check
from tests.faults.zygote import Zygote
from tests.integration.site import Answer, complete_lines
from tests.support import above, seeded
from tests.support.kills import Killer, Victim
from tests.support.project import Project, agents
from tests.support.soaking.disk import fill, mounted, unmount
from tests.support.soaking.invariants import (
    SUCCEEDED,
    Resources,
    complaints_of_job,
    complaints_of_project,
    complaints_of_result,
    complaints_of_store,
    end_daemons,
)
from tests.support.soaking.kinds import KINDS, Kind

#: Number of parallel root jobs.
AT_ONCE = 5
PAUSES = (0.05, 0.4)
#: Seconds between two quiet moments.
CYCLE_SECONDS = 8.0
#: Seconds within which a job must end, and within which its files must be complete.
WITHIN, SETTLED_WITHIN = 120.0, 20.0
#: Actions after each pause, with their relative frequency.
FAULTS = {
    "nothing": 20,
    "shim": 4,
    "spawner": 2,
    "keeper": 1,
    "server": 2,
    "two of them": 2,
    "disk": 1,
}


@dataclass
class Figures:
    kills: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    full_disks: int = 0
    #: Number of daemons that remain, as in docs/reference/containment.md.
    daemons_left: int = 0
    quiet_moments: int = 0
    resources: list[Resources] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{kind} {times}" for kind, times in sorted(self.kills.items()))
        jobs = ", ".join(f"{kind} {times}" for kind, times in sorted(self.jobs.items()))
        return (
            f"jobs {self.jobs.total()} ({jobs}); kills {self.kills.total()} ({kills or 'none'}); "
            f"full disks {self.full_disks}; daemons left {self.daemons_left}; "
            f"quiet moments {self.quiet_moments}; "
            f"{_growth(self.resources)}; wrong {len(self.wrong)}"
        )


def _growth(resources: list[Resources]) -> str:
    """Describe the growth of the longest-lived server from its first to its last quiet moment."""
    lives = [
        [each for each in resources if each.pid == pid] for pid in {each.pid for each in resources}
    ]
    if not lives:
        return "no server was measured"
    life = max(lives, key=len)
    first, last = life[0], life[-1]
    return (
        f"the server that lived longest: descriptors {first.descriptors} to {last.descriptors}, "
        f"threads {first.threads} to {last.threads}, "
        f"MiB {first.bytes / 2**20:.1f} to {last.bytes / 2**20:.1f}"
    )


@dataclass
class Flight:
    """A root job that has not been judged yet."""

    kind: str
    submitted_at: float
    cancel_at: float = float("inf")
    #: True if the disk was full while the job ran. The lock of an attempt may then remain, because
    #: the attempt's end could not be written.
    disk_was_full: bool = False

    @property
    def rules(self) -> Kind:
        return KINDS[self.kind]


class Soak:
    def __init__(
        self, folder: Path, zygote: Zygote, seed: int, disk: Path | None, store: str
    ) -> None:
        self._random = random.Random(seed)
        self._disk = disk
        self._project = Project(folder / "repository").begin({"a.txt": "a\n"})
        self._untouched = self._project.snapshot()
        workspace = (disk or folder) / "workspace"
        self._site = FaultSite(
            folder,
            zygote,
            store=store,
            workers={"retry_backoff_seconds": 0.01, "min_free_disk_bytes": 16 * 2**20},
            orchestrator={
                "workspace_root": str(workspace),
                "project_root": str(self._project.path),
            },
            agents=agents(folder),
        )
        self._site.workspace = workspace
        self._site.most_starts = sys.maxsize
        self._flights: dict[str, Flight] = {}
        self._in_flight: list[str] = []
        #: Jobs during which a shim was killed: the ends of their attempts are unknown.
        self._touched: set[str] = set()
        #: Jobs during which a keeper was killed, so that a spawner and a shim may leave orphans.
        self._orphaned: set[str] = set()
        self._accepted: set[str] = set()
        self._first: dict[int, Resources] = {}
        self._killer = Killer(self._site, self._random, self._in_flight)
        self.figures = Figures(self._killer.kills)

    def run(self, seconds: float) -> Figures:
        began = time.monotonic()
        self._site.ensure()
        try:
            while (passed := time.monotonic() - began) < seconds:
                self._cycle(min(CYCLE_SECONDS, seconds - passed), passed < seconds / 2)
                self._be_quiet()
        finally:
            self._site.end()
        return self.figures

    def _cycle(self, seconds: float, servers_die: bool) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._fill()
            time.sleep(self._random.uniform(*PAUSES))
            self._cause_fault(servers_die)
            self._collect()

    def _fill(self) -> None:
        while len(self._flights) < AT_ONCE:
            kind = self._random.choice(list(KINDS))
            flight = Flight(kind, time.monotonic())
            tasks = flight.rules.tasks(self._site, self._random)
            name = f"{kind} {len(self._accepted)}"
            job = self._site.submit_once(tasks, name, **flight.rules.config)
            if flight.rules.cancelled:
                flight.cancel_at = time.monotonic() + self._random.uniform(0, 3)
            self._accepted.add(job)
            self._in_flight.append(job)
            self._flights[job] = flight

    def _cause_fault(self, servers_die: bool) -> None:
        [what] = self._random.choices(list(FAULTS), list(FAULTS.values()))
        if what == "disk" and self._disk is not None:
            self._fill_disk(self._disk, servers_die)
        elif what == "two of them":
            self._kill(self._random.sample(list(Victim), 2), servers_die)
        elif what in tuple(Victim):
            self._kill([Victim(what)], servers_die)

    def _kill(self, kinds: list[Victim], servers_die: bool) -> None:
        killed = self._killer.kill([kind for kind in kinds if servers_die or kind != "server"])
        if Victim.SHIM in killed:
            self._touched |= set(self._in_flight)
        if Victim.KEEPER in killed:
            self._orphaned |= set(self._in_flight)
        if Victim.SERVER in killed and self._random.random() < 0.3:
            self._killer.kill_at_start()

    def _fill_disk(self, disk: Path, servers_die: bool) -> None:
        """Fill the disk for up to 3 seconds; sometimes also kill a process."""
        filler = fill(disk, leave_bytes=self._random.choice((0, 0, 4096, 2**20)))
        self.figures.full_disks += 1
        for flight in self._flights.values():
            flight.disk_was_full = True
        time.sleep(self._random.uniform(0.2, 2))
        if self._random.random() < 0.3:
            self._kill([self._random.choice(list(Victim))], servers_die)
            time.sleep(self._random.uniform(0, 1))
        filler.unlink()

    def _collect(self) -> None:
        self._site.ensure()
        for job, flight in list(self._flights.items()):
            now = time.monotonic()
            if now > flight.cancel_at:
                flight.cancel_at = float("inf")
                self._site.insist(lambda job=job: self._site.call("POST", f"/jobs/{job}/cancel"))
            answer = self._status(job)
            if answer["status"] in ENDED:
                self._end_job(job, answer)
            elif now - flight.submitted_at > WITHIN:
                self.figures.wrong.append(f"{job} ({flight.kind}) does not end: {answer}")
                self._forget(job)

    def _status(self, job: str) -> Answer:
        return self._site.insist(lambda: self._site.call("GET", f"/jobs/{job}/status"))

    def _end_job(self, job: str, answer: Answer) -> None:
        flight = self._flights[job]
        self.figures.jobs[flight.kind] += 1
        if job in self._touched & self._orphaned:
            self.figures.daemons_left += end_daemons(self._site, job)
        deadline = time.monotonic() + SETTLED_WITHIN
        while (wrong := self._judge(job, flight, answer)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.figures.wrong += wrong
        self._forget(job)

    def _judge(self, job: str, flight: Flight, answer: Answer) -> list[str]:
        wrong = complaints_of_job(self._site, job, locks_may_remain=flight.disk_was_full)
        if answer["status"] not in flight.rules.ends:
            touched = ", a shim was killed" if job in self._touched else ""
            wrong.append(f"{job} ({flight.kind}{touched}) is {answer['status']}: {_bad(answer)}")
        if flight.kind == "repository" and not flight.disk_was_full:
            wrong += complaints_of_result(self._project, job)
        if flight.kind == "family" and not flight.disk_was_full:
            try:
                check(self._site, job, answer, shim_died=job in self._touched)
            except AssertionError as error:
                wrong.append(f"{job}: {error}")
        return wrong

    def _forget(self, job: str) -> None:
        # Deleted because the disk is small, and nothing reads these logs again.
        for log in (self._site.directory(job) / "logs").glob("depth_*.log"):
            log.unlink()
        del self._flights[job]
        self._in_flight.remove(job)

    def _be_quiet(self) -> None:
        """Wait until all jobs have ended, and check the invariants."""
        while self._flights:
            self._collect()
            time.sleep(0.05)
        self.figures.quiet_moments += 1
        wrong = complaints_of_store(self._site, self._accepted)
        wrong += complaints_of_project(self._project, self._untouched)
        lines = complete_lines(self._site.effects)
        wrong += [line for line in lines if line.startswith("overlap")]
        assert self._site.process is not None
        server = self._site.process.pid
        deadline = time.monotonic() + SETTLED_WITHIN
        while (each := self._resources(server)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if each is None:
            wrong.append("a keeper or spawner has not exited")
        for resources in each or ():
            wrong += resources.grown_since(self._first.setdefault(resources.pid, resources))
            self.figures.resources += [resources] if resources.pid == server else []
        self.figures.wrong += wrong

    def _resources(self, server: int) -> list[Resources] | None:
        """Return the resources of server, keepers, and spawners; None if one is ending."""
        keepers = above.keepers(server)
        spawners = [pid for keeper in keepers if (pid := above.spawner(keeper))]
        shims = sum(len(above.shims(keeper)) for keeper in keepers)
        found = [Resources.of(pid, shims) for pid in (server, *keepers, *spawners)]
        return None if None in found else [each for each in found if each is not None]


def _bad(answer: Answer) -> list[str]:
    """Describe the unsuccessful workers of a job."""
    return [
        f"{row['worker_id']} {row['status']} after {row['attempts']}: {row['reason']}; "
        f"{row['output'][-500:]!r}"
        for row in answer["results"]["tasks"]
        if row["status"] not in SUCCEEDED
    ]


def soak(place: Path, zygote: Zygote, seed: int, seconds: float, store: str = STORE) -> Figures:
    """Run the soak in the empty directory ``place``, with a separate disk if possible."""
    disk = mounted(place / "disk")
    try:
        return Soak(place / "site", zygote, seed, disk, store).run(seconds)
    finally:
        if disk is not None:
            unmount(disk)


if __name__ == "__main__":
    sys.exit(seeded.main(__doc__, soak))
