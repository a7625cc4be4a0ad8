"""Reports to systemd that the server is ready, is stopping, or is alive (protocol of sd_notify)."""

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass

logger = logging.getLogger(__name__)

#: Pings per watchdog period, so that one late ping does not end the server.
PINGS = 3


@dataclass
class Notifier:
    """Sends the state of this process to systemd, if systemd started the process. Never raises."""

    #: Path of a datagram socket; ``@`` at the beginning: an abstract socket; empty: no messages.
    address: str = ""
    #: Period within which systemd expects a ping, in seconds; 0: no watchdog.
    watchdog_seconds: float = 0.0
    _ping_at: float = field(default=0.0, init=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Notifier":
        watched_pid = environ.get("WATCHDOG_PID") or str(os.getpid())
        period = environ.get("WATCHDOG_USEC", "")
        is_watched = watched_pid == str(os.getpid()) and period.isascii() and period.isdigit()
        return cls(environ.get("NOTIFY_SOCKET", ""), int(period) / 1e6 if is_watched else 0.0)

    def ready(self, status: str) -> None:
        """Report that the server is ready. ``systemctl status`` shows the line ``status``."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """Ping the watchdog if a ping is due. Must be called at least once per second."""
        now = time.monotonic()
        if self.watchdog_seconds and now >= self._ping_at:
            self._ping_at = now + self.watchdog_seconds / PINGS
            self._send("WATCHDOG=1")

    def _send(self, *states: str) -> None:
        if not self.address:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto("\n".join(states).encode(), address)
        except OSError as error:
            logger.warning("cannot notify systemd at %s: %s", self.address, error)
