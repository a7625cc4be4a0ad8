"""Finds the ``ExitCause`` of exits from earlier versions, which recorded the cause as a sentence.

Only this module reads these sentences, in exit records and in stored attempts. The sentences here
must never change, even if the messages of this version do.
"""

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause

_OF_LOST = {
    "it never began: its server ended before it was started": ExitCause.NEVER_BEGAN,
    "there was no room to start it": ExitCause.NO_ROOM,
    "its server was gone for longer than workers.orphan_lease": ExitCause.ORPHAN_LEASE,
    "the server was stopped while it ran": ExitCause.SHUTDOWN,
    "its shim was told to end ": ExitCause.SIGNAL,
    "its shim died": ExitCause.SHIM_DIED,
}
_OF_CANCEL = {
    "": ExitCause.SIGNAL,
    "shutdown": ExitCause.SHUTDOWN,
    "orphan_lease": ExitCause.ORPHAN_LEASE,
}


def cause_of(ended_by: EndedBy, error: str, stopped_by: str) -> ExitCause:
    """Return the cause of an exit that was recorded without one."""
    if ended_by is EndedBy.LOST:
        known = (cause for start, cause in _OF_LOST.items() if error.startswith(start))
        return next(known, ExitCause.NONE)
    if ended_by is EndedBy.CANCEL:
        return _OF_CANCEL.get(stopped_by, ExitCause.NONE)
    if ended_by is EndedBy.TIMEOUT and not stopped_by.startswith("max_wall_seconds"):
        return ExitCause.TASK_TIMEOUT
    return ExitCause.NONE
