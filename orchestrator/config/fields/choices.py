"""Settings with few values, and the meaning of each value."""

from enum import StrEnum


class ExecutionMode(StrEnum):
    """Where a worker's tool runs."""

    #: as a process of this system
    NATIVE = "native"
    #: inside WSL, where this is the same as native
    WSL = "wsl"
    #: from WSL to a tool on the Windows side
    WINDOWS = "windows"


class Containment(StrEnum):
    """How a worker's processes are held together, so that all of them can be stopped."""

    #: the strongest that works here
    AUTO = "auto"
    #: orphans fall to the worker's own supervisor process
    SUBREAPER = "subreaper"
    #: a control group (v2) of its own, where one is delegated
    CGROUP = "cgroup"
    #: a PID namespace of its own
    PIDNS = "pidns"
    #: bubblewrap: a host that is read-only but for the worker's directory, and a PID namespace
    SANDBOX = "sandbox"
    #: process groups and a marker, for systems that have nothing else
    BASIC = "basic"


class OnShutdown(StrEnum):
    """What becomes of running workers when the server is stopped."""

    #: they are stopped, and run again after the next start
    STOP = "stop"
    #: they go on, and the next server takes them over
    LEAVE = "leave"


class Author(StrEnum):
    """Author and committer of the commits that ``land`` takes onto a branch."""

    #: each worker of its own commits, and the orchestrator of merges
    WORKER = "worker"
    #: the user, with the worker as Co-authored-by
    USER = "user"


class Attempts(StrEnum):
    """The commits of attempts that gates refused."""

    #: they are part of the next attempt's first commit
    FOLD = "fold"
    #: they stay
    KEEP = "keep"


class Push(StrEnum):
    """Whether AI agents push by git."""

    #: their git has push URLs that refuse
    OFF = "off"
    #: as the user's git does
    ON = "on"


class UnknownPrice(StrEnum):
    """What a cost cap means for a model whose price is not known."""

    #: The job is refused.
    REFUSE = "refuse"
    #: The job is stopped when its first worker of such a model has ended.
    FIRST = "first"


class Unjudged(StrEnum):
    """A job that changed code which no gate has judged."""

    #: its reason says so
    TELL = "tell"
    #: it has failed
    FAIL = "fail"


class GatesByDefault(StrEnum):
    """Checks of results, for requests that do not say."""

    #: those that the repository speaks for
    AUTO = "auto"
    #: none
    OFF = "off"


class LogLevel(StrEnum):
    """Log lines below this are left out."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
