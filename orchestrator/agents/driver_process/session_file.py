"""``session.json``: an attempt's session, written as soon as the tool reports its id."""

import json
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.model.attempt.agent_session import Session, is_session_id
from orchestrator.security.files.atomic_write import replace_file

NAME = "session.json"


def write(control: Path, session: Session) -> None:
    """Replace the file, and sync it to disk. Raise OSError if the file cannot be written."""
    replace_file(control / NAME, json.dumps(asdict(session)).encode(), durable=True)


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
