"""Settings that have a few fixed values, with the meaning of each value."""

from enum import StrEnum


class ExecutionMode(StrEnum):
    """Platform on which agents run."""

    #: as a process of this system
    NATIVE = "native"
    #: inside WSL, where this is the same as native
    WSL = "wsl"
    #: from WSL to a tool on the Windows side
    WINDOWS = "windows"


class Containment(StrEnum):
    """Mechanism that ends all processes of a worker."""

    #: the strongest mechanism that is available
    AUTO = "auto"
    #: orphaned processes are adopted by the worker's shim
    SUBREAPER = "subreaper"
    #: a control group (v2), if one is delegated
    CGROUP = "cgroup"
    #: a PID namespace
    PIDNS = "pidns"
    #: bubblewrap: a host that is read-only except the worker's directory, and a PID namespace
    SANDBOX = "sandbox"
    #: process groups and a marker, for systems without the other mechanisms
    BASIC = "basic"


class OnShutdown(StrEnum):
    """Handling of running workers at server shutdown."""

    #: stopped, and restarted after the next start of the server
    STOP = "stop"
    #: keep running; the next server adopts them
    LEAVE = "leave"


class Author(StrEnum):
    """Author and committer of landed commits."""

    #: the worker for its commits, and the orchestrator for merges
    WORKER = "worker"
    #: the user, with the worker as Co-authored-by
    USER = "user"


class Attempts(StrEnum):
    """Handling of commits of attempts that gates rejected."""

    #: part of the next attempt's first commit
    FOLD = "fold"
    #: kept as separate commits
    KEEP = "keep"


class Push(StrEnum):
    """Git pushes of AI agents."""

    #: the push URLs in their environment are disabled
    OFF = "off"
    #: the push URLs are those of the user
    ON = "on"


class UnknownPrice(StrEnum):
    """Handling of a cost cap if the price of a model is unknown."""

    #: The job is rejected.
    REFUSE = "refuse"
    #: The job is stopped after its first worker with such a model.
    FIRST = "first"


class Unjudged(StrEnum):
    """Handling of a job that changed code that no gate has judged."""

    #: the job's reason lists the code
    TELL = "tell"
    #: the job fails
    FAIL = "fail"


class GatesByDefault(StrEnum):
    """Gates of jobs that name no gates."""

    #: gates that are found in the repository
    AUTO = "auto"
    #: none
    OFF = "off"


class LogLevel(StrEnum):
    """Minimum level of log lines."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
