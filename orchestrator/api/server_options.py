"""Options of the HTTP server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.core.errors import Unavailable
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.engine.service.triggers.event_feedback import EventFeedback

if TYPE_CHECKING:  # few servers have triggers
    from orchestrator.engine.service.triggers.trigger import Trigger

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherServer:
    """Another server of the same user on this machine."""

    url: str
    #: Path of the other server's project.
    project: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorCheck:
    name: str
    #: True: the check passed; False: the check found a problem; None: the check is a note.
    ok: bool | None
    message: str
    #: How to fix the problem.
    fix: str = ""


def no_doctor() -> Sequence[DoctorCheck]:
    raise Unavailable("this server does not run the checks of doctor")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOptions:
    """Options of the HTTP server. Durations are in seconds."""

    #: The listening address: callers may use it in their Host header.
    host: str = "localhost"
    #: Further names of the server in Host headers.
    allowed_hosts: tuple[str, ...] = ()
    #: Origins (scheme, host, and port, in lower case) whose pages may call the server with a key.
    allowed_origins: tuple[str, ...] = ()
    #: Trusted proxies. If there are any, only these proxies and this machine may call the server.
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    max_request_bytes: int = 8 * MIB
    heartbeat_seconds: float = 15.0
    #: Seconds between checks of a followed log.
    log_poll_seconds: float = 0.05
    #: Maximum number of streams and waits at the same time.
    open_streams_limit: int = 2000
    #: Maximum number of streams and waits that each hold a thread, because the socket loop could
    #: not take over their connections.
    threaded_limit: int = 8
    #: Maximum number of unsent bytes of a reader. The stream of a job's complete events drops a
    #: slower reader, which can resume. Other streams wait for the reader.
    lag_limit_bytes: int = MIB
    #: Jobs that one key may submit or retry per minute; None: no limit.
    submissions_per_minute: int | None = None
    #: Limits of single keys in place of ``submissions_per_minute``, by name of the key.
    submissions_of_keys: Mapping[str, int] = field(default_factory=dict)
    #: Calls that only read, per key and minute; None: no limit.
    reads_per_minute: int | None = None
    #: Directory of the audit log; None: no audit log.
    audit_directory: Path | None = None
    #: Directory of the file with browser sessions; None: browser sessions end with the server.
    session_directory: Path | None = None
    #: Path of the project.
    project: str = ""
    #: Returns the other servers of the same user; any thread may call it.
    other_servers: Callable[[], Sequence[OtherServer]] = tuple
    #: Checks the installation; any thread may call it. Raises Unavailable if the checks run for
    #: another caller, and there are no recent results.
    doctor: Callable[[], Sequence[DoctorCheck]] = no_doctor
    #: Triggers that events from outside may call.
    triggers: "Sequence[Trigger]" = ()
    #: Function that receives events with feedback; None: such events are rejected.
    event_feedback: EventFeedback | None = None
    #: Secret texts that are masked in the audit log.
    secrets: tuple[str, ...] = field(default=(), repr=False)
