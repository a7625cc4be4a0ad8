"""Shared parts of chat servers: messages with roles, functions as tools, a bearer token."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.loop.providers.functions import declared, use_of
from orchestrator.agents.loop.providers.turn import Use
from orchestrator.agents.loop.settings import LoopSettings
from orchestrator.agents.loop.tools.tool import Tool


class Chat:
    """A conversation whose whole content is sent with each call."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._messages: list[dict[str, Any]] = []
        self._tools: list[dict[str, Any]] = []
        #: The requested form of the answer; empty: any form.
        self._format: dict[str, Any] = {}
        self._serial = 0

    @property
    def headers(self) -> Mapping[str, str]:
        key = self._settings.api_key
        return {"authorization": f"Bearer {key}"} if key else {}

    def begin(self, system: str, prompt: str, tools: Sequence[Tool]) -> None:
        self._messages = [{"role": "system", "content": system}] if system else []
        self._messages.append({"role": "user", "content": prompt})
        self._tools = declared(tools)

    def _with_tools(self, value: dict[str, Any]) -> Mapping[str, Any]:
        return {**value, "tools": self._tools} if self._tools else value

    def _use(self, call: object) -> Use:
        self._serial += 1
        return use_of(call, f"call_{self._serial}")
