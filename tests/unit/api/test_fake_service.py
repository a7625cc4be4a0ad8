"""The stand-in for the engine's service accepts only calls that the real service accepts."""

import inspect

from orchestrator.engine.service.service import Service
from tests.unit.api.fake_service import FakeService

#: Methods that no test with the stand-in calls.
LEFT_OUT = {"approve", "reject", "used", "recount", "plan_landing", "land", "undo"} | {
    "pause",
    "resume",
    "pause_all",
    "resume_all",
    "answer",
    "question",
    "raise_budget",
    "message",
    "messages_read",
    "edit_plan",
    "check_admin",
}


def test_the_stand_in_has_the_signatures_of_the_service() -> None:
    calls = {name: call for name, call in vars(Service).items() if not name.startswith("_")}
    taken = {name: call for name, call in vars(FakeService).items() if name in calls}
    assert calls.keys() - taken.keys() == LEFT_OUT
    for name, call in taken.items():
        assert inspect.signature(call) == inspect.signature(calls[name]), name
