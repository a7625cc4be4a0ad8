"""Failures of a model's service, and the worker's outcome, which is the same for all agents.

Each row was measured with each tool.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.agents.model_api import Fault, Kind, Script, Turn
from tests.agents.model_api.scripts import overloaded
from tests.agents.real.capabilities import line
from tests.agents.real.tools import AGENTS

#: Beginning of ``reason`` by class of error; ``{tool}`` is the agent.
API = "the model's service failed"
AUTH = "the agent's login failed"
CREDIT = "the agent's account has no credit"
CONFIG = "{tool} rejected its options or settings"
EMPTY = "the agent ended without an answer"
KILLED = "{tool} was killed"
LIMIT = "limit reached"
TIMEOUT = "{tool} stopped responding"
SUCCESS = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    script: Script
    #: Beginning of the worker's reason; empty: the worker succeeds.
    reason: str
    #: True if the worker retries.
    is_retried: bool
    #: Agents that themselves retry for a minute or more. Their tests give no retry. Run at night.
    slow: tuple[str, ...] = ()
    #: Agents that print nothing while they retry. Their tests have a short stall timeout.
    silent: tuple[str, ...] = ()
    #: Agents without this test, because their provider means another failure by this answer.
    other: tuple[str, ...] = ()


OVERFLOW = (
    "prompt is too long: this model's maximum context length is 200000 tokens, your input has"
    " 210000 (context_length_exceeded)"
)
QUOTA = "You exceeded your current quota, please check your plan and billing details"

FAILURES: Mapping[str, Failure] = {
    "500": Failure(
        script=Script.failing(Fault(status=500, message="Internal server error", times=0)),
        reason=API,
        is_retried=True,
        slow=("opencode",),
    ),
    "529, then success": Failure(
        script=Script.failing(overloaded(times=4)), reason=SUCCESS, is_retried=True
    ),
    "connection reset": Failure(
        script=Script.failing(Fault(kind=Kind.RESET, times=0)),
        reason=API,
        is_retried=True,
        slow=("opencode", "gemini"),
    ),
    "no answer": Failure(
        script=Script.failing(Fault(kind=Kind.SILENT, times=0)),
        reason=TIMEOUT,
        is_retried=True,
        silent=AGENTS,
    ),
    "the connection ends in the middle of an answer": Failure(
        script=Script.failing(Fault(kind=Kind.CUT, times=0)),
        reason=API,
        is_retried=True,
        slow=("opencode",),
    ),
    "an invalid answer": Failure(
        script=Script.failing(Fault(kind=Kind.MALFORMED, times=0)), reason=API, is_retried=True
    ),
    "an empty answer": Failure(
        script=Script.of(Turn(""), endless=True), reason=EMPTY, is_retried=True, slow=("opencode",)
    ),
    "unknown model": Failure(
        script=Script.failing(
            Fault(status=404, message="model: no-such-model was not found", times=0)
        ),
        reason=CONFIG,
        is_retried=False,
    ),
    "context overflow": Failure(
        script=Script.failing(
            Fault(status=400, type="invalid_request_error", message=OVERFLOW, times=0)
        ),
        reason=LIMIT,
        is_retried=False,
    ),
    "quota used up": Failure(
        script=Script.failing(Fault(status=429, type="insufficient_quota", message=QUOTA, times=0)),
        reason=CREDIT,
        is_retried=False,
        # For Google, this answer is a free account's daily limit; Ollama never asks for money.
        other=("gemini", "ollama"),
    ),
}

_CLASSES = {
    API: "`api`",
    AUTH: "`auth`",
    CONFIG: "`config`",
    CREDIT: "`credit`",
    EMPTY: "`empty`",
    LIMIT: "`limit`",
    TIMEOUT: "`timeout`",
    SUCCESS: "success",
}


def table() -> str:
    """Return the table of docs/agents.md."""
    heads = ["Failure", "Retried", *(f"`{name}`" for name in AGENTS)]
    rows = [
        [name, "yes" if each.is_retried else "no", *(_cell(each, agent) for agent in AGENTS)]
        for name, each in FAILURES.items()
    ]
    return "\n".join(line(each) for each in (heads, ["---"] * len(heads), *rows))


def _cell(failure: Failure, agent: str) -> str:
    return "-" if agent in failure.other else _CLASSES[failure.reason]
