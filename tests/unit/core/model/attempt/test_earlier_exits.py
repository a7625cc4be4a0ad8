"""Exits that earlier versions recorded without a cause."""

import json
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record.exit_record import read_exit
from orchestrator.store.schema.stored_documents import read_exit as read_stored

NEVER = "it never began: its server ended before it was started"
LEASE = "its server was gone for longer than workers.orphan_lease"
EARLIER = [
    ({"ended_by": "lost", "error": NEVER}, ExitCause.NEVER_BEGAN),
    ({"ended_by": "lost", "error": "there was no room to start it: ENOSPC"}, ExitCause.NO_ROOM),
    ({"ended_by": "lost", "error": LEASE}, ExitCause.ORPHAN_TIMEOUT),
    (
        {"ended_by": "lost", "error": "its shim died: how the worker ended is not known"},
        ExitCause.SHIM_DIED,
    ),
    ({"ended_by": "lost", "error": "x is not an exit record"}, ExitCause.NONE),
    ({"ended_by": "cancel", "stopped_by": ""}, ExitCause.SIGNAL),
    ({"ended_by": "cancel", "stopped_by": "shutdown"}, ExitCause.SHUTDOWN),
    ({"ended_by": "cancel", "stopped_by": "orphan_lease"}, ExitCause.ORPHAN_TIMEOUT),
    ({"ended_by": "cancel", "stopped_by": "the caller (key shutdown)"}, ExitCause.NONE),
    ({"ended_by": "timeout", "stopped_by": "timeout (5 s)"}, ExitCause.TASK_TIMEOUT),
    ({"ended_by": "timeout", "stopped_by": "max_wall_seconds (5 s)"}, ExitCause.NONE),
    ({"ended_by": "exit", "code": 1, "error": NEVER}, ExitCause.NONE),
    # A recorded cause counts, whatever the text is.
    ({"ended_by": "lost", "error": NEVER, "cause": "shim_died"}, ExitCause.SHIM_DIED),
    ({"ended_by": "cancel", "stopped_by": "", "cause": ""}, ExitCause.NONE),
]


@pytest.mark.parametrize(("record", "cause"), EARLIER)
def test_the_cause_of_an_earlier_exit_is_read_from_its_text(
    tmp_path: Path, record: dict[str, object], cause: ExitCause
) -> None:
    path = tmp_path / "exit.json"
    path.write_text(json.dumps(record))

    exit = read_exit(str(path))

    assert exit is not None and exit.cause is cause
    assert read_stored(dict(record)).cause is cause


@pytest.mark.parametrize("cause", ["of a later version", "", "never_began "])
def test_a_cause_that_only_a_later_version_knows_is_none(tmp_path: Path, cause: str) -> None:
    path = tmp_path / "exit.json"
    path.write_text(json.dumps({"ended_by": "lost", "cause": cause}))

    found = read_exit(str(path))

    assert found is not None and found.cause is ExitCause.NONE
