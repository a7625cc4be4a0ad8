"""Targets of notifications: chats, push services, JSON receivers, mail, and this desktop."""

import json
from collections.abc import Callable, Mapping
from dataclasses import field
from email.header import Header
from enum import StrEnum
from urllib.parse import urlsplit

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.outbox.delivery.http_sender import HttpSender, Outcome
from orchestrator.outbox.notifications import apprise_services, desktop, mail
from orchestrator.outbox.notifications.notification import Notification


class TargetKind(StrEnum):
    #: Slack, Mattermost, and other services that accept messages in the format of Slack.
    SLACK = "slack"
    NTFY = "ntfy"
    #: A receiver of JSON objects with title, text, needs_you, and the whole message.
    JSON = "json"
    SMTP = "smtp"
    DESKTOP = "desktop"
    #: A service that the package apprise supports.
    APPRISE = "apprise"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One target of notifications. Its address is a secret."""

    name: str
    kind: TargetKind
    url: str = field(repr=False)
    #: Begin and end of the quiet hours, in minutes since midnight; None: no quiet hours.
    quiet: tuple[int, int] | None = None


def kind_of(url: str) -> TargetKind:
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    if scheme in ("smtp", "smtps"):
        return TargetKind.SMTP
    if scheme == "desktop":
        return TargetKind.DESKTOP
    if scheme not in ("http", "https"):
        return TargetKind.APPRISE
    if host == "hooks.slack.com":
        return TargetKind.SLACK
    return TargetKind.NTFY if host.startswith("ntfy.") else TargetKind.JSON


def send(target: Target, notification: Notification, http_sender: HttpSender) -> Outcome:
    """Send one notification, and return the outcome.

    An error of the network or of the receiver is in the outcome, and is not raised.
    """
    match target.kind:
        case TargetKind.SMTP:
            return mail.send(target.url, notification)
        case TargetKind.DESKTOP:
            return desktop.show(
                notification.title, notification.text, urgent=notification.needs_you
            )
        case TargetKind.APPRISE:
            return apprise_services.send(target.url, notification)
    body, headers = _SHAPES[target.kind](notification)
    return http_sender.post(target.url, body, headers)


Shape = tuple[bytes, Mapping[str, str]]


def _slack(notification: Notification) -> Shape:
    # Mattermost reads only ``text``.
    title = (
        f"{':raised_hand:' if notification.needs_you else ':checkered_flag:'} {notification.title}"
    )
    link = f"\n<{notification.link}|Open>" if notification.link else ""
    body = f"{_mrkdwn(notification.text)}{link}"
    head = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_mrkdwn(title)}*\n{body}"}}
    return _json({"text": f"{_mrkdwn(title)}\n{body}", "blocks": [head]})


def _mrkdwn(text: str) -> str:
    """Escape text for Slack, so that the text cannot mention a user or channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ntfy(notification: Notification) -> Shape:
    headers = {
        "Title": Header(notification.title, "utf-8").encode(maxlinelen=10_000)
        if not notification.title.isascii()
        else notification.title,
        "Priority": "high" if notification.needs_you else "default",
        "Tags": "raised_hand" if notification.needs_you else "checkered_flag",
    }
    click = {"Click": notification.link} if notification.link else {}
    return notification.text.encode("utf-8", "replace"), {**headers, **click}


def _generic(notification: Notification) -> Shape:
    return _json(
        {
            "title": notification.title,
            "text": notification.text,
            "needs_you": notification.needs_you,
            "link": notification.link,
            "message": notification.body,
        }
    )


def _json(value: object) -> Shape:
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return raw, {"Content-Type": "application/json"}


_SHAPES: Mapping[TargetKind, Callable[[Notification], Shape]] = {
    TargetKind.SLACK: _slack,
    TargetKind.NTFY: _ntfy,
    TargetKind.JSON: _generic,
}
