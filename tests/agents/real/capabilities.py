"""The verified capabilities of each agent: parameters of tests, and the table in docs/agents.md."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.agents.real.tools import AGENTS, MODELS, PACKAGES, TOOLS

INHERITED = "your MCP servers, skills, hooks, and memory: only if inherited"
#: Cells of the table, by row and agent. An agent without a cell lacks the capability.
CAPABILITIES: Mapping[str, Mapping[str, str]] = {
    "files, a commit, and the agent's answer": dict.fromkeys(AGENTS, "yes"),
    "steps, tokens, cache reads": {**dict.fromkeys(AGENTS, "yes"), "ollama": "no cache reads"},
    "cost": {
        **dict.fromkeys(AGENTS, "estimated"),
        **dict.fromkeys(("claude", "opencode"), "reported"),
        "ollama": "none",
    },
    "plans a request": {
        **dict.fromkeys(AGENTS, "yes"),
        **dict.fromkeys(("gemini", "opencode"), "as text"),
    },
    "child job by MCP": dict.fromkeys(AGENTS, "yes"),
    "child job by `orchestrator spawn`": dict.fromkeys(AGENTS, "yes"),
    "child job by HTTP": dict.fromkeys(AGENTS, "yes"),
    "starts child jobs that run codex and gemini: by MCP, `spawn`, and HTTP": {"claude": "yes"},
    "cancelled while a tool runs: no process remains": dict.fromkeys(AGENTS, "yes"),
    "401: one attempt, class `auth`": dict.fromkeys(AGENTS, "yes"),
    "4 workers get 429, and all succeed after a retry": dict.fromkeys(AGENTS, "yes"),
    "`max_steps` enforced": dict.fromkeys(AGENTS, "yes"),
    "`max_tokens` enforced during the attempt": dict.fromkeys(AGENTS, "yes"),
    "`read-only`: a worker that should write cannot, and fails": dict.fromkeys(AGENTS, "yes"),
    INHERITED: {**dict.fromkeys(TOOLS, "yes"), "opencode": "no hooks"},
}


#: Models that each tool calls by default, in these tests.
DEFAULT_MODELS = {
    "claude": ("claude-opus-5-5",),
    "codex": ("gpt-6.1-sol",),
    # Gemini asks another model to choose between this model and a smaller one.
    "gemini": ("gemini-3.5-flash-lite", "gemini-3.1-pro-preview-customtools"),
}
#: Cell of opencode, which has no default model.
NO_DEFAULT = "from your settings"


def each_with(*capabilities: str, nightly: Collection[str] = ()) -> pytest.MarkDecorator:
    """Parametrize a test with each agent that has all of these capabilities.

    ``nightly``: agents whose tests run only at night.
    """
    having = [name for name in AGENTS if all(name in CAPABILITIES[each] for each in capabilities)]
    return pytest.mark.parametrize("agent", parameters(having, nightly))


def parameters(agents: Sequence[str], nightly: Collection[str] = ()) -> list[Any]:
    return [pytest.param(name, marks=marks_of(name, name in nightly)) for name in agents]


def marks_of(agent: str, nightly: bool = False) -> list[pytest.MarkDecorator]:
    """Return the marks of an agent's tests. Tests of tools run only if they are requested."""
    marks = [pytest.mark.real_tools] if agent in TOOLS else []
    return [*marks, pytest.mark.nightly] if nightly else marks


def table() -> str:
    """Return the table of docs/agents.md."""
    heads = ["verified", *(f"`{name}`" for name in AGENTS)]
    rows = [
        [row, *(cells.get(name, "-") for name in AGENTS)] for row, cells in CAPABILITIES.items()
    ]
    return "\n".join(line(each) for each in (heads, ["---"] * len(heads), *rows))


def versions() -> str:
    """Return the list of tested versions and models of docs/agents.md."""
    package = json.loads(Path(__file__).with_name("package.json").read_text())
    named = {key.rpartition("/")[2]: value for key, value in package["dependencies"].items()}
    rows = [
        [
            f"`{tool}`",
            named[PACKAGES[tool]],
            f"`{MODELS.get(tool, 'stub/stub-model')}`",
            ", ".join(f"`{model}`" for model in DEFAULT_MODELS.get(tool, ())) or NO_DEFAULT,
        ]
        for tool in TOOLS
    ]
    heads = ["tool", "version", "model of most tests", "the tool's default model"]
    return "\n".join(line(each) for each in (heads, ["---"] * len(heads), *rows))


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
