"""``spec.json`` in the control directory: the driver's input, which the server writes."""

import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.core.lazy_dataclass import dataclass

NAME = "spec.json"
#: Name of the file in the control directory with the prompt for a resumed session.
RESUME_PROMPT = "resume.md"
#: Variable with the path of the attempt's control directory.
VARIABLE = "ORCHESTRATOR_CONTROL_DIR"
#: Variable with the same path as ``Spec.sessions``. The sandbox reads this variable, and makes the
#: directory writable.
SESSIONS_VARIABLE = "ORCHESTRATOR_SESSIONS_DIR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """The driver's input: one attempt of one agent.

    The input contains no secrets. Secrets are in the driver's environment.
    """

    agent: str
    #: Name of a module in ``ai_tools.commands`` or ``model_loop.providers``.
    tool: str
    #: The agent's program with its first arguments; empty for a built-in model loop.
    command: tuple[str, ...] = ()
    policy: str = "full"
    model: str = ""
    limits: CallLimits = field(default_factory=CallLimits)
    #: True if the attempt can start child jobs.
    recursive: bool = False
    #: Parts of the user's configuration of the tool that the attempt inherits: mcp, skills, hooks,
    #: memory.
    inherit: tuple[str, ...] = ()
    #: The directory with ``bin/orchestrator`` (``ORCHESTRATOR_HOME``).
    home: str = ""
    #: The user's project, also if the worker has a worktree; empty: unknown.
    user_project: str = ""
    #: A directory that attempts of the same tool share.
    shared: str = ""
    #: Directory in which the tool stores its sessions, so that the worker's next attempts can
    #: resume them; empty: sessions are not stored.
    sessions: str = ""
    #: The session to resume, with the prompt in ``RESUME_PROMPT``; empty: a new session.
    resume: str = ""
    #: Seconds of silence after which the tool counts as hung; 0: never.
    stall_seconds: float = 600.0
    #: Maximum seconds that the tool itself may wait for the end of a rate limit. During this wait,
    #: the worker still holds its slot.
    pause_seconds: float = 60.0
    #: Maximum seconds from the tool's final answer to its exit; then the driver stops the tool.
    finish_seconds: float = 30.0
    #: Seconds of silence after the tool's start until its standard input is closed. Otherwise, a
    #: wrapper script that first reads its whole input would wait forever.
    unheard_seconds: float = 20.0
    #: Seconds between the request to stop and the kill.
    stop_seconds: float = 3.0
    #: Seconds to wait for a final answer before the tool is stopped at a limit.
    last_word_seconds: float = 2.0
    #: Maximum size of the stored raw output.
    stream_bytes: int = 50 * 1024 * 1024
    #: True if the tool runs on the Windows side of WSL.
    windows: bool = False
    #: The JSON schema of the answer; empty: the answer is text.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: Further settings of custom agents and model loops.
    more: Mapping[str, Any] = field(default_factory=dict)


def to_json(spec: Spec) -> str:
    document = {name: getattr(spec, name) for name in Spec.__slots__}
    document["limits"] = {name: getattr(spec.limits, name) for name in CallLimits.__slots__}
    return json.dumps(document, ensure_ascii=False, indent=1)


def read(control: Path) -> Spec:
    """Return the driver's input.

    Raise OSError if the file cannot be read. Raise ValueError, KeyError, or TypeError if its
    content is invalid.
    """
    try:
        document = json.loads((control / NAME).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{NAME} is nested too deeply") from None
    document["command"] = tuple(document["command"])
    document["inherit"] = tuple(document.get("inherit", ()))
    document["limits"] = CallLimits(**document["limits"])
    return Spec(**document)
