"""Observers get every event in order, even if many events arrive together."""

import threading

from orchestrator.core.ports import StateChange
from orchestrator.engine.supervisor.publisher import Publisher, merged
from tests.unit.core.factories import a_job, a_worker


def test_changes_that_arrive_together_are_published_as_one_in_their_order() -> None:
    first, second = a_job(), a_job()

    change = merged(
        [StateChange(new_jobs=[first]), StateChange(jobs=[first]), StateChange(jobs=[second])]
    )

    assert (change.new_jobs, change.jobs) == ([first], [first, second])


def test_changes_that_arrive_while_an_observer_is_busy_are_published_and_awaited() -> None:
    publisher, busy, go_on = Publisher(), threading.Event(), threading.Event()
    ids: list[str] = []

    def observer(change: StateChange) -> None:
        busy.set()
        assert go_on.wait(10)
        ids.extend(job.id for job in change.jobs)

    publisher.add(observer)
    publisher.start()
    jobs = [a_job() for _ in range(5)]
    for job in jobs:
        publisher.announce()
        publisher.publish(StateChange(jobs=[job]))
    assert busy.wait(10)
    assert not publisher.catch_up(0)
    go_on.set()

    assert publisher.catch_up(10)
    assert ids == [job.id for job in jobs]
    publisher.stop()


def test_an_observer_of_one_part_gets_only_changes_with_values_in_this_part() -> None:
    publisher, seen = Publisher(), list[StateChange]()
    remove = publisher.add(seen.append, "workers")
    publisher.start()
    with_job, with_worker = StateChange(jobs=[a_job()]), StateChange(workers=[a_worker()])

    for change in (with_job, with_worker):
        publisher.announce()
        publisher.publish(change)
        assert publisher.catch_up(10)
    remove()
    publisher.announce()
    publisher.publish(with_worker)
    publisher.stop()

    assert seen == [with_worker]
