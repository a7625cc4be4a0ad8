"""A job's progress, from its events, independent of its display."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.cli.output.terminal import duration, first_line, moment
from orchestrator.core.model.states import ENDED_WORKER, SUCCEEDED_WORKER, WorkerStatus

REASON_CHARACTERS = 160
#: Shorter runs on the base commit and on the merged result are no line of their own when they end.
LEAST_TOLD_SECONDS = 1.0
_SUCCEEDED = {str(status) for status in SUCCEEDED_WORKER}
_UNSUCCESSFUL = [
    str(status) for status in WorkerStatus if status in ENDED_WORKER - SUCCEEDED_WORKER
]

Event = Mapping[str, Any]


@dataclass
class Progress:
    """Takes events one by one; every event gives at most one line of news."""

    #: By worker: its status.
    workers: dict[str, str] = field(default_factory=dict)
    #: By running worker: when it started, in seconds since the epoch.
    started_at: dict[str, float] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    child_jobs: int = 0

    def take(self, event: Event) -> str | None:
        """Record an event; return its line, or None if it is no news."""
        kind = str(event["kind"])
        worker = event.get("worker_id")
        facts = event.get("data") or {}
        if kind == "child_job_refused":
            said = first_line(facts.get("detail"), REASON_CHARACTERS)
            return f"{indent(str(worker))}{worker} was refused a child job: {said}"
        if kind == "late_result":
            kept = "which counts" if facts.get("taken") else "which is kept as salvage"
            said = first_line(facts.get("ended"), REASON_CHARACTERS)
            return f"{indent(str(worker))}{worker} had ended with {said}, {kept}"
        if kind == "agent_passed_over":
            who = f"{indent(str(worker))}{worker}" if worker else f"job {event['job_id']}"
            return f"{who} has {facts.get('instead')}, not {facts.get('agent')}{because(facts)}"
        if kind == "worker_used":
            return None
        if kind in ("gate_run_started", "gate_run_ended", "gate_ended"):
            return _of_gate(kind, worker, facts)
        if kind.startswith("worker_") and worker:
            at = moment(event.get("at")) or time.time()
            return indent(str(worker)) + self._worker(kind, str(worker), facts, at)
        return self._job(kind, str(event["job_id"]), facts)

    def _worker(self, kind: str, worker: str, facts: Mapping[str, Any], at: float) -> str:
        if kind == "worker_started":
            return self._started(worker, facts, at)
        if kind == "worker_waiting":
            self.workers[worker] = "waiting"
            return f"{worker} waits for {_awaited(facts)}"
        if kind == "worker_resumed":
            self.workers[worker] = "running"
            return f"{worker} goes on"
        if kind == "worker_sent_back":
            status = self.workers[worker] = str(facts.get("status") or "pending")
            next_step = "; retrying on the merged result" if status == "pending" else ""
            return f"{worker} not merged{because(facts)}{next_step}"
        if kind == "worker_retrying":
            self.workers[worker] = "pending"
            delay = duration(float(facts.get("delay_seconds") or 0))
            return f"{worker} {_attempt(facts)}failed{because(facts)}; retrying in {delay}"
        if kind == "worker_rolled_back":
            return f"{worker} was rolled back to {facts.get('checkpoint')} by {facts.get('by')}"
        return self._ended(worker, facts, at)

    def _started(self, worker: str, facts: Mapping[str, Any], at: float) -> str:
        self.workers[worker] = "running"
        self.started_at[worker] = at
        self.agents[worker] = str(facts.get("agent") or "")
        attempt = int(facts.get("attempt") or 1)
        again = f", attempt {attempt}" if attempt > 1 else ""
        return f"{worker} started ({self.agents[worker]}{again})"

    def _ended(self, worker: str, facts: Mapping[str, Any], at: float) -> str:
        status = str(facts.get("status") or "ended")
        self.workers[worker] = status
        began = self.started_at.pop(worker, None)
        took = f" after {duration(at - began)}" if began is not None else ""
        return f"{worker} {status.replace('_', ' ')}{took}{because(facts)}"

    def _job(self, kind: str, job: str, facts: Mapping[str, Any]) -> str | None:
        if kind == "job_submitted":
            worker = facts.get("parent_worker_id")
            if not worker:
                return None
            self.child_jobs += 1
            request = first_line(facts.get("request"), 80)
            return f"{indent(str(worker))}{worker} started child job {job}: {request}"
        if kind == "planner_started":
            return f"job {job} is planned by {facts.get('agent')}"
        if kind == "planner_retrying":
            return f"job {job} planning again{because(facts)}"
        if kind == "job_planned":
            tasks = facts.get("tasks")
            many = f"{tasks} task{'' if tasks == 1 else 's'}"
            made = f"job {job} has {many}, by {facts.get('source')}"
            instead = facts.get("fallback_from")
            return f"{made}{f', not by {instead}' if instead else ''}{because(facts)}"
        if kind == "reviewer_started":
            return f"the candidates of a task of job {job} are compared by {facts.get('agent')}"
        if kind == "candidate_chosen":
            order = facts.get("order") or ["?"]
            return f"{order[0]} is the best of {len(order)} candidates{because(facts)}"
        if kind == "job_approved":
            return f"job {job} was approved"
        if kind == "job_cancel_requested":
            return f"job {job} is being stopped"
        if kind == "job_retried":
            return f"job {job} runs again what did not succeed"
        return None

    def counts(self) -> Counter[str]:
        return Counter(self.workers.values())

    def running(self) -> Iterator[tuple[str, float]]:
        """Workers whose process runs, with the time they started, oldest first."""
        for worker, at in self.started_at.items():
            if self.workers[worker] == "running":
                yield worker, at

    def counters(self) -> str:
        """Such as ``3 done, 1 failed, 2 running, 1 waiting``."""
        counts = self.counts()
        done = sum(counts[status] for status in _SUCCEEDED)
        others = (*_UNSUCCESSFUL, "running", "waiting")
        parts = [(done, "done"), *((counts[status], status) for status in others)]
        return ", ".join(f"{n} {word}" for n, word in parts if n or word in ("done", "running"))


def indent(worker_id: str) -> str:
    """Two blanks for each depth: ``worker_2_1`` is one below ``worker_2``."""
    return "  " * max(0, worker_id.count("_") - 1)


def _of_gate(kind: str, worker: Any, facts: Mapping[str, Any]) -> str | None:
    """Such as ``worker_1: gate pytest: base commit``; nothing for a gate that checked nothing."""
    who = f"{indent(str(worker))}{worker}: " if worker else ""
    gate = first_line(facts.get("gate"), 80)
    if kind == "gate_run_started":
        return f"{who}gate {gate}: {first_line(facts.get('on'), 80)}"
    seconds = float(facts.get("seconds") or 0)
    if kind == "gate_run_ended":
        # The seconds of a worker's own run are shown with its outcome.
        is_of_worker, on = facts.get("on") == worker, first_line(facts.get("on"), 80)
        is_told = seconds >= LEAST_TOLD_SECONDS and not is_of_worker
        return f"{who}gate {gate}: {on} took {duration(seconds)}" if is_told else None
    outcome = str(facts.get("outcome") or facts.get("status")).replace("_", " ")
    if facts.get("cause") == "nothing_changed":
        return None
    took = f" after {duration(seconds)}" if seconds else ""
    found = "; ".join(map(str, facts.get("failures") or ()))
    why = first_line(found or (outcome != "passed" and facts.get("note")) or "", REASON_CHARACTERS)
    return f"{who}gate {gate} {outcome}{took}{f': {why}' if why else ''}"


def _awaited(facts: Mapping[str, Any]) -> str:
    """The child jobs or locks that a waiting worker has requested."""
    jobs, locks = (
        ", ".join(first_line(each, 80) for each in facts.get(kind) or ())
        for kind in ("child_job_ids", "locks")
    )
    both = (f"child job {jobs}" if jobs else "", f"lock {locks}" if locks else "")
    return " and ".join(filter(None, both)) or "child jobs"


def because(facts: Mapping[str, Any]) -> str:
    reason = first_line(facts.get("reason"), REASON_CHARACTERS)
    return f": {reason}" if reason else ""


def _attempt(facts: Mapping[str, Any]) -> str:
    attempt = facts.get("attempt")
    return f"attempt {attempt} " if attempt else ""
