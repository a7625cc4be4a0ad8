"""``session.json``: an attempt's session, written as soon as the tool reports its id."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.model.attempt.agent_session import Session, is_session_id

NAME = "session.json"


def write(control: Path, session: Session) -> None:
    """Replace the file, and sync it to disk. Raise OSError."""
    temporary = control / f".{NAME}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(session)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(control / NAME)


def from_json(text: bytes | str) -> Session | None:
    """Return the session; None if the file contains no valid session.

    The file is untrusted, because a worker can write it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not is_session_id(str(document.get("id"))):
        return None
    return Session(
        id=str(document["id"]),
        agent=str(document.get("agent", "")),
        model=str(document.get("model", "")),
        resumed=document.get("resumed") is True,
        usable=document.get("usable") is not False,
    )
