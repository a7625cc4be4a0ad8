"""The file with which a machine joins a cluster: server addresses, and certificates of one node."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from orchestrator.core.errors import ConfigError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.cluster.connection.server_addresses import host_and_port
from orchestrator.launchers.cluster.node.node_settings import NodeSettings
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.product_files import FOLDER
from orchestrator.system import process_table


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinFile:
    """The content of a join file.

    Keep the file secret: any machine that has it can connect as this node.
    """

    name: str
    #: Address of the server, HOST:PORT.
    address: str
    #: All addresses of the server; empty if the file lists only ``address``.
    addresses: Sequence[str] = ()
    #: PEM texts: the authority's certificate, the node's certificate, and the node's key.
    authority: str
    certificate: str
    key: str

    def write(self, path: Path) -> None:
        """Write the file, readable only for this user. Raise OSError if it cannot be written."""
        fields = asdict(self)
        if len(self.addresses) <= 1:
            # Earlier releases can read the file only if this field is missing.
            del fields["addresses"]
        replace_file(path, (json.dumps(fields, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "JoinFile":
        """Read a join file. Raise ConfigError if it is unusable."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            why = getattr(error, "strerror", None) or "the file is not a join file"
            raise ConfigError(
                f"cannot read {path}: {why}; create it: {COMMAND} nodes add NAME"
            ) from error

    def unpack(
        self,
        directory: Path,
        slots: int | None,
        *,
        own_files: bool = False,
        home: Path = FOLDER,
    ) -> NodeSettings:
        """Write the certificates into the state directory, and return the node's settings.

        ``slots``: number of workers; None: the number of processors. Raise OSError if a file cannot
        be written, and ConfigError if an address is not valid.
        """
        # If a person has changed ``address`` in the file, use only that address.
        addresses = tuple(self.addresses) if self.address in self.addresses else (self.address,)
        for each in addresses:
            host_and_port(each)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(directory / "ca.pem", self.authority.encode())
        replace_file(directory / "node.pem", self.certificate.encode())
        replace_file(directory / "node.key", self.key.encode())
        return NodeSettings(
            name=self.name,
            addresses=addresses,
            slots=slots or process_table.usable_processors(),
            directory=directory,
            own_files=own_files,
            home=home,
        )
