"""Decides which addresses may get messages: public addresses, and hosts that the settings allow.

Without this check, a caller's URL could reach a service on this machine or in a private network
(server-side request forgery). The setting ``webhooks.allow_hosts`` lists the hosts that may have a
private address.
"""

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from orchestrator.core.errors import InvalidRequest
from orchestrator.system.ip_addresses import is_address

MOST_CHARACTERS = 2000
#: The characters that a URL may contain (RFC 3986). A URL with any other character is rejected. For
#: example, two programs may read two different hosts from a URL with a backslash.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_PORTS = {"http": 80, "https": 443}


class ForbiddenUrl(InvalidRequest):
    """The URL is malformed, or its address may not get messages."""

    kind = "forbidden-url"


class Unresolved(ForbiddenUrl):
    """The host name of the URL could not be resolved. A retry may succeed."""


class AddressPolicy:
    """Decides which addresses may get messages. Any thread may call."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """``allowed``: hosts that may have a private address, as ``host`` or ``host:port``."""
        self._allowed = frozenset(each.lower() for each in allowed)

    def check(self, url: str) -> None:
        """Resolve the URL's host name, and raise ForbiddenUrl if the address may not get messages.

        The host name may resolve to another address later. The sender therefore checks the address
        of each connection again.
        """
        host, port = _host_and_port(url)
        if self.is_allowed(url):
            return
        # "localhost." with a final dot is the same host, but some resolvers do not know this form.
        for address in _addresses(host.rstrip("."), port):
            if not _is_public(address):
                subject = host if host.strip("[]") == address else f"{host} ({address})"
                raise ForbiddenUrl(
                    f"{subject} is not a public address; to allow the host, add "
                    f"it to webhooks.allow_hosts in config.yaml: [{_with_port(host, port)}]"
                )

    def check_literal(self, url: str) -> None:
        """Check the form of a URL, and its host if the host is localhost or an IP address.

        Raise ForbiddenUrl if the URL is malformed, or if such a host may not get messages. Makes no
        DNS query.
        """
        host, _ = _host_and_port(url)
        if host.rstrip(".") == "localhost" or is_address(host.strip("[]")):
            self.check(url)

    def is_allowed(self, url: str) -> bool:
        """True if the settings allow the URL's host, even with a private address.

        Raise ForbiddenUrl for a malformed URL.
        """
        host, port = _host_and_port(url)
        return not self._allowed.isdisjoint({host, _with_port(host, port)})


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_and_port(url: str) -> tuple[str, int]:
    # Imported here, because most servers send nothing.
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    if len(url) > MOST_CHARACTERS:
        raise ForbiddenUrl(f"the URL is longer than {MOST_CHARACTERS} characters; shorten it")
    if not _URL.fullmatch(url):
        raise ForbiddenUrl("the URL has a character that must be percent-encoded; encode it")
    try:
        parts, sent_parts = urlsplit(url), parse_url(url)
        port = parts.port
    except (ValueError, LocationParseError) as error:
        raise ForbiddenUrl(f"the URL is malformed ({error}); write https://HOST/PATH") from None
    if parts.scheme not in _PORTS:
        raise ForbiddenUrl("the URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ForbiddenUrl("the URL has a user name before its host; remove it")
    host = (parts.hostname or "").lower()
    if not host or (sent_parts.host or "").strip("[]").lower() != host or "%" in host:
        raise ForbiddenUrl("the URL has no valid host; write https://HOST/PATH")
    if port == 0:
        raise ForbiddenUrl("port 0 does not exist; write another port")
    return host, port or _PORTS[parts.scheme]


def _addresses(host: str, port: int) -> list[str]:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unresolved(f"{host} has no address ({reason}); check the name") from None
    return [str(entry[4][0]).partition("%")[0] for entry in entries]


def _is_public(text: str) -> bool:
    from requests_hardened.ip_filter import EXTRA_BLOCKED_NET_RANGES

    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    unusable = address.is_multicast or address.is_reserved or address.is_unspecified
    blocked = any(address in network for network in EXTRA_BLOCKED_NET_RANGES)
    return address.is_global and not unusable and not blocked
