"""Sends notifications by mail, to targets ``smtp://USER:PASSWORD@HOST:587?from=A@B&to=C@D``.

With ``smtps://``, the connection uses TLS from its start.
"""

import smtplib
import socket
import ssl
from email.message import EmailMessage
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from orchestrator.outbox.delivery.deadline import Deadline
from orchestrator.outbox.delivery.http_sender import Outcome
from orchestrator.outbox.notifications.notification import Notification

TIMEOUT_SECONDS = 20.0
#: Timeout of a whole mail, including the login, in seconds.
DEADLINE_SECONDS = 60.0
_PORTS = {"smtp": 25, "smtps": 465}


class _NoEncryptionError(Exception):
    """The address has a user name, and the mail server does not offer STARTTLS."""


def check(url: str) -> None:
    """Raise ValueError if the URL of a mail target has no host, sender, or receiver."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if not parts.hostname or not query.get("from") or not query.get("to"):
        raise ValueError(
            "the address must have the form smtp://USER:PASSWORD@HOST:587?from=A@B&to=C@D"
        )


def send(url: str, notification: Notification, within: float = DEADLINE_SECONDS) -> Outcome:
    """Send one mail, and return the outcome. Errors of the network or the server are not raised.

    If an ``smtp://`` server offers STARTTLS, the password and the mail are sent encrypted. For a
    server without STARTTLS, ``url`` decides:

    - URL without a user name: the mail is sent unencrypted.
    - URL with a user name: nothing is sent, and no retry follows (``Outcome.final``).

    ``within``: timeout of the whole exchange, in seconds.
    """
    parts, deadline = urlsplit(url), Deadline(within)
    try:
        with deadline, _connection(parts, deadline) as server:
            server.send_message(_message(parts, notification))
    except _NoEncryptionError:
        error_text = "the mail server does not offer STARTTLS; no password was sent; use smtps://"
        return Outcome(error=error_text, final=True)
    except smtplib.SMTPResponseException as error:
        final = error.smtp_code >= 500
        return Outcome(error=f"SMTP {error.smtp_code}", final=final)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        if deadline.has_expired:
            return Outcome(error=f"the mail server did not accept the mail within {within:g} s")
        if isinstance(error, OSError) and error.strerror and error.errno:
            where = f"cannot connect to the mail server {parts.hostname}"
            return Outcome(error=f"{where}: {error.strerror}")
        return Outcome(error=f"mail was not sent: {type(error).__name__}")
    return Outcome()


def _connection(parts: SplitResult, deadline: Deadline) -> smtplib.SMTP:
    # A subclass is the only way to get the socket from smtplib before the first byte is sent.
    class Plain(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return deadline.watch(socket.create_connection((host, port), timeout))

    class Secure(Plain, smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            connection = super()._get_socket(host, port, timeout)
            return self.context.wrap_socket(connection, server_hostname=host)

    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = Secure(host, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        server = Plain(host, port, timeout=TIMEOUT_SECONDS)
    try:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif parts.scheme == "smtp" and parts.username:
            raise _NoEncryptionError
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _message(parts: SplitResult, notification: Notification) -> EmailMessage:
    query = parse_qs(parts.query)
    message = EmailMessage()
    message["From"], message["To"] = query["from"][0], ", ".join(query["to"])
    message["Subject"] = f"[orchestrator] {notification.title}"
    if notification.needs_you:
        message["X-Priority"] = "2"
    message.set_content(f"{notification.text}\n\n{notification.link}\n")
    return message
