"""Checks Host and Origin of each request first, and adds security headers to every answer.

A page on the internet can make the user's browser call this server, even on localhost. There are
two kinds of such attacks. In a cross-site post, the page calls the server directly. In DNS
rebinding, the page calls a host name that resolves to 127.0.0.1. The headers Host and Origin reveal
both kinds.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from orchestrator.api.http_messages.problems import ProblemError, refuse
from orchestrator.api.server_options import ApiOptions
from orchestrator.system.ip_addresses import is_address, is_loopback

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]", "*"})

#: Pages to which other sites may link without harm. The folders contain further pages and files.
LINKABLE_PAGES = frozenset({"/", "/docs", "/login", "/new", "/costs", "/agents"})
LINKABLE_FOLDERS = ("/static/", "/jobs/")
SAFE_METHODS = frozenset({"GET", "HEAD"})
#: Values of ``Sec-Fetch-Site`` for requests that come from this server's own page, or from the
#: browser's address bar.
OWN_SITES = frozenset({"same-origin", "none"})

#: Paths that a container platform calls directly, past the proxy. The answers need no key and
#: contain no secret.
PROBES = frozenset({"/healthz", "/readyz"})

MOST_HEADERS = 100
_HOST = re.compile(r"(?P<name>\[[^\[\]]*\]|[^\[\]:]*)(:[0-9]*)?")

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

#: Key of the CORS headers in a request's environment. With these headers, a browser lets the page
#: of an allowed origin read the answer. Answers of the socket loop bypass this middleware, and add
#: the headers themselves.
CORS_HEADERS = "orchestrator.cors"
#: Methods and headers that the page of an allowed origin may send. Cookies are excluded, so the
#: page can call only with a key.
PREFLIGHT_HEADERS = (
    ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "X-API-Key, Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, "
        "Range",
    ),
    ("Access-Control-Max-Age", "600"),
)
EXPOSED = "ETag, Location, Retry-After, Content-Range"


def secured(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``headers`` with the security headers that they lack."""
    present = list(headers)
    names = {name.lower() for name, _ in present}
    added = (*SECURITY_HEADERS, ("Content-Security-Policy", API_POLICY))
    return present + [(name, value) for name, value in added if name.lower() not in names]


class OriginGuard:
    """WSGI middleware that checks each request before the application gets the request.

    A rejected request is answered with 403 or 431.
    """

    def __init__(self, application: WSGIApplication, options: ApiOptions) -> None:
        self._application = application
        self._any_address = options.host in WILDCARDS
        self._names = allowed_names(options)
        self._public_names = self._names - allowed_names(replace(options, allowed_hosts=()))
        self._proxies = options.trusted_proxies
        self._origins = frozenset(options.allowed_origins)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        cors = self._cors_headers(environ)

        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            added = [each for each in cors if each not in headers]
            # Return waitress' own ``write`` method: through this method, the socket loop finds the
            # task of waitress, and takes over the connection.
            return start_response(status, [*secured(headers), *added], exc_info)

        problem = self._problem(environ)
        if problem is not None:
            return refuse(problem, environ, start)
        if environ.get("REQUEST_METHOD") == "OPTIONS" and self._allows_origin(environ):
            start_response("204 No Content", secured((*PREFLIGHT_HEADERS, *cors)))
            return []
        environ[CORS_HEADERS] = cors
        return self._application(environ, start)

    def _cors_headers(self, environ: WSGIEnvironment) -> tuple[tuple[str, str], ...]:
        if not self._allows_origin(environ):
            return (("Vary", "Origin"),) if self._origins else ()
        return (
            ("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"]),
            ("Access-Control-Expose-Headers", EXPOSED),
            ("Vary", "Origin"),
        )

    def _allows_origin(self, environ: WSGIEnvironment) -> bool:
        return environ.get("HTTP_ORIGIN", "").lower() in self._origins

    def _problem(self, environ: WSGIEnvironment) -> ProblemError | None:
        if sum(name.startswith("HTTP_") for name in environ) > MOST_HEADERS:
            return ProblemError(
                status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                type="headers-too-large",
                detail=f"too many headers: maximum {MOST_HEADERS}",
            )
        host = environ.get("HTTP_HOST")
        if host is None and environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            return None
        # With TLS, the browser has already checked the certificate, which does not contain a
        # rebound name.
        if environ["wsgi.url_scheme"] != "https" and not self.is_own_host(host or ""):
            return _forbidden(
                "forbidden-host",
                f"unknown host name {(host or '')[:100]!r}; use "
                f"{', '.join(sorted(self._names))}, or add the name to api.allowed_hosts",
            )
        if self._proxies and (reason := self._reason_to_reject(environ)):
            return _forbidden("forbidden-proxy", reason)
        is_foreign = _is_foreign(environ, host or "")
        if is_foreign and self._allows_origin(environ):
            # The page of an allowed origin must call with a key. Without the cookie, the page
            # cannot act as the person who is logged in.
            environ.pop("HTTP_COOKIE", None)
        elif is_foreign and not _is_linkable(environ):
            return _forbidden(
                "forbidden-origin",
                "call rejected, because it comes from a page of another site; to allow the page, "
                "add its origin to api.allowed_origins",
            )
        return None

    def _reason_to_reject(self, environ: WSGIEnvironment) -> str | None:
        """Return why a server behind a proxy rejects a request; None if the request is accepted.

        Three kinds of requests are accepted: requests by https through a trusted proxy, direct
        requests from this machine, and health probes. For an accepted request of a proxy, the
        remote address becomes the address of the proxy's client.
        """
        remote = environ.get("REMOTE_ADDR", "")
        is_trusted = self._is_trusted(remote)
        if is_trusted and environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https":
            environ["wsgi.url_scheme"] = "https"
            environ["REMOTE_ADDR"] = self._forwarded_for(environ) or remote
            return None
        # A request for a public name came through the proxy, even if the proxy sets no header.
        is_public = host_name(environ.get("HTTP_HOST", "")) in self._public_names
        is_forwarded = is_trusted and ("HTTP_X_FORWARDED_FOR" in environ or is_public)
        is_local = is_address(remote) and is_loopback(remote) and not is_forwarded
        if is_local or environ.get("PATH_INFO") in PROBES:
            return None
        if is_trusted:
            return (
                "the header X-Forwarded-Proto: https is missing; call the proxy by https, and "
                "configure the proxy to set the header"
            )
        return (
            f"{remote} is not in api.trusted_proxies; call the server through its proxy, or add "
            "the address of the proxy"
        )

    def _forwarded_for(self, environ: WSGIEnvironment) -> str:
        """Return the last address of ``X-Forwarded-For`` that is not a trusted proxy.

        Return "" if there is no such address.

        The addresses to the left of the returned address prove nothing: a caller can invent them.
        """
        entries = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        addresses = (each.strip() for each in reversed(entries))
        address = next((each for each in addresses if not self._is_trusted(each)), "")
        return address if is_address(address) else ""

    def _is_trusted(self, address: str) -> bool:
        if not is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._proxies)

    def is_own_host(self, host: str) -> bool:
        """True if a Host header names this server.

        The port is ignored, because a tunnel may change the port.
        """
        name = host_name(host)
        # DNS rebinding needs a name: with an address, a browser calls only this address.
        return name in self._names or (self._any_address and is_address(name.strip("[]")))


def allowed_names(options: ApiOptions) -> frozenset[str]:
    names = {host_name(_bracketed(name)) for name in (options.host, *options.allowed_hosts)}
    if options.host in WILDCARDS:
        names.add(socket.gethostname().lower())
    return frozenset(names - WILDCARDS) | LOOPBACK_NAMES


def host_name(host: str) -> str:
    """Return the host of a Host header: in lower case, without the port.

    An IPv6 address keeps its brackets. The result is "" if the header is invalid, for example
    because it names two hosts.
    """
    match = _HOST.fullmatch(host.strip().lower())
    return match["name"].rstrip(".") if match else ""


def _bracketed(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _is_foreign(environ: WSGIEnvironment, host: str) -> bool:
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin.lower().partition("://")[2] != host.lower():
        return True
    return environ.get("HTTP_SEC_FETCH_SITE", "none").lower() not in OWN_SITES


def _is_linkable(environ: WSGIEnvironment) -> bool:
    path = environ.get("PATH_INFO", "")
    page = path in LINKABLE_PAGES or path.startswith(LINKABLE_FOLDERS)
    return page and environ.get("REQUEST_METHOD") in SAFE_METHODS


def _forbidden(slug: str, detail: str) -> ProblemError:
    return ProblemError(status=HTTPStatus.FORBIDDEN, type=slug, detail=detail)
