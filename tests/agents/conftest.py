"""A stub model API for each test, and the product's loops that call it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.activity.agent_events import AgentEvent, AgentOutcome
from orchestrator.agents.model_loop import LOOPS, loop
from tests.agents.model_api import ModelApi, Script


@pytest.fixture
def api() -> Iterator[ModelApi]:
    with ModelApi() as api:
        yield api


class Loop:
    """Runs one of the loops with the model API, in its own directory."""

    def __init__(self, name: str, api: ModelApi, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.events: list[AgentEvent] = []
        self.api = api

    def run(self, script: Script, *, prompt: str = "Do it.", **spec: Any) -> AgentOutcome:
        """Run the script. ``spec`` overrides the defaults, such as one retry without a delay."""
        self.api.scripts["it"] = script
        complete_spec = self.spec(**spec)
        outcome: AgentOutcome = loop(self.name).run(
            complete_spec, f"{prompt} [[script:it]]", self.events.append
        )
        return outcome

    def complete(
        self, script: Script, schema: dict[str, Any], **spec: Any
    ) -> tuple[object | None, AgentOutcome]:
        self.api.scripts["it"] = script
        answer: tuple[object | None, AgentOutcome] = loop(self.name).complete(
            self.spec(**spec), "Plan it. [[script:it]]", schema, self.events.append
        )
        return answer

    def spec(self, **more: Any) -> dict[str, Any]:
        root = "/v1" if self.name == "openai_compatible" else ""
        timeouts = {"pause": 0.0, "call": 60.0, **more.pop("timeouts", {})}
        return {
            "model": "stub-model",
            "base_url": self.api.url + root,
            "cwd": str(self.folder),
            "retries": 1,
            "timeouts": timeouts,
            **more,
        }

    def seen(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds:g} s"
        time.sleep(0.02)


@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest, api: ModelApi, tmp_path: Path) -> Loop:
    return new_loop(request.param, api, tmp_path)


def new_loop(name: str, api: ModelApi, tmp_path: Path) -> Loop:
    folder = tmp_path / "work"
    folder.mkdir()
    return Loop(name, api, folder)


@pytest.fixture
def anthropic(api: ModelApi, tmp_path: Path) -> Loop:
    return new_loop("anthropic", api, tmp_path)


@pytest.fixture
def chat(api: ModelApi, tmp_path: Path) -> Loop:
    return new_loop("openai_compatible", api, tmp_path)


@pytest.fixture
def ollama(api: ModelApi, tmp_path: Path) -> Loop:
    return new_loop("ollama", api, tmp_path)
