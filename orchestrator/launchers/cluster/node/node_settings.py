"""The settings of a node."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSettings:
    name: str
    #: Addresses of the server, HOST:PORT.
    addresses: Sequence[str]
    slots: int
    #: Directory on a local disk, with the certificates ``ca.pem``, ``node.pem``, ``node.key``.
    directory: Path
    #: True if this machine does not share the server's file system.
    own_files: bool
    #: The product's folder on this machine.
    home: Path
