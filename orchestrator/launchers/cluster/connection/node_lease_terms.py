"""The durations of a node's lease."""

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeLeaseTerms:
    """Times of a node's lease, in seconds.

    The server's answer to a heartbeat extends the lease. The node counts the extension from the
    time at which it sent the heartbeat. The server counts from the later time at which the
    heartbeat arrived. Therefore the lease never ends later than the server assumes, even if the
    answer is late (Gray and Cheriton, "Leases", 1989).
    """

    #: Interval between two heartbeats of a node that has workers.
    beat: float = 0.5
    #: Time without an expected message after which the connection is closed. No worker starts on
    #: the node until the node has connected again.
    notice: float = 2.0
    #: Time for which a node's workers may run without an answer from the server.
    lease: float = 8.0
    #: Maximum time from the end of a lease until the last worker has ended. This time includes
    #: the next check, the grace time, the kill, and clock drift.
    slack: float = 2.5
    #: Maximum time for which a node extends its own lease because its connections are refused,
    #: counted from the first refusal; 0: no limit.
    absence: float = 0.0
    #: True if a refused connection shows that no server is running. Only then does a node extend
    #: its own lease.
    refusal_is_absence: bool = True

    @property
    def idle_beat(self) -> float:
        """The interval between two heartbeats of a node without workers.

        Each heartbeat extends the lease. The interval is at most half of the lease, so that enough
        of the lease remains between two heartbeats to start a worker.
        """
        return max(self.beat, min(8 * self.beat, self.lease / 2))

    @property
    def fenced_after(self) -> float:
        """Maximum seconds for which a node's workers run after the server's last answer."""
        return self.lease * 1.01 + self.slack
