"""Causes of an attempt's end, besides ``EndedBy``. Shims import this: it imports nothing."""

from enum import StrEnum


class ExitCause(StrEnum):
    """Written into ``exit.json``; the values never change their meaning."""

    #: ``EndedBy`` is specific enough.
    NONE = ""
    #: The attempt was recorded, and its server ended before it was started.
    NEVER_BEGAN = "never_began"
    #: It could not be started: the disk was full, or no process or thread was available.
    NO_ROOM = "no_room"
    #: The program does not exist, may not be executed, or is being written just now.
    PROGRAM = "program"
    #: The attempt's own timeout expired, not its job's wall time.
    TASK_TIMEOUT = "task_timeout"
    #: It was stopped with its server.
    SHUTDOWN = "shutdown"
    #: Its shim received a signal, whose sender is unknown.
    SIGNAL = "signal"
    #: No server had run for ``workers.orphan_lease`` seconds.
    ORPHAN_LEASE = "orphan_lease"
    #: Its shim was killed: how the worker ended is unknown.
    SHIM_DIED = "shim_died"
    #: Its shim was killed, and the existing exit record lacked the shim's secret.
    RECORD_FORGED = "record_forged"


#: The attempt did not run.
RAN_NOTHING = frozenset({ExitCause.NEVER_BEGAN, ExitCause.NO_ROOM})
