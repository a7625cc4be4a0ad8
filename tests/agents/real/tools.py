"""The real tools, and the directory in which they are installed."""

import os
from pathlib import Path

TOOLS = ("claude", "codex", "gemini", "opencode")
LOOPS = ("anthropic", "openai-compatible", "ollama")
AGENTS = (*TOOLS, *LOOPS)
#: npm packages of the tools.
PACKAGES = {
    "claude": "claude-code",
    "codex": "codex",
    "gemini": "gemini-cli",
    "opencode": "opencode-ai",
}
#: Models of most tests; test_default_models.py names no model.
MODELS = {
    "claude": "sonnet",
    "codex": "gpt-5-codex",
    "gemini": "gemini-2.5-flash",
    "anthropic": "claude-sonnet-4-5",
    "openai-compatible": "gpt-5.1",
    # A model that has a price elsewhere, and none with Ollama.
    "ollama": "gpt-5.1",
}
#: Directory in which npm installed the tools; ./run-tests.sh --agents sets the variable.
VARIABLE = "ORCHESTRATOR_TEST_TOOLS"


def installed(tool: str) -> Path | None:
    """Return the tool's program; None if it is not installed."""
    folder = os.environ.get(VARIABLE)
    program = Path(folder or "/nonexistent", "node_modules", ".bin", tool)
    return program if program.exists() else None
