"""The addresses at which a node connects to its server."""

import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.launchers.cluster.connection.typed_json import WrongType, plain, typed
from orchestrator.security.files.json_file import read_object

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _StoredAddresses:
    """The content of ``addresses.json``."""

    #: The addresses in the join file.
    own: tuple[str, ...]
    #: The server's latest list; empty: unknown.
    told: tuple[str, ...]
    used: tuple[str, ...]
    #: The address that answered most recently; "" if none has answered.
    answered: str


class ServerAddresses:
    """The addresses at which a node tries to reach its server.

    The node starts with the addresses in the join file. On each connection, the server sends a list
    of its addresses. If the list contains the address that the connection uses, the list replaces
    the node's addresses. Otherwise, the node does not use the list: the connection may use a relay
    or tunnel, and the node may be unable to reach the addresses in the list.

    ``addresses.json`` in the node's state directory stores the addresses for the node's next
    process.
    """

    def __init__(self, directory: Path, own: Sequence[str]) -> None:
        self._path = directory / "addresses.json"
        self._own = tuple(own)
        #: The server's latest list; empty: unknown.
        self._listed: tuple[str, ...] = ()
        self._used, self._last_address = self._own, ""
        self._is_stored = False
        stored = self._stored()
        # Use the stored addresses only with the same join file.
        if stored is not None and stored.own == self._own and stored.used:
            self._listed, self._used = stored.told, stored.used
            self._last_address = stored.answered

    def in_turn(self) -> Sequence[str]:
        """Return the addresses in the order in which the node tries them.

        The address that answered most recently is first.
        """
        return sorted(self._used, key=lambda each: each != self._last_address)

    @property
    def are_complete(self) -> bool:
        """True if the node tries every address at which a server can run.

        Always True if the server has listed at most one address: the addresses that the node tries
        then lead to the same server, possibly through a tunnel.
        """
        return len(self._listed) <= 1 or set(self._listed) <= set(self._used)

    def store(self, address: str, addresses: Sequence[str]) -> bool:
        """Store the list of addresses that the server sent. Return False if the write fails.

        ``address``: the server address that the current connection uses.
        """
        former = self._fields()
        self._last_address, self._listed = address, tuple(addresses)
        if address in self._listed:
            self._used = self._listed
        if self._fields() != former or not self._is_stored:
            try:
                new = self._path.with_suffix(".new")
                new.write_text(json.dumps(plain(self._fields())), encoding="utf-8")
                new.replace(self._path)
                self._is_stored = True
            except OSError:
                # The disk is full: the node's next process uses the former addresses.
                self._is_stored = False
        return self._is_stored

    def _fields(self) -> _StoredAddresses:
        return _StoredAddresses(self._own, self._listed, self._used, self._last_address)

    def _stored(self) -> _StoredAddresses | None:
        try:
            return typed(_StoredAddresses, read_object(self._path, _MOST_BYTES))
        except WrongType:
            return None


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host and port of HOST:PORT or [HOST]:PORT. Raise ConfigError for other text."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is not an address; write HOST:PORT, such as head.lan:8786")
    return host.removeprefix("[").removesuffix("]"), int(port)
