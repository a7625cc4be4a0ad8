"""The contract of the store for values: a stored value equals the saved value in every field."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.model.job import Job, TaskSpec
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports import StateChange, Store
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.store import SqlStore
from tests.contract import store_strategies as values
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import HARD_TEXT, a_job, a_worker, an_attempt, an_event
from tests.support.examples import examples

HUGE = HARD_TEXT * 1000 + "é" * 4_000_000

quickly = settings(
    max_examples=examples(15, 200),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(params=ADAPTERS, scope="module")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("store")
    with database(request.param, directory) as url:
        store = SqlStore(url)
        store.open()
        yield store
        store.close()


def saved_job(store: Store) -> Job:
    job = a_job(secrets.token_hex(8))
    store.save(StateChange(new_jobs=[job]))
    return job


@quickly
@given(data=st.data())
def test_a_job_comes_back_as_it_was_saved(store: Store, data: st.DataObject) -> None:
    job = data.draw(values.jobs(secrets.token_hex(8)))

    store.save(StateChange(new_jobs=[job]))

    assert store.job(job.id) == job


@quickly
@given(tasks=st.lists(values.tasks, max_size=3))
def test_tasks_come_back_as_they_were_saved(store: Store, tasks: list[TaskSpec]) -> None:
    job = saved_job(store)

    store.save(StateChange(new_tasks=[(job.id, place, task) for place, task in enumerate(tasks)]))

    assert store.tasks(job.id) == tasks
    assert all(isinstance(task.agents, tuple) for task in store.tasks(job.id))


@quickly
@given(data=st.data())
def test_a_worker_comes_back_as_it_was_saved(store: Store, data: st.DataObject) -> None:
    worker = data.draw(values.workers(saved_job(store)))

    store.save(StateChange(new_workers=[worker]))

    assert store.worker(worker.key) == worker


@quickly
@given(data=st.data())
def test_a_changed_worker_comes_back_as_it_was_changed(store: Store, data: st.DataObject) -> None:
    job = saved_job(store)
    changed = data.draw(values.workers(job))
    made_for = ("id", "task_id", "index", "kind", "depth")
    first = a_worker(job, **{name: getattr(changed, name) for name in made_for})

    store.save(StateChange(new_workers=[first]))
    store.save(StateChange(workers=[changed]))

    assert store.worker(changed.key) == changed


@quickly
@given(data=st.data())
def test_an_attempt_comes_back_as_it_was_saved(store: Store, data: st.DataObject) -> None:
    worker = a_worker(saved_job(store))
    attempt = data.draw(values.attempts(worker))

    store.save(StateChange(new_workers=[worker], new_attempts=[attempt]))

    assert store.attempts(worker.key) == [attempt]


@quickly
@given(data=st.data())
def test_an_event_comes_back_as_it_was_saved(store: Store, data: st.DataObject) -> None:
    job = saved_job(store)
    event = data.draw(values.events(job))

    store.save(StateChange(events=[event]))

    assert store.events(job.id, event.seq - 1, 10) == [event]


def test_states_come_back_as_members_of_their_enums(store: Store) -> None:
    job = saved_job(store)

    found = store.job(job.id)

    assert found is not None
    assert type(found.status) is JobStatus


@pytest.mark.slow
def test_huge_texts_come_back_whole(store: Store) -> None:
    job = a_job(secrets.token_hex(8), request=HUGE)
    worker = a_worker(job, child_job_ids=(HUGE,))
    event = an_event(job, 1, data={"request": HUGE})

    store.save(
        StateChange(
            new_jobs=[job],
            new_tasks=[(job.id, 0, TaskSpec(id="t", prompt=HUGE))],
            new_workers=[worker],
            new_attempts=[an_attempt(worker, reason=HUGE)],
            events=[event],
        )
    )

    assert store.job(job.id) == job
    assert store.tasks(job.id)[0].prompt == HUGE
    assert store.workers(job.id) == [worker]
    assert store.attempts(worker.key)[0].reason == HUGE
    assert store.events(job.id, 0, 1) == [event]


@pytest.mark.parametrize("text", [HARD_TEXT, "\0", "\ud800", "' OR 1=1 --", ""])
def test_any_text_may_be_searched_for(store: Store, text: str) -> None:
    text = f"unheard of {text}"

    assert store.job(text) is None
    assert store.find_idempotent(text, text) is None
    assert store.attempt_by_token(text) is None
    assert store.tree(text, [text]) is None
    assert store.jobs_of(JobFilter(statuses=[text], parent=text, root=text), 0, 1).total == 0
