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
#: Variable with a path that the sandbox lets the attempt write to; the spec has the path, too.
SESSIONS_VARIABLE = "ORCHESTRATOR_SESSIONS_DIR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """The driver's input: one attempt of one agent.

    It has no secrets; these are in the environment.
    """

    agent: str
    #: Name of a module in ``ai_tools.commands`` or ``model_loop.providers``.
    tool: str
    #: The agent's program with its first arguments; empty for a loop over HTTP.
    command: tuple[str, ...] = ()
    policy: str = "full"
    model: str = ""
    limits: CallLimits = field(default_factory=CallLimits)
    #: True if the attempt can start child jobs.
    recursive: bool = False
    #: The user's own additions that reach the tool: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()
    #: The product's own folder.
    home: str = ""
    #: A directory that attempts of the same tool share.
    shared: str = ""
    #: Directory of the tool's sessions for the worker's next attempts; empty: sessions end with
    #: their attempt.
    sessions: str = ""
    #: The session to resume, with the prompt in ``RESUME_PROMPT``; empty: a new session.
    resume: str = ""
    #: Seconds of silence after which the tool counts as hung; 0: never.
    stall_seconds: float = 600.0
    #: Maximum seconds that the tool may wait for a rate limit itself, because the waiting worker
    #: holds a slot.
    pause_seconds: float = 60.0
    #: Seconds from the tool's last event to its end; then it is stopped.
    finish_seconds: float = 30.0
    #: Seconds of silence after the tool's start until its standard input is closed, because another
    #: program in the tool's place may read all of its input before it works.
    unheard_seconds: float = 20.0
    #: Seconds between the request to stop and the kill.
    stop_seconds: float = 3.0
    #: Seconds for a final answer if the tool is to stop after a step that may be its last.
    last_word_seconds: float = 2.0
    #: Maximum size of the stored raw output.
    stream_bytes: int = 50 * 1024 * 1024
    #: True if the tool runs on the Windows side of WSL.
    windows: bool = False
    #: The JSON schema of the answer; empty: the answer is text.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: Data for this tool only: of a user's own agent, or of a loop over HTTP.
    more: Mapping[str, Any] = field(default_factory=dict)


def to_json(spec: Spec) -> str:
    document = {name: getattr(spec, name) for name in Spec.__slots__}
    document["limits"] = {name: getattr(spec.limits, name) for name in CallLimits.__slots__}
    return json.dumps(document, ensure_ascii=False, indent=1)


def read(control: Path) -> Spec:
    """Return the driver's input. Raise OSError, ValueError, KeyError, or TypeError."""
    document = json.loads((control / NAME).read_text(encoding="utf-8"))
    document["command"] = tuple(document["command"])
    document["inherit"] = tuple(document.get("inherit", ()))
    document["limits"] = CallLimits(**document["limits"])
    return Spec(**document)
