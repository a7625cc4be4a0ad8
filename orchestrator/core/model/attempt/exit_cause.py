"""Causes of an attempt's end. Shims import this module, so it imports only the standard library."""

from enum import StrEnum


class ExitCause(StrEnum):
    """Cause of an attempt's end in ``exit.json``. The values never change their meaning."""

    #: No further cause: ``EndedBy`` is specific enough.
    NONE = ""
    #: The server stored the attempt, and ended before the attempt started.
    NEVER_BEGAN = "never_began"
    #: The attempt could not start: the disk was full, or no process or thread was available.
    NO_ROOM = "no_room"
    #: The program does not exist, may not be executed, or is being written.
    PROGRAM = "program"
    #: The attempt's own timeout expired, not its job's wall time.
    TASK_TIMEOUT = "task_timeout"
    #: The attempt was stopped with its server.
    SHUTDOWN = "shutdown"
    #: The attempt was stopped because its job is paused.
    PAUSED = "paused"
    #: The attempt's shim received a signal from an unknown sender.
    SIGNAL = "signal"
    #: For ``workers.orphan_timeout`` seconds, no server ran. The stored value is the cause's former
    #: name.
    ORPHAN_TIMEOUT = "orphan_lease"
    #: The server lease, or the node's lease, expired. Only a launch with a ``lease_file`` has a
    #: lease.
    LEASE_ENDED = "lease_ended"
    #: The attempt's node was lost, so the worker's end is unknown.
    NODE_LOST = "node_lost"
    #: The attempt's shim was killed, so the worker's end is unknown.
    SHIM_DIED = "shim_died"
    #: The attempt's shim was killed, and an exit record without the shim's secret exists.
    RECORD_FORGED = "record_forged"


#: Causes of an end before the attempt ran anything.
RAN_NOTHING = frozenset({ExitCause.NEVER_BEGAN, ExitCause.NO_ROOM})
