"""Sends messages by HTTP, only to allowed addresses, and without redirects and proxies."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy, ForbiddenUrl, Unresolved
from orchestrator.outbox.delivery.deadline import Deadline
from orchestrator.system.http_client.http_retry import seconds_until

if TYPE_CHECKING:
    import requests

USER_AGENT = f"orchestrator/{__version__}"
#: Maximum bytes of an answer that are read, and maximum characters that are stored.
MOST_ANSWER = 4096
#: Error for webhooks and notifications, because both have this timeout.
NO_ANSWER = "no answer within webhooks.timeout (for webhooks and notifications)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    #: Status code of the answer; None without an answer.
    status: int | None = None
    #: Why the attempt failed; empty if the receiver accepted the message.
    error: str = ""
    answer: str = ""
    #: Seconds to wait before a retry, from the header ``Retry-After``; None without this header.
    retry_after: float | None = None
    #: True if a retry cannot succeed.
    final: bool = False

    @property
    def delivered(self) -> bool:
        return not self.error


class HttpSender:
    """Sends messages by HTTP POST to allowed addresses. Any thread may call."""

    def __init__(
        self,
        policy: AddressPolicy,
        timeout: float,
        now: Callable[[], float],
        mask: Callable[[str], str] = str,
    ) -> None:
        """``timeout``: maximum seconds of one request, until its whole answer has arrived.

        ``mask`` replaces secrets in a text.
        """
        self._policy = policy
        self._timeout = timeout
        self._now = now
        self._mask = mask

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send ``body`` to a URL, and return the outcome.

        An error of the network or of the receiver is in the outcome, and is not raised.
        """
        # Imported here, because the import takes 0.1 s, and most servers send nothing.
        import requests
        from requests_hardened.ip_filter import InvalidIPAddress

        deadline: Deadline | None = None
        try:
            self._policy.check(url)
            with self._session(url) as session, Deadline(self._timeout, session) as deadline:
                # Ignore proxies in environment variables, and passwords in .netrc.
                session.trust_env = False
                with session.post(
                    url,
                    data=body,
                    headers={"User-Agent": USER_AGENT, **headers},
                    timeout=(self._timeout, self._timeout),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    # If the deadline closed the connection, the headers may be incomplete.
                    if deadline.has_expired:
                        return Outcome(error=NO_ANSWER)
                    return self._outcome(response, url)
        except Unresolved as error:
            return Outcome(error=error.message)
        except ForbiddenUrl as error:
            return Outcome(error=error.message, final=True)
        except InvalidIPAddress:
            return Outcome(
                error="the host's address has changed, and is not public; nothing was sent; to "
                "allow the host, add it to webhooks.allow_hosts in config.yaml",
                final=True,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            late = deadline is not None and deadline.has_expired
            return Outcome(error=NO_ANSWER if late else _reason(error))

    def _session(self, url: str) -> "requests.Session":
        """Return a session for a request to ``url``.

        A host in the setting ``webhooks.allow_hosts`` may have any address. For any other host,
        the session connects only to public addresses.
        """
        import requests
        from requests_hardened.client import HTTPSession
        from requests_hardened.config import Config

        if self._policy.is_allowed(url):
            return requests.Session()
        settings = Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=False,
            never_redirect=True,
            default_timeout=(self._timeout, self._timeout),
        )
        session: requests.Session = HTTPSession(settings)
        return session

    def _outcome(self, response: "requests.Response", url: str) -> Outcome:
        status, answer = response.status_code, self._beginning(response)
        # The answer may repeat the receiver's URL, which may contain a token.
        for part in (url, urlsplit(url).query):
            answer = answer.replace(part, "***") if part else answer
        if 200 <= status < 300:
            return Outcome(status=status, answer=answer)
        is_redirect = 300 <= status < 400
        reason = (
            "(redirects are not followed; set the final address)"
            if is_redirect
            else response.reason
        )
        return Outcome(
            status=status,
            error=f"HTTP {status} {self._mask(str(reason or ''))[:100]}".strip(),
            answer=answer,
            retry_after=seconds_until(response.headers.get("Retry-After"), self._now()),
        )

    def _beginning(self, response: "requests.Response") -> str:
        try:
            raw = response.raw.read(MOST_ANSWER, decode_content=False) or b""
        # Catch all errors, because urllib3 raises many classes. Only people read the answer, so an
        # empty answer is enough.
        except Exception:
            return ""
        return self._mask(raw.decode("utf-8", "replace"))[:MOST_ANSWER]


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout | TimeoutError):
        return NO_ANSWER
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS connection failed; check the receiver's certificate"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return f"cannot connect: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return "connection failed for an unknown reason; check the address of the receiver"
