"""Options of the HTTP side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOptions:
    """Durations are seconds."""

    #: The address that is listened on: callers may name it in their Host header.
    host: str = "localhost"
    #: Further names by which callers may reach the server.
    allowed_hosts: tuple[str, ...] = ()
    #: Where not empty, only these and this machine may call.
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    max_request_bytes: int = 8 * MIB
    heartbeat_seconds: float = 15.0
    #: How soon growth of a followed log is noticed.
    log_poll_seconds: float = 0.05
    #: Streams and waits that may be parked at the same time.
    parked_limit: int = 2000
    #: Streams and waits that may each hold a thread, on servers that cannot park them.
    threaded_limit: int = 8
    #: A reader that is this far behind is dropped; it can resume.
    lag_limit_bytes: int = MIB
    #: Jobs that one key may submit or run again; None: any number.
    submissions_per_minute: int | None = None
    #: The same for keys that have a limit of their own, by name.
    submissions_of_keys: Mapping[str, int] = field(default_factory=dict)
    #: Calls that change nothing, for each key; None: any number.
    reads_per_minute: int | None = None
    #: The path of the audit log; None: there is none.
    audit_directory: Path | None = None
    #: The directory of the file with browser sessions; None: they end with the server.
    session_directory: Path | None = None
    #: Never in the audit log.
    secrets: tuple[str, ...] = field(default=(), repr=False)
