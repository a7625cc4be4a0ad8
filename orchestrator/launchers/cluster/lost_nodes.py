"""Decides which attempts of a node are lost, and accepts their late results.

If a node's lease ends while the node is disconnected, the server counts the node's attempts as
lost. The server makes sure that lost attempts never start again.

If the node connects again, it sends the results of these attempts: first the output that the server
lacks, then the exit record. The output is appended to the worker's log, unless a newer attempt uses
the log. The scheduler decides whether the result is used.
"""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.cluster.connected_node import ConnectedNode
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry
from orchestrator.launchers.cluster.node_attempt import (
    NodeAttempt,
    append_output,
    append_to,
    lost_end,
    size_of,
)
from orchestrator.launchers.exit_record import exit_record
from orchestrator.security.files.atomic_write import replace_file

logger = logging.getLogger(__name__)

#: Maximum number of attempts that are remembered for one node.
_MOST = 1000
_COPY_BYTES = 1024 * 1024


@dataclass(slots=True)
class LostAttempt:
    """An attempt that the server has declared lost, because its node was lost.

    The keys of each mapping are the output files of the attempt: ``log`` and ``raw``.
    """

    attempt_id: str
    exit_path: str
    digest: str
    #: Path of each file on the server.
    paths: Mapping[str, str]
    #: Bytes of each file that the server has received. None until the node has reported where the
    #: attempt's output begins in the file.
    received: dict[str, int] | None = None
    #: True if a newer attempt of the worker has started.
    is_replaced: bool = False
    #: Bytes of the missing output that have arrived on the current connection, by file.
    rest: dict[str, int] = field(default_factory=dict)

    def begin(self, bases: Mapping[str, int]) -> Mapping[str, int]:
        """Return how many bytes of each output file the node need not send again.

        Also remove the pieces that arrived on a former connection. ``bases``: {file: position in
        the server's file at which the attempt's output begins}. Earlier attempts may have written
        to the same file.
        """
        if self.received is None:
            self.received = {
                file: 0 if self.is_replaced else max(0, size_of(path) - bases.get(file, 0))
                for file, path in self.paths.items()
            }
        for file in self.paths:
            with suppress(OSError):
                os.unlink(self._rest_path(file))
        self.rest = dict.fromkeys(self.paths, 0)
        return self.received

    def append(self, file: str, at: int, data: bytes) -> None:
        """Store a piece of missing output. After an error, later pieces of the file are ignored.

        ``at``: the position of the piece in the attempt's output.
        """
        assert self.received is not None
        if at != self.received[file] + self.rest[file]:
            return
        try:
            append_to(self._rest_path(file), data)
            self.rest[file] += len(data)
        except OSError:
            self._log_error("output")

    def publish(self, record: str) -> bool:
        """Store an exit record if it is genuine, and append the late output to the log.

        Return True if the record was stored. Errors are logged. The record is also stored if the
        output cannot be appended.
        """
        content = record.encode("ascii", "replace")
        if not exit_record.is_proven(content, self.digest):
            return False
        try:
            if not self.is_replaced:
                for file, path in self.paths.items():
                    self._append_rest(file, path)
        except OSError:
            self._log_error("output")
        try:
            replace_file(Path(self.exit_path), content, durable=True)
        except OSError:
            self._log_error("result")
            return False
        return True

    def _append_rest(self, file: str, path: str) -> None:
        if not self.rest.get(file):
            return
        with open(self._rest_path(file), "rb") as rest:
            while data := rest.read(_COPY_BYTES):
                append_output(file, path, data)
        os.unlink(self._rest_path(file))

    def _log_error(self, what: str) -> None:
        logger.exception(
            "cannot store the late %s of an attempt", what, extra={"attempt": self.attempt_id}
        )

    def _rest_path(self, file: str) -> str:
        return f"{self.exit_path.removesuffix('.exit.json')}.late.{file}"


class ExpectedLateResults:
    """The lost attempts of each node. The results of these attempts may still arrive.

    Only one thread may call the methods, but any thread may read ``is_empty``.
    """

    def __init__(self) -> None:
        self._lost: dict[str, dict[str, LostAttempt]] = {}
        #: Attempts for which the node is sending missing output and the exit record, by node.
        self._arriving: dict[str, dict[str, LostAttempt]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._lost and not self._arriving

    def add(self, node: str, late: LostAttempt) -> None:
        of_node = self._lost.setdefault(node, {})
        of_node[late.attempt_id] = late
        if len(of_node) > _MOST:
            del of_node[next(iter(of_node))]

    def forget(self, node: str) -> None:
        self._lost.pop(node, None)

    def replace(self, log: str) -> None:
        """Record that a newer attempt, which writes to the file ``log``, has started."""
        for group in (self._lost, self._arriving):
            for of_node in group.values():
                for late in of_node.values():
                    late.is_replaced = late.is_replaced or late.paths["log"] == log

    def connected(
        self, node: str, known_attempts: Mapping[str, Mapping[str, int]]
    ) -> Mapping[str, Mapping[str, int]]:
        """Return how many bytes of output the node need not send again, by attempt and file.

        ``known_attempts``: the attempts that the node knows. For each attempt: {file: position in
        the server's file at which the attempt's output begins}. Lost attempts that the node does
        not know are discarded.
        """
        found = self._lost.pop(node, {})
        arriving = {each: late for each, late in found.items() if each in known_attempts}
        if arriving:
            self._arriving[node] = arriving
        return {each: late.begin(known_attempts[each]) for each, late in arriving.items()}

    def disconnected(self, node: str) -> None:
        for late in self._arriving.pop(node, {}).values():
            self.add(node, late)

    def is_arriving(self, node: str) -> bool:
        return node in self._arriving

    def append(self, node: str, attempt_id: str, file: str, at: int, data: bytes) -> None:
        late = self._arriving.get(node, {}).get(attempt_id)
        if late is not None and file in late.paths:
            late.append(file, at, data)

    def ended(self, node: str, attempt_id: str, record: str) -> bool:
        """Store the end of a lost attempt. Return True if the server expected this end.

        ``record``: the exit record; empty if the attempt has no result.
        """
        of_node = self._arriving.get(node, {})
        late = of_node.pop(attempt_id, None)
        if late is None:
            return False
        if not of_node:
            del self._arriving[node]
        if late.publish(record):
            logger.info(
                "stored the late result of an attempt",
                extra={"action": "late_end", "attempt": attempt_id, "node": node},
            )
        return True


def longest_lease(
    terms: NodeLeaseTerms, entry: NodeEntry | None, addresses: Sequence[str]
) -> float:
    """Return how many seconds a node's workers may still run after this server's start.

    A node may know only a former address of the server. If this address refuses a connection, the
    node may conclude that no server runs, and extend its lease, so that its workers run longer.
    ``addresses``: the addresses at which nodes may reach the server.
    """
    node_addresses = tuple(addresses) if entry is None else entry.addresses
    # An earlier release supports only one address, and stores no addresses in the registry.
    has_none = not node_addresses and len(addresses) <= 1
    is_current = has_none or node_addresses == tuple(addresses)
    if is_current or not terms.refusal_is_absence:
        return terms.fenced_after
    return terms.fenced_after + terms.lease + terms.absence if terms.absence else math.inf


def is_lost(node: ConnectedNode, now: float) -> bool:
    """True if the node is disconnected, and the node's lease and workers have ended.

    ``now``: the event loop's time.
    """
    return node.link is None and now >= node.fenced_at


def lost_attempts(node: ConnectedNode, late: ExpectedLateResults) -> list[tuple[NodeAttempt, Exit]]:
    """Return the attempts of a lost node, each with the end to report.

    If the node shares the server's files, ``late`` stores the attempts, so that their results are
    accepted if the node connects again. Otherwise, the attempts' files on the server are
    incomplete, and late results are rejected. If an attempt's worktree or files are in use, this
    call omits the attempt, and a later call returns it.
    """
    lost = [each for each in node.attempts.values() if not each.is_storing_files]
    for attempt in lost:
        attempt.is_ending = True
    lost = [each for each in lost if not each.files_lock.locked()]
    if lost:
        logger.warning(
            "node declared lost; its workers start again on other machines",
            extra={"action": "node_given_up", "node": node.name},
        )
    why = f"outcome unknown: node {node.name} was lost"
    for attempt in lost:
        if attempt.files is None:
            received = None if attempt.bases is None else attempt.received
            lost_attempt = LostAttempt(
                attempt.attempt_id,
                attempt.exit_path,
                attempt.digest,
                attempt.paths,
                received=received,
            )
            late.add(node.name, lost_attempt)
    return [(each, lost_end(ExitCause.NODE_LOST, why)) for each in lost]
