"""Sessions: conversations of an AI tool with its model, which a later attempt can resume."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.failure import (
    ASKED,
    CREDIT,
    FEEDBACK,
    LOGIN,
    NO_CHANGES,
    SENT_BACK,
    Failure,
    Rollback,
)

#: Allowed session ids. Others are rejected, because an id becomes an argument of a program, and a
#: worker can alter the file with the id.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The conversation of an AI tool with its model, and the tool's id of the conversation."""

    id: str
    agent: str
    #: The requested model; empty: the tool's default.
    model: str = ""
    #: The latest attempt that used the session.
    attempt: int = 0
    #: True if the attempt resumed the session; False if it began the session.
    resumed: bool = False
    #: The checkpoint with the worker's files at the session's end; empty without a worktree.
    checkpoint: str = ""
    #: False if the tool could not resume the session.
    usable: bool = True


def is_session_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


class SessionStart(StrEnum):
    NEW = "new"
    RESUME = "resume"


#: Key: the cause of an attempt's end (a row of ``core.outcome.failure_rules``, SENT_BACK, or
#: FEEDBACK). Value: True if the next attempt resumes the session. False if the files may be
#: damaged, or if the same failure occurred twice.
RESUMED_AFTER: Mapping[str, bool] = {
    SENT_BACK: True,
    FEEDBACK: True,
    "gates": True,
    "rate limit": True,
    "api": True,
    "timeout": True,
    "lost": True,
    "killed": True,
    "internal": True,
    ASKED: True,
    NO_CHANGES: True,
    "said it failed": True,
    "exit code": True,
    #: A key, a setting, or a limit stopped the attempt. Before the next attempt, a person has
    #: changed this key, setting, or limit.
    "refused": True,
    LOGIN: True,
    CREDIT: True,
    "broken worktree": False,
    "disk full": False,
    # The session contains the request that the model declined.
    "declined": False,
    "same failure": False,
    "unknown": False,
    # With these causes, the attempt ran nothing and has no session. The next attempt resumes the
    # earlier session.
    "never ran": True,
    "tool not started": True,
    "not started": True,
}


def start_of(
    session: Session | None,
    cause: str,
    *,
    rolled_back: bool,
    agent: str,
    model: str,
    can_resume: bool,
) -> SessionStart:
    """Return RESUME if the next attempt resumes ``session``; otherwise NEW.

    ``cause``: why the previous attempt ended. ``agent``, ``model``: the agent and the model of the
    next attempt, which must be equal to those of the session.
    ``rolled_back``: True if changes that the agent made in the session were rolled back later.
    ``can_resume``: True if the agent's tool can resume sessions, and the settings allow it.
    """
    if session is None or not session.usable or not can_resume or rolled_back:
        return SessionStart.NEW
    if (session.agent, session.model) != (agent, model):
        return SessionStart.NEW
    return SessionStart.RESUME if RESUMED_AFTER.get(cause, False) else SessionStart.NEW


def is_rolled_back(
    session: Session, failures: Sequence[Failure], rollbacks: Sequence[Rollback]
) -> bool:
    """True if the worker's files are no longer as the agent left them in the session.

    This is the case if the files were restored to a checkpoint other than ``session.checkpoint``
    after the latest attempt of the session.
    """
    restored = [
        *(each.checkpoint for each in failures if each.attempt >= session.attempt),
        *(each.checkpoint for each in rollbacks if each.attempt >= session.attempt),
    ]
    return any(name and name != session.checkpoint for name in restored)
