from collections import Counter
from collections.abc import Callable

from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.scheduler.queue.ready_queue import ReadyQueue
from tests.unit.core.factories import a_job, a_key


def anywhere(_: str) -> bool:
    return True


def none_run(_: str) -> int:
    return 0


def pop(
    ready: ReadyQueue, has_room: Callable[[str], bool], running_in: Callable[[str], int]
) -> WorkerKey | None:
    found = ready.next(has_room, running_in)
    if found is None:
        return None
    ready.take(found[0])
    return found[1]


def pop_all(ready: ReadyQueue, has_room: Callable[[str], bool] = anywhere) -> list[WorkerKey]:
    order: list[WorkerKey] = []
    while (key := pop(ready, has_room, none_run)) is not None:
        order.append(key)
    return order


def keys(job: Job, count: int) -> list[WorkerKey]:
    return [a_key(f"worker_{number}", job.root_id) for number in range(1, count + 1)]


def pushed(ready: ReadyQueue, job: Job, count: int) -> list[WorkerKey]:
    for key in keys(job, count):
        ready.push(key, job)
    return keys(job, count)


def test_workers_of_one_job_start_in_their_order() -> None:
    ready = ReadyQueue()
    assert pop_all(ready) == []
    expected = pushed(ready, a_job(), 3)
    assert pop_all(ready) == expected


def test_the_deepest_job_comes_first() -> None:
    ready = ReadyQueue()
    shallow = pushed(ready, a_job(depth=0), 1)
    deep = pushed(ready, a_job(depth=2), 1)
    middle = pushed(ready, a_job(depth=1), 1)
    assert pop_all(ready) == deep + middle + shallow


def test_the_root_job_that_runs_least_comes_first() -> None:
    ready, busy, idle = ReadyQueue(), a_job(), a_job()
    pushed(ready, busy, 1)
    expected = pushed(ready, idle, 1)
    running = {busy.id: 3, idle.id: 1}
    assert pop(ready, anywhere, running.__getitem__) == expected[0]


def test_root_jobs_take_turns() -> None:
    ready, one, other = ReadyQueue(), a_job(), a_job()
    pushed(ready, one, 3)
    pushed(ready, other, 3)
    order = [key.root_id for key in pop_all(ready)]
    assert order == [one.id, other.id] * 3


def test_a_job_without_room_lets_others_pass() -> None:
    ready, full, free = ReadyQueue(), a_job(depth=1), a_job()
    pushed(ready, full, 1)
    expected = pushed(ready, free, 1)
    assert pop_all(ready, lambda job_id: job_id == free.id) == expected
    assert pop_all(ready) == keys(full, 1)


def test_the_deepest_worker_resumes_first() -> None:
    ready = ReadyQueue()
    shallow, deep = a_key("worker_1"), a_key("worker_1_1")
    ready.push_resuming(shallow, a_job(depth=0))
    ready.push_resuming(deep, a_job(depth=1))
    resumed = [ready.pop_resuming(anywhere) for _ in range(3)]
    assert resumed == [deep, shallow, None]


def test_a_worker_resumes_only_where_there_is_room() -> None:
    ready, full, free = ReadyQueue(), a_job(depth=1), a_job()
    ready.push_resuming(a_key("worker_1"), full)
    ready.push_resuming(a_key("worker_2"), free)
    assert ready.pop_resuming(lambda job_id: job_id == free.id) == a_key("worker_2")
    assert ready.pop_resuming(lambda job_id: job_id == free.id) is None


def test_a_dropped_worker_does_not_resume() -> None:
    ready = ReadyQueue()
    ready.push_resuming(a_key(), a_job())
    ready.drop_resuming(a_key())
    ready.drop_resuming(a_key())
    assert ready.pop_resuming(anywhere) is None


def test_a_delayed_worker_is_ready_after_its_delay() -> None:
    ready, job = ReadyQueue(), a_job()
    ready.push_later(a_key("worker_2"), job, 20.0)
    ready.push_later(a_key("worker_1"), job, 10.0)
    assert ready.next_delayed == 10.0
    ready.release_delayed(9.9)
    assert pop_all(ready) == []
    ready.release_delayed(10.0)
    assert pop_all(ready) == [a_key("worker_1")]
    assert ready.next_delayed == 20.0
    ready.release_delayed(30.0)
    assert pop_all(ready) == [a_key("worker_2")]
    assert ready.next_delayed is None


def test_two_workers_may_be_delayed_to_the_same_moment() -> None:
    ready, job = ReadyQueue(), a_job()
    ready.push_later(a_key(), job, 10.0)
    ready.push_later(a_key(), job, 10.0)
    ready.release_delayed(10.0)
    assert Counter(pop_all(ready)) == {a_key(): 2}


def test_a_dropped_job_starts_nothing_any_more() -> None:
    ready, job = ReadyQueue(), a_job()
    pushed(ready, job, 2)
    ready.drop_job(job.id)
    assert pop_all(ready) == []


def test_a_forgotten_root_job_leaves_nothing_behind() -> None:
    ready, job = ReadyQueue(), a_job()
    pushed(ready, job, 2)
    ready.push_later(a_key(root_id=job.id), job, 10.0)
    pop(ready, anywhere, none_run)
    ready.drop_job(job.id)
    ready.forget_root(job.id)
    ready.release_delayed(10.0)
    assert pop_all(ready) == []
    assert not ready._queues
    assert not ready._jobs
    assert not ready._turns
    assert not ready._delayed
