"""Why an attempt ended as it did, beyond ``EndedBy``. Shims import this: it imports nothing."""

from enum import StrEnum


class ExitCause(StrEnum):
    """Written into ``exit.json``; the values never change their meaning."""

    #: ``EndedBy`` says it all.
    NONE = ""
    #: The attempt was recorded, and its server ended before it was started.
    NEVER_BEGAN = "never_began"
    #: A full disk, or no process or thread to be had, kept it from being started.
    NO_ROOM = "no_room"
    #: The program does not exist, may not be executed, or is being written just now.
    PROGRAM = "program"
    #: The attempt's own timeout expired, not its job's wall time.
    TASK_TIMEOUT = "task_timeout"
    #: It was stopped with its server.
    SHUTDOWN = "shutdown"
    #: Its shim received a signal, which cannot say who sent it.
    SIGNAL = "signal"
    #: No server had run for ``workers.orphan_lease`` seconds.
    ORPHAN_LEASE = "orphan_lease"
    #: Its shim was killed: how the worker ended is unknown.
    SHIM_DIED = "shim_died"
    #: Its shim was killed, and the exit record that was there lacked its shim's secret.
    RECORD_FORGED = "record_forged"


#: The attempt was not carried out.
RAN_NOTHING = frozenset({ExitCause.NEVER_BEGAN, ExitCause.NO_ROOM})
