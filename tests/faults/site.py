"""A server that crashes at failpoints, a job for it, and checks of the state after the crash."""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from orchestrator.launchers.process.crash_injection import LINE_BYTES, VARIABLE
from tests.contract.store_adapters import database
from tests.faults.zygote import Forked, Zygote
from tests.integration.site import KEY, Answer, ServerProcess, shell, worker_processes

ENDED = ("completed", "partial", "failed", "cancelled")
#: Maximum number of starts, more than any schedule of crashes needs.
MOST_STARTS = 12
#: Timeout of a call or a job, in seconds.
WITHIN = 90.0

#: Store of servers whose test names no store: sqlite or postgresql.
STORE = os.environ.get("ORCHESTRATOR_TEST_STORE", "sqlite")

#: First and last lines of every worker's script. All processes of the worker inherit the descriptor
#: that holds the lock. If the lock is not available, an earlier attempt of the worker still runs.
BEGIN = (
    'exec 9>>"$EFFECTS.$ORCHESTRATOR_JOB_ID.$ORCHESTRATOR_WORKER_ID"; '
    'flock -n 9 || echo "overlap $ORCHESTRATOR_WORKER" >> "$EFFECTS"; '
    'echo "start $ORCHESTRATOR_WORKER" >> "$EFFECTS"; '
)
END = 'echo "end $ORCHESTRATOR_WORKER" >> "$EFFECTS"'


class FaultSite(ServerProcess):
    def __init__(
        self,
        folder: Path,
        zygote: Zygote,
        crashes: tuple[int | str, ...] = (),
        store: str = STORE,
        **changes: Mapping[str, Any],
    ) -> None:
        self._databases = ExitStack()
        stored = store_settings(store, folder, self._databases)
        #: URL of a database on a server; empty for the file in the workspace.
        self.database: str = stored["store"]["url"] if stored else ""
        changes = {**changes, **stored}
        changes.setdefault("workers", {"max_retries": 6, "retry_backoff_seconds": 0.01})
        super().__init__(folder, changes, zygote)
        self.trace = folder / "trace"
        self.effects = folder / "effects"
        self.effects.touch()
        self.crashes = ",".join(str(number) for number in crashes)
        #: Kinds of the events that were read from streams, by number.
        self.kinds: dict[int, str] = {}
        self.starts, self.most_starts = 0, MOST_STARTS

    def environment(self) -> dict[str, str]:
        armed = {VARIABLE: f"{self.trace}|{self.crashes}"} if self.crashes else {}
        return {**super().environment(), **armed}

    def ensure(self) -> None:
        """Wait until a server is ready; start another server after each crash."""
        while not self._is_ready():
            if self.process is None or self.process.poll() is not None:
                assert self.starts < self.most_starts, self.tail()
                self.begin()
            time.sleep(0.01)

    def begin(self) -> None:
        """Start a server without waiting until it is ready."""
        self.starts += 1
        self.process = self.popen("--port", "0")

    def _is_ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        try:
            record = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return False
        self.url = record["url"]
        return bool(record["pid"] == self.process.pid)

    def insist(self, ask: Callable[[], requests.Response]) -> Answer:
        """Repeat a call until a server answers; return the answer. Restarts a crashed server."""
        deadline = time.monotonic() + WITHIN
        while True:
            assert time.monotonic() < deadline, f"no answer; {self.tail()}"
            self.ensure()
            try:
                response = ask()
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                # The server is down, or stopped during its answer.
                continue
            if response.status_code in (429, 503):
                continue
            assert response.ok, response.text
            found: Answer = response.json()
            return found

    def submit_once(self, tasks: list[Answer], name: str = "the-only-one", **config: object) -> str:
        body = {"request": name, "tasks": tasks, "config": config}
        headers = {"Idempotency-Key": name}
        return str(
            self.insist(lambda: self.call("POST", "/orchestrate", body, headers=headers))["job_id"]
        )

    def wait_through(self, job_id: str, within: float = WITHIN) -> Answer:
        """Wait for the end of a job, across any number of servers."""
        deadline = time.monotonic() + within
        while True:
            answer = self.insist(lambda: self.call("GET", f"/jobs/{job_id}/wait?timeout=2"))
            if answer["status"] in ENDED:
                return answer
            assert time.monotonic() < deadline, f"{job_id} is {answer['status']}; {self.tail()}"

    def events_of(self, job_id: str) -> list[Answer]:
        """Return all events of an ended job, as a stream sends them from the first event."""
        text = requests.get(
            f"{self.url}/api/v1/jobs/{job_id}/events", headers={"X-API-Key": KEY}, timeout=30
        ).text
        return [json.loads(data) for data in re.findall(r"^data: (.*)$", text, re.MULTILINE)]

    def read_stream(self, job_id: str, after: int, most: int) -> list[int]:
        """Return the ids of the next ``most`` events; fewer if the stream ends."""
        headers = {"X-API-Key": KEY, "Last-Event-ID": str(after)}
        url = f"{self.url}/api/v1/jobs/{job_id}/events"
        numbers: list[int] = []
        with requests.get(url, headers=headers, timeout=30, stream=True) as response:
            for line in response.iter_lines(chunk_size=1):
                field, _, value = line.decode().partition(": ")
                if field == "id":
                    numbers.append(int(value))
                elif field == "data":
                    self.kinds[numbers[-1]] = json.loads(value)["kind"]
                    if len(numbers) == most:
                        break
        return numbers

    def reached(self) -> list[str]:
        """Return the failpoints reached so far, in order: "<pid> <name>"."""
        if not self.trace.exists():
            return []
        content = self.trace.read_bytes()
        assert len(content) % LINE_BYTES == 0
        return [line.strip() for line in content.decode().splitlines()]

    def crashed_at(self) -> list[str]:
        names = self.reached()
        places = self.crashes.split(",")
        numbers = [int(each) for each in places if each.isdecimal()]
        once = {each.partition("#")[0] for each in places if "#" in each}
        return [
            *(names[number - 1] for number in numbers if number <= len(names)),
            *sorted(once & {name.partition(" ")[2] for name in names}),
        ]

    def tail(self) -> str:
        output = self.folder / "server.out"
        tail = output.read_text()[-3000:] if output.exists() else ""
        return (
            f"crashed at {self.crashed_at() if self.crashes else '-'}; the server's output: {tail}"
        )

    def end(self) -> None:
        """Kill the server in any state, because an orderly stop takes longer."""
        if isinstance(self.process, Forked):
            self.process.kill()
            self.process.wait(WITHIN)
        self._databases.close()


def store_settings(store: str, folder: Path, databases: ExitStack) -> dict[str, Any]:
    """Return the settings of an empty store of this kind. ``databases`` empties it again."""
    if store == "sqlite":
        return {}
    return {"store": {"url": databases.enter_context(database(store, folder))}}


def fault_tasks(site: FaultSite, retries: int = 6, pause: str = "") -> list[Answer]:
    """Return tasks with a dependency, a retry, and a worker that waits for a child job.

    ``pause`` is a shell command, with its semicolon, that delays each worker.
    """
    common = {"env": {"EFFECTS": str(site.effects)}, "retries": retries}
    children = site.folder / "children.json"
    # Replaced atomically, because workers of earlier jobs may read the file now.
    temporary = children.with_suffix(".new")
    temporary.write_text(json.dumps([shell(BEGIN + pause + END, **common)]))
    temporary.replace(children)
    spawn = f"orchestrator spawn child --tasks '{children}' --wait >/dev/null && "
    again = "[ -e tried ] || { touch tried; exit 1; }; "
    return [
        shell(BEGIN + pause + END, id="first", **common),
        shell(BEGIN + spawn + END, id="parent", **common),
        shell(BEGIN + again + END, id="again", **common),
        shell(BEGIN + END, id="last", depends_on=["first", "again"], **common),
    ]


def check(site: FaultSite, job_id: str, answer: Answer, *, shim_died: bool) -> None:
    """Check the end of a job of ``fault_tasks``, after any crash.

    A worker whose shim died runs again, because its outcome is unknown.
    """
    details = site.tail()
    assert answer["status"] == "completed", (answer, details)
    rows = answer["results"]["tasks"]
    statuses = [row["status"] for row in rows]
    assert statuses == ["success", "recursive_success", "success", "success"], details
    lines = [line for line in site.effects.read_text().splitlines() if f" {job_id}/" in line]
    check_effects(lines, details, shim_died=shim_died)
    check_links(site, job_id, rows[1], shim_died=shim_died)
    check_events(site.events_of(job_id), details)
    assert not worker_processes(job_id), details
    directory = site.directory(job_id)
    assert (directory / "FINAL_RESULT.md").exists()
    assert not list((directory / "attempts").glob("*.run")), details


def check_effects_once(lines: list[str], details: str) -> None:
    """Check that no attempt ran twice, and that no two attempts of a worker ran at the same
    time.
    """
    assert not [line for line in lines if line.startswith("overlap")], (lines, details)
    assert max(Counter(lines).values()) == 1, f"an attempt ran twice: {lines}; {details}"


def check_effects(lines: list[str], details: str, *, shim_died: bool) -> None:
    check_effects_once(lines, details)
    ended = Counter(attempt_of(line)[0] for line in lines if line.startswith("end"))
    if not shim_died:
        assert max(ended.values()) == 1, f"a finished worker ran again: {lines}; {details}"
        # Only the worker that fails once was started twice.
        starts = Counter(attempt_of(line)[0] for line in lines if line.startswith("start"))
        again = [worker for worker, times in starts.items() if times > 1]
        assert again == ["worker_3"] and starts["worker_3"] == 2, (lines, details)


def attempt_of(line: str) -> tuple[str, int]:
    _, worker, number = line.split(" ")[1].split("/")
    return worker, int(number)


def check_links(site: FaultSite, job_id: str, parent: Answer, *, shim_died: bool) -> None:
    children = parent["child_job_ids"]
    assert shim_died or len(children) == 1, (children, site.tail())
    assert os.readlink(site.directory(job_id) / "depth_0" / "worker_2_recursive") == "worker_2"
    child = site.get(f"/jobs/{children[-1]}")
    assert (child["status"], child["parent_worker_id"]) == ("completed", "worker_2"), child
    assert [row["status"] for row in parent["child_results"]] == ["success"]
    listed = site.get(f"/jobs?parent={job_id}")["jobs"]
    assert sorted(each["job_id"] for each in listed) == sorted(children)


def check_events(events: list[Answer], details: str) -> None:
    assert [event["kind"] for event in events].count("job_submitted") >= 2, details
    check_events_once(events, details)


def check_events_once(events: list[Answer], details: str) -> None:
    """Check that the events have no gap, and that each job and each worker ended once."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), details
    assert events[-1]["kind"] == "job_ended", (events[-1], details)
    ends = Counter(
        (e["job_id"], e.get("worker_id")) for e in events if e["kind"].endswith("_ended")
    )
    assert max(ends.values()) == 1, (ends, details)
