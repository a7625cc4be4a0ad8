"""The list of nodes that may connect: ``nodes.json``, next to the cluster's certificates.

Commands and the server change the file under a lock. The server detects a change by the file's
modification time and inode.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from orchestrator.core.errors import ConfigError, NotFound
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND

_NAME = "nodes.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeEntry:
    name: str
    #: Serial number of the node's certificate; other certificates of this name are rejected.
    serial: str
    #: Number of workers that may run on the node at the same time; None: the node decides.
    slots: int | None = None
    #: True if no new workers start on the node.
    is_drained: bool = False
    #: True if no new workers start on the node because its Dask worker has ended or will end.
    is_released: bool = False
    #: Random id of the state directory that first used the certificate; empty: the certificate is
    #: unused.
    instance: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Agents that can work on the node, according to its latest report.
    agents: tuple[str, ...] = ()
    #: The server's addresses that the node has stored; empty: unknown.
    addresses: tuple[str, ...] = ()
    #: Number of times that the user declared the node's workers lost before the end of its lease.
    forgotten: int = 0


def _check_known(nodes: Collection[str], name: str) -> None:
    if name not in nodes:
        known = ", ".join(sorted(nodes)) or "none"
        raise NotFound(f"unknown node {name!r}; known: {known}")


def _entry(name: str, fields: Mapping[str, Any]) -> NodeEntry:
    lists = {each: tuple(fields.get(each, ())) for each in ("agents", "addresses")}
    return NodeEntry(name=name, **{**fields, **lists})


class NodeRegistry:
    """The list of nodes in ``nodes.json``.

    Methods raise OSError if the file cannot be read or written, and ConfigError if it is damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME

    @property
    def stamp(self) -> tuple[int, int]:
        """A value that changes when the file changes; (0, 0) if there is no file."""
        try:
            found = os.stat(self._path)
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    @property
    def address(self) -> str:
        """The first of ``addresses``; empty until ``init`` has stored an address."""
        return str(self._read().get("address", ""))

    @property
    def addresses(self) -> Sequence[str]:
        """The addresses at which nodes reach this server, or a server that replaces this server."""
        found = self._read()
        # Earlier releases store one address.
        return tuple(found.get("addresses", ())) or tuple(filter(None, [found.get("address")]))

    def entries(self) -> Mapping[str, NodeEntry]:
        found = self._read().get("nodes", {})
        try:
            return {name: _entry(name, fields) for name, fields in found.items()}
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"{self._path} is damaged: {error}; restore a copy") from error

    def init(self, *addresses: str) -> None:
        with self._changing() as content:
            content["address"], content["addresses"] = addresses[0], list(addresses)

    def put(self, entry: NodeEntry) -> None:
        with self._changing() as content:
            fields = asdict(entry)
            del fields["name"]
            content.setdefault("nodes", {})[entry.name] = fields

    def change(self, name: str, **changes: object) -> NodeEntry:
        """Change fields of a node, and return the new entry.

        Raise NotFound if the node does not exist.
        """
        with self._changing_nodes(name) as nodes:
            nodes[name] = {**nodes[name], **changes}
            return _entry(name, nodes[name])

    def store_reports(self, reports: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Store the ``agents`` and ``addresses`` that nodes have reported.

        Nodes that no longer exist are ignored.
        """
        with self._changing() as content:
            nodes = content.get("nodes", {})
            for name in reports.keys() & nodes.keys():
                nodes[name].update(reports[name])

    def forget(self, name: str) -> None:
        """Request that the server counts the workers of a disconnected node as lost now.

        Raise NotFound if the node does not exist.
        """
        entry = self.entries().get(name)
        self.change(name, forgotten=entry.forgotten + 1 if entry else 1)

    def remove(self, name: str) -> None:
        """Remove a node. Raise NotFound if the node does not exist."""
        with self._changing_nodes(name) as nodes:
            del nodes[name]

    def why_rejected(self, name: str, serial: str, instance: str) -> str:
        """Return why a node must not connect; "" if it may connect.

        ``serial``: the serial number of the node's certificate. ``instance``: the id of the node's
        state directory. When the node is accepted for the first time, the registry stores this id.
        """
        entry = self.entries().get(name)
        if entry is None:
            return f"node {name!r} was removed; to add it again: {COMMAND} nodes add {name}"
        if entry.serial != serial:
            return (
                f"node {name!r} has a newer join file; join with that file, or create another one: "
                f"{COMMAND} nodes add {name}"
            )
        if not entry.instance:
            self.change(name, instance=instance)
        elif entry.instance != instance:
            return (
                f"node {name!r} has already joined from another machine or state directory; use "
                f"one name for each machine, or create a new join file: {COMMAND} nodes add {name}"
            )
        return ""

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self._path} is damaged: {error}; restore a copy") from error
        if not isinstance(content, dict):
            raise ConfigError(f"{self._path} is damaged: it is no JSON object; restore a copy")
        return content

    @contextmanager
    def _changing_nodes(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the nodes for a change. Raise NotFound if the node ``name`` does not exist."""
        # Check the name before the lock: without a cluster, the lock file has no directory.
        _check_known(self._read().get("nodes", {}), name)
        with self._changing() as content:
            _check_known(content.get("nodes", {}), name)
            yield content["nodes"]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            yield content
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            new.replace(self._path)
        finally:
            os.close(lock)
