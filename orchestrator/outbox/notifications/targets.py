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
from orchestrator.outbox.notifications.notice import Notice


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


def send(target: Target, notice: Notice, http_sender: HttpSender) -> Outcome:
    """Send one notification, and return the outcome.

    An error of the network or of the receiver is in the outcome, and is not raised.
    """
    match target.kind:
        case TargetKind.SMTP:
            return mail.send(target.url, notice)
        case TargetKind.DESKTOP:
            return desktop.show(notice.title, notice.text, urgent=notice.needs_you)
        case TargetKind.APPRISE:
            return apprise_services.send(target.url, notice)
    body, headers = _SHAPES[target.kind](notice)
    return http_sender.post(target.url, body, headers)


Shape = tuple[bytes, Mapping[str, str]]


def _slack(notice: Notice) -> Shape:
    # Mattermost reads only ``text``.
    title = f"{':raised_hand:' if notice.needs_you else ':checkered_flag:'} {notice.title}"
    link = f"\n<{notice.link}|Open>" if notice.link else ""
    body = f"{_mrkdwn(notice.text)}{link}"
    head = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{_mrkdwn(title)}*\n{body}"}}
    return _json({"text": f"{_mrkdwn(title)}\n{body}", "blocks": [head]})


def _mrkdwn(text: str) -> str:
    """Escape text for Slack, so that the text cannot mention a user or channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ntfy(notice: Notice) -> Shape:
    headers = {
        "Title": Header(notice.title, "utf-8").encode(maxlinelen=10_000)
        if not notice.title.isascii()
        else notice.title,
        "Priority": "high" if notice.needs_you else "default",
        "Tags": "raised_hand" if notice.needs_you else "checkered_flag",
    }
    click = {"Click": notice.link} if notice.link else {}
    return notice.text.encode("utf-8", "replace"), {**headers, **click}


def _generic(notice: Notice) -> Shape:
    return _json(
        {
            "title": notice.title,
            "text": notice.text,
            "needs_you": notice.needs_you,
            "link": notice.link,
            "message": notice.body,
        }
    )


def _json(value: object) -> Shape:
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return raw, {"Content-Type": "application/json"}


_SHAPES: Mapping[TargetKind, Callable[[Notice], Shape]] = {
    TargetKind.SLACK: _slack,
    TargetKind.NTFY: _ntfy,
    TargetKind.JSON: _generic,
}
