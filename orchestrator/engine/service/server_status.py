"""The use cases that show the server itself: agents, nodes, health, and statistics."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from orchestrator.core.errors import StoreError
from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports import StateChange, Store
from orchestrator.core.ports.agent_availability import Availability, with_login
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.ports.read_models import Health, NodeState
from orchestrator.engine.runtime import clock
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.supervisor.supervisor import Supervisor

#: Maximum seconds for which a call waits for the check of the store. The time is short because
#: monitoring programs wait only about 1 s for an answer.
CHECK_SECONDS = 0.5
_WINDOW_SECONDS = 60.0
#: Kinds of events that ``Throughput`` counts, with the names of their counts.
_COUNTED = {EventKind.WORKER_ENDED: "workers_ended", EventKind.JOB_ENDED: "jobs_ended"}


class Throughput:
    """Counts the workers and jobs that ended in the last minute, and the outcomes of gates.

    The outcomes are counted from the server's start. The object is an observer of stored changes.
    Any thread may call ``per_minute``.
    """

    def __init__(self) -> None:
        self._ends: dict[str, deque[float]] = {name: deque() for name in _COUNTED.values()}
        self._gates: Counter[str] = Counter({str(outcome): 0 for outcome in GateOutcome})

    def __call__(self, change: StateChange) -> None:
        for event in change.events:
            if event.kind in _COUNTED:
                self._ends[_COUNTED[event.kind]].append(event.at)
            elif event.kind is EventKind.GATE_ENDED:
                self._gates[str(event.data["outcome"])] += 1
        self._drop_old_ends(clock.now())

    def per_minute(self) -> dict[str, int]:
        since = clock.now() - _WINDOW_SECONDS
        return {name: sum(at > since for at in list(ends)) for name, ends in self._ends.items()}

    def gates(self) -> dict[str, int]:
        return dict(self._gates)

    def _drop_old_ends(self, now: float) -> None:
        for ends in self._ends.values():
            while ends and ends[0] < now - _WINDOW_SECONDS:
                ends.popleft()


class StoreProbe:
    """Checks whether the store works, without a long wait for the database. Any thread may call.

    ``check``: a function that raises StoreError if the store does not work. At most one thread runs
    ``check`` at a time.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._lock = threading.Lock()
        #: The latest check, which may still run, and the time of its start in monotonic seconds.
        self._latest: Future[None] | None = None
        self._begun = 0.0
        #: The result of the latest finished check: an error text, or "".
        self._latest_trouble = ""

    def trouble(self) -> str:
        """Return why the store cannot be used, as text; "" if the store works.

        The call takes at most ``CHECK_SECONDS``.
        """
        with self._lock:
            if self._latest is None or self._latest.done():
                latest: Future[None] = Future()
                arguments = (latest,)
                threading.Thread(
                    target=self._run_check, args=arguments, name="store-probe", daemon=True
                ).start()
                self._latest, self._begun = latest, time.monotonic()
            latest, started_at = self._latest, self._begun
        try:
            latest.result(max(0.0, started_at + CHECK_SECONDS - time.monotonic()))
        except TimeoutError:
            waited_seconds = time.monotonic() - started_at
            return (
                self._latest_trouble or f"the database has not answered for {waited_seconds:.1f} s"
            )
        except StoreError as error:
            return error.message
        return ""

    def _run_check(self, latest: "Future[None]") -> None:
        try:
            self._check()
        except Exception as error:
            self._latest_trouble = str(error)
            latest.set_exception(error)
        else:
            self._latest_trouble = ""
            latest.set_result(None)


class ServerStatus:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        launcher: Launcher,
        submission_builder: SubmissionBuilder,
        throughput: Throughput,
        version: str,
        moved_error: Callable[[], str],
        nodes: Callable[[], Sequence[NodeState]],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else ""."""
        self._supervisor = supervisor
        self._store = store
        self._probe = StoreProbe(store.check)
        self._access = access
        self._launcher = launcher
        self._submission_builder = submission_builder
        self._throughput = throughput
        self._version = version
        self._moved_error = moved_error
        self._nodes = nodes

    def stats(self, caller: Caller) -> Mapping[str, object]:
        """Return statistics of all jobs.

        Raise Forbidden for a caller that does not see all jobs.
        """
        self._access.check_statistics(caller)
        statistics = self._store.stats()
        return {
            "jobs": dict(statistics.jobs),
            "workers": dict(statistics.workers),
            "attempts": statistics.attempts,
            "per_minute": self._throughput.per_minute(),
            "gates": self._throughput.gates(),
            "cost_usd": statistics.cost.usd,
            "cost_estimated": statistics.cost.estimated,
            "cost_partial": statistics.cost.partial,
            "slots": dict(self._supervisor.view.slots()),
            "containment": self._launcher.containment,
        }

    def nodes(self, caller: Caller) -> Sequence[NodeState]:
        """Return the nodes of the cluster.

        Raise Forbidden if the caller is a worker, or does not see all jobs.
        """
        self._access.check_statistics(caller)
        return self._nodes()

    def agents(self) -> Sequence[Availability]:
        """Return every agent that a task can name. An unavailable agent comes with the reasons."""
        logins = self._supervisor.call(lambda scheduler, now: scheduler.view.logins_seen(now))
        return [
            with_login(each, logins.get(each.name)) for each in self._submission_builder.agents()
        ]

    def health(self) -> Health:
        """Return the server's health: whether it can accept and run jobs now, and why not."""
        checks = {"supervisor": "ok" if self._supervisor.alive else "has stopped"}
        checks["store"] = self._probe.trouble() or self._supervisor.store_trouble or "ok"
        checks["place"] = self._moved_error() or "ok"
        agents = [
            each
            for each in self._submission_builder.agents()
            if self._submission_builder.uses_model(each.name)
        ]
        return Health(
            usable_agents=sum(each.usable for each in agents),
            known_agents=len(agents),
            ready=all(word == "ok" for word in checks.values()),
            checks=checks,
            paused=self._supervisor.paused,
            containment=self._launcher.containment,
            version=self._version,
        )
