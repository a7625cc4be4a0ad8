"""``spec.json`` in the control directory: the driver's input, written by the server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.agents.adapters.invocation.call import CallLimits

NAME = "spec.json"
#: In the control directory: the prompt for a session that is resumed.
RESUME_PROMPT = "resume.md"
#: Where the driver finds the attempt's control directory.
VARIABLE = "ORCHESTRATOR_CONTROL_DIR"
#: A place that the sandbox lets the attempt write to; its path is in the spec, too.
SESSIONS_VARIABLE = "ORCHESTRATOR_SESSIONS_DIR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One attempt of one agent. Contains no secret: secrets are in the environment."""

    agent: str
    #: A name of ``adapters.commands`` or of ``loop.providers``.
    tool: str
    #: The agent's program with its first arguments; empty for a loop over HTTP.
    command: tuple[str, ...] = ()
    policy: str = "full"
    model: str = ""
    limits: CallLimits = field(default_factory=CallLimits)
    #: Whether child jobs can be started from here.
    recursive: bool = False
    #: Which of the user's own additions reach the tool: mcp, skills, hooks, memory.
    inherit: tuple[str, ...] = ()
    #: The product's own folder.
    home: str = ""
    #: A directory that attempts of the same tool share.
    shared: str = ""
    #: A directory for the tool's sessions, which the worker's next attempts find again; empty:
    #: sessions end with their attempt.
    sessions: str = ""
    #: The session that the attempt resumes, with the prompt in ``RESUME_PROMPT``; empty: a new one.
    resume: str = ""
    #: Seconds of silence after which it is taken for hung; 0: for ever.
    stall_seconds: float = 600.0
    #: Seconds that it may wait for a rate limit by itself: a slot is not for that.
    pause_seconds: float = 60.0
    #: Seconds that it has to end by itself after its last word.
    finish_seconds: float = 30.0
    #: Seconds between asking it to stop and killing it.
    stop_seconds: float = 3.0
    #: Seconds that it has for its last word when it is to stop after a step that may be its last.
    last_word_seconds: float = 2.0
    #: Size that is kept of the program's output as it came.
    stream_bytes: int = 50 * 1024 * 1024
    #: It runs on the Windows side of WSL.
    windows: bool = False
    #: The JSON schema that its answer is to keep to; empty: its answer is words.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: What only this tool knows: the data of a user's agent, of a loop over HTTP.
    more: Mapping[str, Any] = field(default_factory=dict)


def to_json(spec: Spec) -> str:
    document = {name: getattr(spec, name) for name in Spec.__slots__}
    document["limits"] = {name: getattr(spec.limits, name) for name in CallLimits.__slots__}
    return json.dumps(document, ensure_ascii=False, indent=1)


def read(control: Path) -> Spec:
    """Raise OSError or ValueError when it is not there or not whole."""
    document = json.loads((control / NAME).read_text(encoding="utf-8"))
    document["command"] = tuple(document["command"])
    document["inherit"] = tuple(document.get("inherit", ()))
    document["limits"] = CallLimits(**document["limits"])
    return Spec(**document)
