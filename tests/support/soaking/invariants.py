"""Checks of a soak's invariants. Each check returns its complaints; no complaint means success."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text

from orchestrator.engine.merge.merge_queue import MOST_THREADS
from tests.faults.site import FaultSite
from tests.integration.site import Answer
from tests.support.project import Project
from tests.support.soaking.kinds import WHOLE_RESULT

#: Allowed growth since the server's first quiet moment. Threads of merges do not end.
MORE_DESCRIPTORS, MORE_THREADS, MORE_BYTES = 8, 2 + MOST_THREADS, 24 * 2**20
SUCCEEDED = ("success", "recursive_success")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """The resources of a process at one moment."""

    pid: int
    #: Number of descriptors, minus one for each shim, because idle shims remain.
    descriptors: int
    threads: int
    bytes: int
    #: Targets of the descriptors.
    open: tuple[str, ...]

    @classmethod
    def of(cls, pid: int, shims: int) -> "Resources | None":
        """Return the resources of the server, its keeper, or its spawner with this many shims.

        Return None for a process that is ending or has ended.
        """
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            found = sorted(_open_files(pid))
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = dict(line.split(":", 1) for line in lines)
        if "VmRSS" not in fields:
            return None
        return cls(
            pid=pid,
            descriptors=len(found) - shims,
            open=tuple(found),
            threads=int(fields["Threads"]),
            bytes=int(fields["VmRSS"].split()[0]) * 1024,
        )

    def grown_since(self, first: "Resources") -> Iterator[str]:
        if self.descriptors > first.descriptors + MORE_DESCRIPTORS:
            more = Counter(self.open) - Counter(first.open)
            yield f"{first.descriptors} descriptors have become {self.descriptors}: {dict(more)}"
        if self.threads > first.threads + MORE_THREADS:
            yield f"{first.threads} threads have become {self.threads}"
        if self.bytes > first.bytes + MORE_BYTES:
            yield f"{first.bytes:,} bytes have become {self.bytes:,}"


def _open_files(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            # Without the number of a socket or pipe.
            yield os.readlink(link).partition(":[")[0]


def leftover_processes(site: FaultSite, root_id: str) -> list[str]:
    """Return the running processes of a root job, each as "<pid> <name>".

    A process belongs to the job if its environment has the job's marker, or if its directory or
    arguments contain the job's path. A daemon with an empty environment is found only by the path.
    """
    directory = str(site.directory(root_id)).encode()
    marks = (f"ORCHESTRATOR_WORKER={root_id}/".encode(), directory + b"/")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            content = b"".join(
                (process / name).read_bytes() + b"\0" for name in ("environ", "cmdline")
            )
            content += os.readlink(bytes(process / "cwd")) + b"/"
            if any(each in content for each in marks):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
    return found


def end_daemons(site: FaultSite, root_id: str) -> int:
    """Kill the job's processes that emptied their environment. Return their number.

    The containment mode ``subreaper`` leaves such processes if shim, spawner, and keeper die.
    See docs/reference/containment.md.
    """
    ended = 0
    for stray in leftover_processes(site, root_id):
        pid = int(stray.split()[0])
        with suppress(OSError):
            if not Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
                ended += 1
    return ended


def complaints_of_job(
    site: FaultSite, root_id: str, *, locks_may_remain: bool = False
) -> list[str]:
    """Return the violations of a root job that has ended.

    ``locks_may_remain``: True if the disk was full, so that the ``.run`` file of an ended attempt
    may remain.
    """
    answer = site.insist(lambda: site.call("GET", f"/jobs/{root_id}"))
    found = [f"a leftover process runs: {stray}" for stray in leftover_processes(site, root_id)]
    found += _files(site, root_id, answer)
    claims = [path.name for path in (site.directory(root_id) / "attempts").glob("*.run")]
    if claims and not locks_may_remain:
        found.append(f"attempts have ended, but their locks remain: {claims}")
    found += _events(site.events_of(root_id))
    return [f"{root_id}: {complaint}" for complaint in found]


def _files(site: FaultSite, root_id: str, answer: Answer) -> Iterator[str]:
    directory = site.directory(root_id)
    for name in ("FINAL_RESULT.md", "reports/analytics.json", "status.json"):
        if not (directory / name).is_file():
            yield f"{name} does not exist"
    with suppress(OSError):
        written = json.loads((directory / "status.json").read_text())
        yield from _differences(answer, written)
    for worker in answer["workers"]:
        yield from _worker_files(directory, worker)


def _differences(answer: Answer, written: Answer) -> Iterator[str]:
    if answer["status"] != written["status"]:
        yield f"the job is {answer['status']}, but status.json has {written['status']}"
    stored = {row["worker_id"]: row["status"] for row in answer["workers"]}
    written_statuses = {row["worker_id"]: row["status"] for row in written["results"]["tasks"]}
    if stored != written_statuses:
        yield f"the workers are {stored}, but status.json has {written_statuses}"


def _worker_files(directory: Path, worker: Answer) -> Iterator[str]:
    name = worker["worker_id"]
    if worker["status"] not in SUCCEEDED:
        return
    if not (directory / "logs" / f"depth_0_{name}.log").is_file():
        yield f"{name} succeeded, but has no log"
    last = worker["attempts"][-1]
    if last["exit_code"] != 0:
        yield f"{name} succeeded, but its last attempt is {last}"
    record = directory / "attempts" / f"{name}.{last['number']}.exit.json"
    with suppress(FileNotFoundError):
        written = json.loads(record.read_text())
        if written.get("code") != 0:
            yield f"{name} succeeded, but {record.name} has {written}"


def _events(events: list[Answer]) -> Iterator[str]:
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, len(events) + 1)):
        yield f"the events have gaps or repeats: {numbers}"
    elif events[-1]["kind"] != "job_ended":
        yield f"the last event is not the end of the job: {events[-1]}"
    ends = Counter(
        _whose(event) for event in events if event["kind"] in ("worker_ended", "job_ended")
    )
    # A worker whose merge was rejected has another attempt, and ends again.
    again = Counter(_whose(event) for event in events if event["kind"] == "worker_sent_back")
    for who, times in ends.items():
        if times > 1 + again[who]:
            kinds = [each["kind"] for each in events if _whose(each) == who]
            yield f"{who} ended {times} times: {kinds}"


def _whose(event: Answer) -> tuple[str, str | None]:
    return event["job_id"], event.get("worker_id")


def complaints_of_store(site: FaultSite, accepted: set[str]) -> list[str]:
    """Return the violations of the store while no job runs. ``accepted``: ids of all root jobs."""
    file = f"sqlite:///file:{site.workspace / 'orchestrator.db'}?mode=ro&uri=true"
    engine = create_engine(site.database or file, poolclass=NullPool)
    with engine.connect() as connection:
        found = [] if site.database else _complaints_of_file(connection)
        jobs = {row.id for row in connection.execute(text("SELECT id FROM jobs WHERE depth = 0"))}
        unended = connection.scalar(text("SELECT count(*) FROM attempts WHERE ended_at IS NULL"))
        leased = connection.scalar(text("SELECT count(*) FROM leases"))
    directories = {path.name.removeprefix("job_") for path in site.workspace.glob("job_*")}
    found += [f"{unended} attempts have no end"] if unended else []
    found += [f"the store has lost the accepted job {job}" for job in accepted - jobs]
    found += [f"job {job} has no directory" for job in jobs - directories]
    found += [f"the directory of {job} belongs to no job" for job in directories - jobs]
    standing = site.insist(lambda: site.call("GET", "/locks"))["locks"]
    found += [f"active leases remain: {standing}; {leased} are stored"] if standing else []
    return found


def _complaints_of_file(connection: Connection) -> list[str]:
    broken = connection.execute(text("PRAGMA foreign_key_check"))
    found = [f"the database: {row}" for row in broken]
    verdict = connection.scalar(text("PRAGMA quick_check"))
    return [*found, f"the database: {verdict}"] if verdict != "ok" else found


def complaints_of_project(project: Project, before: Mapping[str, str]) -> list[str]:
    """Return the violations of a repository while no job works on it."""
    found = [f"a worktree remains: {each}" for each in project.worktrees()]
    now = project.snapshot()
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return [*found, f"files of the user have changed: {changed}"] if changed else found


def complaints_of_result(project: Project, root_id: str) -> list[str]:
    """Return the work that is missing on the branch of a job of the kind ``repository``."""
    files = project.files(f"orchestrator/{root_id}/result")
    missing = [name for name in WHOLE_RESULT if name not in files]
    found = [f"{root_id}: the result lacks {missing}; it has {files}"] if missing else []
    return (
        [*found, f"{root_id}: a file that a gate rejects was merged"]
        if "broken" in files
        else found
    )
