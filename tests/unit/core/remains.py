"""What a scheduler knows, in a form that can be compared, and what it holds in memory."""

from collections.abc import Mapping, Sized

from orchestrator.core.forest import Node
from orchestrator.core.model import WorkerKey
from orchestrator.core.scheduler import Scheduler


def state_of(scheduler: Scheduler) -> Mapping[str, object]:
    """Everything that decides what happens next, but for the turns that root jobs take."""
    forest, ledger = scheduler.forest, scheduler.ledger
    unfinished = {job.root_id for job in ledger.jobs.values() if job.is_root and not job.ended_at}
    return {
        "jobs": {each: job for each, job in ledger.jobs.items() if job.root_id in unfinished},
        "workers": {key: each for key, each in ledger.workers.items() if key[0] in unfinished},
        "attempts": dict(ledger.attempts),
        "nodes": {key: _node(node) for key, node in forest.nodes.items()},
        "slots": scheduler.slots.snapshot(),
        "running": {each: scheduler.slots.running_in(each) for each in ledger.jobs},
        "resuming": set(forest.ready._resuming),
        "startable": startable(scheduler),
        "rendering": set(scheduler._endings.rendering),
        "planning": set(scheduler._endings.planning),
        "seq": dict(ledger._last_seq),
    }


def _node(node: Node) -> tuple[object, ...]:
    verdict = (node.verdict.status, node.verdict.reason) if node.verdict else None
    return node.alive, node.has_slot, node.stopping, frozenset(node.open_children), verdict


def startable(scheduler: Scheduler) -> set[WorkerKey]:
    """Queued, delayed or set aside, and not cancelled meanwhile."""
    ready, nodes, aside = scheduler.forest.ready, scheduler.forest.nodes, scheduler.forest.aside
    queued = {key for queue in ready._queues.values() for key in queue}
    delayed = {each[2] for each in ready._delayed}
    waiting = [*aside._unprepared.values(), *(each.behind for each in aside._ahead.values())]
    return {
        key
        for key in queued | delayed | {key for keys in waiting for key in keys}
        if key in nodes and str(scheduler.ledger.workers[key].status) == "pending"
    }


def memory_of(scheduler: Scheduler) -> Mapping[str, Sized]:
    """The collections that are not empty, by name."""
    parts = (
        scheduler,
        scheduler.forest,
        scheduler.ledger,
        scheduler.slots,
        scheduler.forest.ready,
        scheduler.forest.aside,
        scheduler._endings,
        scheduler._running,
    )
    held = {
        f"{type(part).__name__}.{name}": value
        for part in parts
        for name, value in vars(part).items()
        if isinstance(value, dict | list | set)
    }
    return {name: value for name, value in held.items() if value}
