"""Starts nodes on the workers of a Dask cluster.

The server lets each Dask worker run one command, which starts a node. The command contains only the
path of a join file. Therefore attempts and keys never pass through Dask. The node then connects to
the server directly. Only this folder imports the package ``distributed``, of the extra ``cluster``.
"""

import asyncio
import logging
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.core.errors import ConfigError
from orchestrator.core.ports.read_models import NodeState
from orchestrator.core.text.command_name import COMMAND, IN_FOLDER, install_command
from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.security.files.product_files import product_file
from orchestrator.system.ip_addresses import is_loopback

if TYPE_CHECKING:
    from orchestrator.launchers.cluster.dask.dask_scaling import DaskScaling

logger = logging.getLogger(__name__)

#: Days for which the certificate of a node is valid.
_DAYS = 730.0
_CONNECT_SECONDS = 5.0
_CHECK_SECONDS = 0.5
#: Seconds to wait after the first failed connection, and longest wait. Each further failure doubles
#: the wait.
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 30.0
_CLOSE_SECONDS = 10.0
#: Seconds after which a disconnected node is started again, if its Dask worker still runs.
_EXITED_SECONDS = 3.0


def scheduler_address(address: str) -> tuple[str, int]:
    """Return the host and the port in ``cluster.scheduler``. Raise ConfigError if it is invalid.

    An address with tcp:// must be a loopback address. Without TLS, every program that reaches the
    scheduler can run commands on its Dask workers.
    """
    try:
        found = urlsplit(address)
        scheme, host, port = found.scheme, found.hostname, found.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in ("tls", "tcp") or not host or not port:
        raise ConfigError(
            f"cluster.scheduler: {address!r} is not an address; write tls://HOST:PORT, such as "
            "tls://head.lan:8785"
        )
    if scheme == "tcp" and not is_loopback(host):
        raise ConfigError(
            f"cluster.scheduler: {address} is not encrypted; only 127.0.0.1, ::1, and localhost "
            f"may be unencrypted; start Dask with certificates, and write tls://HOST:PORT"
        )
    return host, port


def node_name(worker: str, host: str) -> str:
    """Return the name of the node on the Dask worker ``worker`` of the machine ``host``.

    If ``worker`` is an address, the name contains this address. Otherwise, the name contains
    ``host`` and ``worker``. A Dask worker that restarts with the same name keeps its node.
    """
    text = worker.rpartition("//")[2] if "://" in worker else f"{host}-{worker}"
    return "dask-" + re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[-58:].strip("-")


class DaskNodes:
    """Starts a node on each worker of a Dask cluster, in a separate thread."""

    def __init__(
        self,
        address: str,
        directory: Path,
        states: Callable[[], Sequence[NodeState]],
        scaling: "DaskScaling | None",
    ) -> None:
        """``directory`` has the cluster's certificates. ``states`` returns the states of all nodes.

        ``scaling`` adapts the number of Dask workers to the load; None: the number stays unchanged.
        Raise ConfigError if the address, the package, or the certificates are unusable.
        """
        scheduler_address(address)
        self._address, self._directory, self._states = address, directory, states
        self._scaling = scaling
        #: {address of a Dask worker: (time of the next start of its node, pause in seconds after
        #: this start)}. Only a disconnected node is started.
        self._starts: dict[str, tuple[float, float]] = {}
        try:
            import distributed
        except ImportError as error:
            raise ConfigError(
                "cluster.scheduler needs the package distributed; install it: "
                f"{install_command('cryptography distributed')}"
            ) from error
        self._distributed: Any = distributed
        self._authority = CertificateAuthority(directory)
        self._registry = NodeRegistry(directory)
        if not self._authority.exists:
            raise ConfigError(
                f"cluster.scheduler: no certificates in {directory}; "
                f"create them: {COMMAND} nodes init --address HOST:PORT"
            )
        self._program = str(product_file(IN_FOLDER)) if COMMAND == IN_FOLDER else COMMAND
        self._loop = asyncio.new_event_loop()
        self._watching: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="dask", daemon=True)

    def open(self) -> None:
        """Start to connect to the scheduler. Returns at once."""
        self._watching = self._loop.create_task(self._watch())
        self._thread.start()

    def close(self) -> None:
        """Disconnect from the scheduler. Nodes continue. Idempotent."""
        if self._watching is not None:
            with suppress(RuntimeError):  # The loop is already closed.
                self._loop.call_soon_threadsafe(self._watching.cancel)
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        assert self._watching is not None
        # At its end, the runner cancels the remaining tasks of Dask's client, and closes the loop.
        with (
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            suppress(asyncio.CancelledError),
        ):
            runner.get_loop().run_until_complete(self._watching)

    async def _watch(self) -> None:
        pause, is_logged = _RETRY_SECONDS, False
        while True:
            try:
                async with self._client() as client:
                    logger.info("connected to Dask's scheduler %s", self._address)
                    pause, is_logged = _RETRY_SECONDS, False
                    await self._follow(client)
                why = "the connection to the scheduler ended"
            except Exception as error:
                why = str(error) or type(error).__name__
            if not is_logged:
                logger.warning(
                    "Dask's scheduler %s is unreachable: %s; nodes continue, and the server "
                    "retries the connection",
                    self._address,
                    why,
                )
                is_logged = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_RETRY_SECONDS)

    def _client(self) -> Any:
        # The certificates are set in Dask's own configuration: distributed.comm.tls.
        security = None
        if self._address.startswith("tls:"):
            security = self._distributed.Security(require_encryption=True)
        return self._distributed.Client(
            self._address,
            security=security,
            asynchronous=True,
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
            name="orchestrator",
        )

    async def _follow(self, client: Any) -> None:
        """Keep a node running on each Dask worker until the connection ends."""
        started: dict[str, str] = {}
        lost: set[str] = set()
        self._starts.clear()
        if self._scaling is not None:
            await self._scaling.install(client)
        while client.status == "running":
            found = (await client.scheduler.identity(n_workers=-1))["workers"]
            for address in found.keys() - started.keys():
                name = node_name(str(found[address]["name"]), str(found[address]["host"]))
                await self._start(client, address, name, int(found[address]["nthreads"]))
                started[address] = name
                self._starts[address] = self._loop.time() + _EXITED_SECONDS, _EXITED_SECONDS
            # Count a Dask worker as lost only if the scheduler listed it during this connection. A
            # restarted scheduler lists no Dask workers at first, although their nodes still run.
            for address in started.keys() - found.keys():
                lost.add(started.pop(address))
                self._starts.pop(address, None)
            lost -= set(started.values())
            self._release_lost(lost)
            await self._start_exited(client, started, found)
            if self._scaling is not None:
                await self._scaling.scale(client, self._registry, self._states(), started, found)
            await asyncio.sleep(_CHECK_SECONDS)

    async def _start_exited(
        self, client: Any, started: Mapping[str, str], found: Mapping[str, Any]
    ) -> None:
        """Restart nodes that have not reconnected, because their processes may have exited.

        If the former process of a node still runs, it holds a lock, and the new process exits at
        once. A node that a person has removed is not restarted. ``started``: {address of the Dask
        worker: name of the node}. ``found``: {address of the Dask worker: Dask's data about it}.
        """
        now, entries = self._loop.time(), self._registry.entries()
        connected = {each.name for each in self._states() if each.state in ("up", "drained")}
        for address, name in started.items():
            at, pause = self._starts[address]
            if name in connected:
                self._starts[address] = now + _EXITED_SECONDS, _EXITED_SECONDS
            elif now >= at and name in entries:
                pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
                self._starts[address] = now + pause, pause
                await self._start(client, address, name, int(found[address]["nthreads"]))

    async def _start(self, client: Any, address: str, name: str, slots: int) -> None:
        path = self._join_file(name)
        # Send only a function of the standard library, because the Dask worker may lack this
        # product. If the node already runs, it holds a lock, and the new process exits.
        node = [self._program, "node", "join", str(path), "--slots", str(slots)]
        argv = ["setsid", "--fork", *node]
        answers: Mapping[str, int] = await client.run(
            subprocess.call, argv, stdin=subprocess.DEVNULL, workers=[address]
        )
        logger.info("node %s: started by Dask's worker %s: %s", name, address, dict(answers))

    def _join_file(self, name: str) -> Path:
        """Return the path of the node's join file.

        An existing join file is reused, so that the node keeps its certificate.
        """
        path = self._directory / f"{name}.join"
        if name in self._registry.entries() and path.exists():
            if self._registry.entries()[name].is_released:
                self._registry.change(name, is_released=False)
            return path.resolve()
        issued = self._authority.issue(name, _DAYS)
        JoinFile(
            name=name,
            address=self._registry.address,
            addresses=self._registry.addresses,
            authority=self._authority.certificate,
            certificate=issued.certificate,
            key=issued.key,
        ).write(path)
        self._registry.put(NodeEntry(name=name, serial=issued.serial))
        return path.resolve()

    def _release_lost(self, lost: set[str]) -> None:
        """Release nodes whose Dask workers are lost, so that no more attempts start on these nodes.

        ``lost``: the names of the nodes. Running attempts continue. If a node is already released
        and has no attempts, remove the node. Also remove the names of removed nodes from ``lost``.
        """
        entries = self._registry.entries()
        used = {each.name for each in self._states() if each.running or each.waiting}
        for name in lost & entries.keys():
            if not entries[name].is_released:
                logger.info(
                    "node %s: its Dask worker is lost; no more workers start on this node", name
                )
                self._registry.change(name, is_released=True)
            elif name not in used:
                self._registry.remove(name)
                (self._directory / f"{name}.join").unlink(missing_ok=True)
        lost &= self._registry.entries().keys()
