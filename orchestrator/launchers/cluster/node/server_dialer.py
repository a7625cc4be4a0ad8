"""Connects a node to its server: tries the server's addresses, and sends the first message."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.cluster.connection.link import SERVER_NAME, Link, tls
from orchestrator.launchers.cluster.connection.messages import (
    Hello,
    InvalidMessage,
    Rejection,
    Welcome,
    decode_answer_to_hello,
)
from orchestrator.launchers.cluster.connection.server_addresses import host_and_port
from orchestrator.launchers.cluster.node.node_settings import NodeSettings
from orchestrator.launchers.process.lease_file import boot_time

_DIAL_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
#: OpenSSL's names of the errors by which a peer rejects this machine's certificate. After the
#: handshake, every other TLS error means that the connection is broken.
_REJECTIONS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)


@dataclass(frozen=True, slots=True)
class AnsweredHello:
    """A connection to the server, and the server's first message."""

    link: Link
    #: The server's address.
    address: str
    answer: Welcome | Rejection
    #: ``boot_time()`` just before ``Hello`` was sent.
    sent: float
    #: Why earlier addresses failed, if TLS failed at one of them; otherwise empty.
    warning: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No address of the server has answered."""

    #: The reason for each address.
    why: str
    #: True if all addresses refused the connection.
    is_refused: bool
    #: True if TLS failed at all addresses.
    is_insecure: bool


class ServerDialer:
    def __init__(self, settings: NodeSettings) -> None:
        self._name, self._directory = settings.name, settings.directory

    async def dial(
        self, addresses: Sequence[str], hello: Callable[[], Hello]
    ) -> AnsweredHello | NoAnswer:
        """Send ``hello()`` to the first address that answers."""
        failures, refused, insecure = list[str](), 0, 0
        for address in addresses:
            try:
                link = await asyncio.wait_for(self._connect(address), _DIAL_SECONDS)
            except ConnectionRefusedError:
                refused += 1
                failures.append(f"no server listens at {address}")
            except ssl.SSLError as error:
                insecure += 1
                failures.append(f"no secure connection to {address}: {error.reason or error}")
            except (OSError, TimeoutError) as error:
                failures.append(f"cannot reach {address}: {str(error) or 'timeout'}")
            else:
                sent = boot_time()
                link.post(hello())
                answer = await self._answer(link, address)
                if not isinstance(answer, str):
                    warning = "; ".join(failures) if insecure else ""
                    return AnsweredHello(link, address, answer, sent, warning)
                failures.append(answer)
        count = len(failures)
        return NoAnswer("; ".join(failures), refused == count, insecure == count)

    async def _connect(self, address: str) -> Link:
        """Return a connection to an address.

        Raise ConnectionRefusedError if all IP addresses of the host refuse the connection. Raise
        OSError after another failure.
        """
        context = tls(self._directory, "node", is_server=False)
        context.check_hostname = True
        loop, errors = asyncio.get_running_loop(), list[OSError]()
        host, port = host_and_port(address)
        # asyncio itself does not distinguish a refusal by all IP addresses from other errors.
        for *_, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                _, link = await loop.create_connection(
                    Link, str(place[0]), port, ssl=context, server_hostname=SERVER_NAME
                )
                return link
            except OSError as error:
                errors.append(error)
        raise next(
            (each for each in errors if not isinstance(each, ConnectionRefusedError)), errors[0]
        )

    async def _answer(self, link: Link, address: str) -> Welcome | Rejection | str:
        """Return the server's answer to ``Hello``, or the reason why no answer came, as text."""
        try:
            message = await asyncio.wait_for(link.receive(), _ANSWER_SECONDS)
            return decode_answer_to_hello(message)
        except (OSError, TimeoutError) as error:
            link.abort()
            if isinstance(error, ssl.SSLError) and error.reason in _REJECTIONS:
                return Rejection(self._certificate_rejected(address))
            return f"{address} closed the connection; {self._certificate_rejected(address)}"
        except InvalidMessage as error:
            link.abort()
            return f"{address} sent an invalid message: {error}"

    def _certificate_rejected(self, address: str) -> str:
        return (
            f"the certificate of {self._name} may have expired, or {address} may belong to another "
            f"cluster; create a new certificate on the server: {COMMAND} nodes add {self._name}"
        )
