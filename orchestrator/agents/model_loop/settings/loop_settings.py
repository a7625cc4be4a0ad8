"""Settings of a model loop: the input that the driver passes, and defaults for missing values."""

import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from orchestrator.agents.availability.local_availability import local_models
from orchestrator.agents.model_loop.model_http.call_failure import ModelFailure
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.text import json_values

#: Policies: full (everything), edit (read and write files, but run no commands), and read-only.
POLICIES = ("full", "edit", "read-only")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Timeouts in seconds.

    Each default is shorter than the default of ``stall_seconds``, after which the driver stops a
    silent loop.
    """

    #: Timeout of connecting to the server.
    connect: float = 10.0
    #: Timeout from a request to the end of its answer.
    call: float = 540.0
    #: Default timeout of a command.
    command: float = 120.0
    #: Maximum timeout that a command may request.
    longest_command: float = 540.0
    #: Pause before the first retry, if the server requests no pause. The pause doubles before each
    #: further retry.
    pause: float = 1.0
    #: Maximum pause before a retry. If the server requests a longer pause, the attempt ends, so
    #: that the worker holds no slot during the pause.
    longest_pause: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopLimits:
    """Limits of the whole run. None means no limit."""

    #: Maximum number of model calls. This limit always exists, so that every loop ends.
    max_steps: int = 200
    max_tokens: int | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopSettings:
    model: str
    base_url: str
    #: Environment variable with the API key; empty if no key is needed.
    api_key_env: str = ""
    #: Maximum tokens of one answer.
    max_tokens: int = 8192
    limits: LoopLimits = field(default_factory=LoopLimits)
    policy: str = "full"
    cwd: Path = field(default_factory=Path.cwd)
    timeouts: Timeouts = field(default_factory=Timeouts)
    #: Maximum number of retries of a call.
    retries: int = 2
    #: The user's prices, which override the price table and have the same form.
    prices: Mapping[str, Any] = field(default_factory=dict)
    #: True if only the user's prices apply to the server's models, because the models are local.
    local: bool = False
    #: Headers that are added to every request.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Additional text between the loop's own instructions and the prompt.
    system: str = ""
    #: Number of characters at the beginning of the prompt that many workers share.
    shared_length: int = 0
    #: Size of the context window in tokens, for servers that need this number.
    context_tokens: int = 32768
    #: True if a key may be sent over plain HTTP to another machine.
    allow_plain_http: bool = False
    #: True if the service requires a key. If the key is missing, the loop calls a server on this
    #: machine without a key, but no other server.
    key_needed: bool = False
    #: Command of the MCP server with the tools for child jobs; empty if no child job is allowed.
    child_jobs: tuple[str, ...] = ()
    #: Environment variables that neither commands nor the MCP server get.
    hidden: frozenset[str] = frozenset()

    @property
    def api_key(self) -> str:
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelService:
    base_url: str
    base_url_env: str = ""
    model_env: str = ""
    #: Environment variables for the API key; the first variable that is set is used.
    key_envs: tuple[str, ...] = ()
    #: True if the service runs on the user's own machine.
    local: bool = False


def read(spec: Mapping[str, Any], service: ModelService) -> LoopSettings:
    """Return the settings of a loop, from the driver's input and the environment.

    Raise ModelFailure (config) if a setting is missing or invalid.
    """
    values = {
        name: spec[name] for name in LoopSettings.__slots__ if spec.get(name) not in (None, "")
    }
    try:
        values.update(_environment_settings(values, service))
        values["limits"] = LoopLimits(**_set_values(spec.get("limits")))
        values["timeouts"] = Timeouts(**_set_values(spec.get("timeouts")))
        values["cwd"] = Path(values.get("cwd") or ".").resolve()
        return _checked(LoopSettings(**values), service)
    except (TypeError, ValueError, OSError) as error:
        raise ModelFailure(ErrorClass.CONFIG, f"invalid settings of the agent: {error}") from error


def _environment_settings(values: Mapping[str, Any], service: ModelService) -> dict[str, Any]:
    base_url = values.get("base_url") or os.environ.get(service.base_url_env) or service.base_url
    key_env = values.get("api_key_env", "")
    set_key_env = next((name for name in service.key_envs if os.environ.get(name)), "")
    return {
        "base_url": base_url,
        "model": values.get("model") or _default_model(service, base_url),
        "api_key_env": key_env or set_key_env or next(iter(service.key_envs), ""),
        # A user's own server may need no key.
        "key_needed": bool(key_env) or (base_url == service.base_url and bool(service.key_envs)),
        "local": service.local,
        "hidden": frozenset((key_env, *service.key_envs)),
    }


def _default_model(service: ModelService, base_url: str) -> str:
    # A local service may run only on the worker's machine. So the loop, not the orchestrator
    # server, asks the service for its models.
    model = os.environ.get(service.model_env, "")
    if model or not service.local:
        return model
    return next(iter(local_models(base_url)), "")


def _set_values(values: object) -> dict[str, Any]:
    return {name: value for name, value in json_values.mapping(values).items() if value is not None}


def _checked(settings: LoopSettings, service: ModelService) -> LoopSettings:
    if not settings.model:
        variable = f", or set {service.model_env}" if service.model_env else ""
        raise ValueError(f"no model is set; name a model in the task{variable}")
    if settings.policy not in POLICIES:
        raise ValueError(f"unknown policy {settings.policy!r}; known: {', '.join(POLICIES)}")
    if not settings.cwd.is_dir():
        raise ValueError(f"{settings.cwd} is not a directory")
    return settings
