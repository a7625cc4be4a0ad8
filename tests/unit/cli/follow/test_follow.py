"""``follow``: Ctrl-C, with a real client and a fake server."""

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.api.client import OrchestratorClient
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow import follow as module
from orchestrator.cli.follow.display import PlainDisplay
from orchestrator.cli.follow.follow import UserExited, follow
from tests.unit.cli.fake_api import KEY, FakeApi, running


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running(FakeApi()) as api:
        api.end_at_once = False
        yield api


class TwoInterrupts(PlainDisplay):
    """A display during whose first event and first message the user presses Ctrl-C."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def event(self, event: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    def say(self, message: str) -> None:
        self.messages.append(message)
        raise KeyboardInterrupt


def test_a_second_ctrl_c_at_once_does_not_prevent_the_cancellation(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 60.0)
    context = CliContext(environ={"ORCHESTRATOR_API_URL": api.url, "ORCHESTRATOR_API_KEY": KEY})
    display = TwoInterrupts()
    with OrchestratorClient(api.url, KEY) as client:
        job_id = client.orchestrate("x")["job_id"]
        with pytest.raises(UserExited):
            follow(context, client, job_id, display)

    assert len(api.calls_of("POST", "/cancel")) == 1
    assert display.messages[0].startswith("stopping job j1; press Ctrl-C again")
