"""A scheduler's state in a comparable form, and the collections that it has in memory."""

from collections.abc import Mapping, Sized

from orchestrator.core.model.job import WorkerKey
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.scheduler.state.job_trees import UnfinishedWorker


def state_of(scheduler: Scheduler) -> Mapping[str, object]:
    """Return all state that decides the next steps, except the order of root jobs."""
    trees, unit_of_work = scheduler._trees, scheduler._unit_of_work
    unfinished = {
        job.root_id for job in unit_of_work.jobs.values() if job.is_root and not job.ended_at
    }
    return {
        "jobs": {each: job for each, job in unit_of_work.jobs.items() if job.root_id in unfinished},
        "workers": {
            key: each for key, each in unit_of_work.workers.items() if key[0] in unfinished
        },
        "attempts": dict(unit_of_work.attempts),
        "nodes": {key: _unfinished(unfinished) for key, unfinished in trees.unfinished.items()},
        "slots": scheduler.view.slots(),
        "running": {each: scheduler._trees.slots.running_in(each) for each in unit_of_work.jobs},
        "resuming": set(trees.ready._resuming),
        "startable": startable(scheduler),
        "rendering": set(scheduler._parts.job_end.rendering),
        "planning": set(scheduler._parts.job_end.planning),
        "pause": trees.pause,
        "to ask": _to_ask(scheduler),
        "seq": dict(unit_of_work._last_seq),
    }


def _to_ask(scheduler: Scheduler) -> set[WorkerKey]:
    keys = (key for key in scheduler._trees.to_ask if key in scheduler._trees.unfinished)
    return {key for key in keys if _may_start(scheduler, key)}


def _unfinished(unfinished: UnfinishedWorker) -> tuple[object, ...]:
    verdict = (unfinished.verdict.status, unfinished.verdict.reason) if unfinished.verdict else None
    return (
        unfinished.alive,
        unfinished.has_slot,
        unfinished.stopping,
        frozenset(unfinished.open_children),
        verdict,
    )


def startable(scheduler: Scheduler) -> set[WorkerKey]:
    """Return the queued, delayed, and held workers that were not cancelled."""
    ready, unfinished_workers, holds = (
        scheduler._trees.ready,
        scheduler._trees.unfinished,
        scheduler._trees.holds,
    )
    queued = {each[2] for queue in ready._queues.values() for each in queue}
    delayed = {each[2] for each in ready._delayed}
    waiting = [*holds._unprepared.values(), *(each.behind for each in holds._groups.values())]
    return {
        key
        for key in queued | delayed | {key for keys in waiting for key in keys}
        if key in unfinished_workers and _may_start(scheduler, key)
    }


def _may_start(scheduler: Scheduler, key: WorkerKey) -> bool:
    worker = scheduler.view.workers[key]
    return str(worker.status) == "pending" and scheduler._trees.is_ready(worker)


def memory_of(scheduler: Scheduler) -> Mapping[str, Sized]:
    """Return the scheduler's non-empty collections, by name."""
    parts = (
        scheduler,
        scheduler._trees,
        scheduler._unit_of_work,
        scheduler._trees.slots,
        scheduler._trees.ready,
        scheduler._trees.holds,
        *vars(scheduler._parts).values(),
    )
    held = {
        f"{type(part).__name__}.{name}": value
        for part in parts
        for name, value in vars(part).items()
        if isinstance(value, dict | list | set)
    }
    return {name: value for name, value in held.items() if value}
