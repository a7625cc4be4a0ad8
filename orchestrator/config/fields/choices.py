"""Settings that have a few fixed values, with the meaning of each value."""

from enum import StrEnum


class ExecutionMode(StrEnum):
    """Platform on which agents run."""

    #: on the server's own operating system
    NATIVE = "native"
    #: inside WSL; the same as native
    WSL = "wsl"
    #: the server runs in WSL, and AI tools run on Windows
    WINDOWS = "windows"


class Containment(StrEnum):
    """Mechanism that ends all processes of a worker."""

    #: the strongest mechanism that is available
    AUTO = "auto"
    #: the worker's shim adopts orphaned processes of the worker (PR_SET_CHILD_SUBREAPER)
    SUBREAPER = "subreaper"
    #: a control group (v2) that the system has delegated to the server's user
    CGROUP = "cgroup"
    #: a PID namespace
    PIDNS = "pidns"
    #: bubblewrap: a PID namespace, and write access only to the worker's directory
    SANDBOX = "sandbox"
    #: process groups and an environment variable, for systems without the other mechanisms
    BASIC = "basic"


class OnShutdown(StrEnum):
    """Handling of running workers at server shutdown."""

    #: workers stop, and restart after the next start of the server
    STOP = "stop"
    #: workers keep running, and the next server adopts them
    LEAVE = "leave"


class Author(StrEnum):
    """Author and committer of landed commits."""

    #: the worker is the author of its commits; orchestrator is the author of merges
    WORKER = "worker"
    #: the user is the author, and the message names the worker as Co-authored-by
    USER = "user"


class Attempts(StrEnum):
    """What happens to an attempt's commits after gates have rejected the attempt."""

    #: the commits become a part of the next attempt's first commit
    FOLD = "fold"
    #: the commits stay separate
    KEEP = "keep"


class Push(StrEnum):
    """Permission of AI agents to push with git."""

    #: push URLs are disabled in the agents' environment
    OFF = "off"
    #: agents use the push URLs of the user
    ON = "on"


class UnknownPrice(StrEnum):
    """Handling of a job that has a cost cap, but uses a model with an unknown price."""

    #: the job is rejected
    REFUSE = "refuse"
    #: the job stops after its first worker with such a model
    FIRST = "first"


class Unjudged(StrEnum):
    """Handling of a job with changed code that gates have not judged."""

    #: the job's reason lists the code that was not judged
    TELL = "tell"
    #: the job fails
    FAIL = "fail"


class GatesByDefault(StrEnum):
    """Gates of jobs that name no gates."""

    #: gates that are found in the repository
    AUTO = "auto"
    #: no gates
    OFF = "off"


class LogLevel(StrEnum):
    """Minimum level of log lines."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
