"""The real tools: which there are, and where they are installed."""

import os
from pathlib import Path

TOOLS = ("claude", "codex", "gemini", "opencode")
LOOPS = ("anthropic", "openai-compatible", "ollama")
AGENTS = (*TOOLS, *LOOPS)
#: Where npm installed them; ./run-tests.sh --agents sets it.
VARIABLE = "ORCHESTRATOR_TEST_TOOLS"


def installed(tool: str) -> Path | None:
    """The tool's program; None where it is not installed."""
    folder = os.environ.get(VARIABLE)
    program = Path(folder or "/nonexistent", "node_modules", ".bin", tool)
    return program if program.exists() else None
