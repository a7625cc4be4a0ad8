"""The real tools: which there are, and where they are installed."""

import os
from pathlib import Path

TOOLS = ("claude", "codex", "gemini", "opencode")
LOOPS = ("anthropic", "openai-compatible", "ollama")
AGENTS = (*TOOLS, *LOOPS)
#: Their packages of npm.
PACKAGES = {
    "claude": "claude-code",
    "codex": "codex",
    "gemini": "gemini-cli",
    "opencode": "opencode-ai",
}
#: Models of most tests; test_default_models.py names none.
MODELS = {
    "claude": "sonnet",
    "codex": "gpt-5-codex",
    "gemini": "gemini-2.5-flash",
    "anthropic": "claude-sonnet-4-5",
    "openai-compatible": "gpt-5.1",
    # That of a model with a price: it has none here.
    "ollama": "gpt-5.1",
}
#: Where npm installed them; ./run-tests.sh --agents sets it.
VARIABLE = "ORCHESTRATOR_TEST_TOOLS"


def installed(tool: str) -> Path | None:
    """The tool's program; None where it is not installed."""
    folder = os.environ.get(VARIABLE)
    program = Path(folder or "/nonexistent", "node_modules", ".bin", tool)
    return program if program.exists() else None
