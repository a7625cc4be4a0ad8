from orchestrator.core.model.machines import LIVE_PER_RUNNING
from orchestrator.core.scheduler.queue.worker_slots import Slots
from tests.unit.core.factories import a_child_job, a_config, a_job, a_worker


def slots(max_workers: int = 10, max_live_workers: int | None = 10) -> Slots:
    return Slots(max_workers=max_workers, max_live_workers=max_live_workers)


def test_the_server_runs_no_more_than_its_max_workers() -> None:
    two = a_config(max_workers=2)
    one, other, counted = a_job(config=two), a_job(config=two), slots(max_workers=2)
    counted.add_job(one, ())
    counted.add_job(other, ())
    counted.acquire(one.id)
    assert counted.has_room(other.id)
    counted.acquire(other.id)
    assert not counted.has_room(one.id)
    assert not counted.has_room(other.id)
    counted.release(one.id)
    assert counted.has_room(other.id)


def test_a_job_counts_the_running_workers_of_its_whole_subtree() -> None:
    root = a_job(config=a_config(max_workers=1))
    child = a_child_job(root, a_worker(job_id=root.id, root_id=root.id))
    counted = slots()
    counted.add_job(root, ())
    counted.add_job(child, (root,))
    counted.acquire(child.id)
    assert counted.running_in(root.id) == counted.running_in(child.id) == 1
    assert not counted.has_room(root.id)
    assert not counted.has_room(child.id)


def test_a_childs_limit_does_not_bind_its_parent() -> None:
    root = a_job(config=a_config(max_workers=2))
    child = a_child_job(root, a_worker(job_id=root.id, root_id=root.id))
    counted = slots()
    counted.add_job(root, ())
    counted.add_job(child, (root,))
    counted.acquire(child.id)
    assert not counted.has_room(child.id)
    assert counted.has_room(root.id)


def test_live_processes_are_bounded() -> None:
    root, counted = a_job(), slots(max_live_workers=1)
    counted.add_job(root, ())
    counted.process_added()
    counted.acquire(root.id)
    assert not counted.has_room_for_process
    counted.process_ended()
    assert counted.has_room_for_process


def test_all_wait_while_no_slot_is_taken() -> None:
    root, counted = a_job(), slots()
    counted.add_job(root, ())
    counted.process_added()
    assert counted.all_wait
    counted.acquire(root.id)
    assert not counted.all_wait


def test_the_snapshot_has_the_counts() -> None:
    root, counted = a_job(), slots(max_workers=3)
    counted.add_job(root, ())
    counted.acquire(root.id)
    counted.process_added()
    counted.process_added()
    assert counted.snapshot() == {"running": 1, "live": 2, "slots": 3}


def test_a_dropped_job_is_forgotten_and_may_be_dropped_again() -> None:
    root, counted = a_job(), slots()
    counted.add_job(root, ())
    counted.drop_job(root.id)
    counted.drop_job(root.id)
    assert not counted._limits
    assert not counted._running
    assert not counted._allowed


def test_a_root_job_that_was_allowed_more_raises_the_servers_bound_while_it_is_there() -> None:
    small, big = a_job(), a_job(config=a_config(max_workers=3))
    counted = slots(max_workers=2)
    counted.add_job(small, ())
    assert counted.snapshot()["slots"] == 2
    counted.add_job(big, ())
    assert counted.snapshot()["slots"] == 3
    counted.drop_job(big.id)
    assert counted.snapshot()["slots"] == 2


def test_the_bound_falls_to_what_the_other_root_jobs_were_allowed() -> None:
    big, bigger, counted = a_config(max_workers=3), a_config(max_workers=5), slots(max_workers=2)
    jobs = [a_job(config=config) for config in (big, bigger)]
    for job in jobs:
        counted.add_job(job, ())
    counted.drop_job(jobs[1].id)
    assert counted.snapshot()["slots"] == 3


def test_live_processes_are_bounded_by_the_slots_without_a_setting() -> None:
    root, counted = a_job(), slots(max_workers=2, max_live_workers=None)
    counted.add_job(root, ())
    counted.acquire(root.id)
    for _ in range(LIVE_PER_RUNNING * 2):
        assert counted.has_room_for_process
        counted.process_added()
    assert not counted.has_room_for_process
