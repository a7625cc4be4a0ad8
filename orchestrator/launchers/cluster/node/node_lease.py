"""The lease of this node. The lease's terms are stored for the next process of the node."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.typed_json import WrongType, typed
from orchestrator.launchers.process.lease_file import LeaseFile, boot_time
from orchestrator.security.files.json_file import read_object

_MOST_BYTES = 64 * 1024


class NodeLease:
    """Extends the lease file of this node. All times are values of ``boot_time()``."""

    def __init__(self, directory: Path) -> None:
        """Raise OSError if the lease file cannot be created."""
        #: Path of the lease file, which the shims of this node read.
        self.path = f"{directory}/lease"
        self._directory = directory
        self._file = LeaseFile(self.path)
        self._terms = self._stored_terms()
        self._absent_since: float | None = None
        #: Time at which each unanswered heartbeat was sent, by the number of the heartbeat.
        self._beats: dict[int, float] = {}

    @property
    def terms(self) -> NodeLeaseTerms:
        return self._terms or NodeLeaseTerms()

    def use_terms(self, terms: NodeLeaseTerms) -> None:
        """Use and store the server's terms.

        The terms are stored, because the next process of this node may start while no server runs.
        """
        if terms != self._stored_terms():
            new = self._directory / "terms.new"
            # Replace the file atomically, so that a full disk does not destroy the former terms.
            with suppress(OSError):
                new.write_text(json.dumps(asdict(terms)))
                new.replace(self._directory / "terms.json")
        self._terms = terms

    def _stored_terms(self) -> NodeLeaseTerms | None:
        stored = read_object(self._directory / "terms.json", _MOST_BYTES)
        try:
            return typed(NodeLeaseTerms, stored)
        except WrongType:
            return None

    def connected(self, sent: float) -> None:
        """Extend the lease after the server's welcome.

        ``sent``: ``boot_time()`` just before ``hello`` was sent.
        """
        self._absent_since = None
        self._file.extend(sent + self.terms.lease)
        self._beats.clear()

    def record_heartbeat(self, number: int) -> None:
        """Record the time at which heartbeat ``number`` is sent. Call this before sending it."""
        self._beats[number] = boot_time()

    def heartbeat_answered(self, number: int) -> None:
        """Extend the lease after the server's answer to heartbeat ``number``.

        The extension counts from the time at which the node sent this heartbeat.
        """
        sent = self._beats.pop(number, None)
        if sent is not None:
            self._file.extend(sent + self.terms.lease)
            self._beats = {each: at for each, at in self._beats.items() if each > number}

    def server_is_absent(self, dialled: float) -> None:
        """Extend the lease after all addresses refused the connection, so that workers continue.

        The extension cannot cause an attempt to run twice. A refused connection shows that no
        server runs, and only a server starts attempts on another machine. A new server first waits
        for the end of the lease.

        ``dialled``: the ``boot_time()`` at which the node began to try the addresses. The extension
        counts from this time.
        """
        terms = self._terms
        if terms is None or not terms.refusal_is_absence:
            return
        if self._absent_since is None:
            self._absent_since = dialled
        if not terms.absence or dialled < self._absent_since + terms.absence:
            self._file.extend(dialled + terms.lease)
