"""Values that differ from others in some fields."""

from dataclasses import replace

import pytest

from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.state.replacement import changed
from tests.unit.core.factories import a_worker


def test_a_changed_value_is_what_replace_makes() -> None:
    worker = a_worker()
    changes = {"status": WorkerStatus.RUNNING, "attempt": 2, "started_at": 1.5}

    new = changed(worker, **changes)

    assert new == replace(worker, **changes)
    assert type(new) is Worker and hash(new) == hash(replace(worker, **changes))
    assert worker == a_worker()


def test_a_field_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(AttributeError):
        changed(a_worker(), stauts=WorkerStatus.RUNNING)
