"""Sends notifications with the package apprise, to addresses such as ``tgram://`` (Telegram)."""

from importlib import import_module
from typing import Any

from orchestrator.core.text.command_name import install_command
from orchestrator.outbox.delivery.http_sender import Outcome
from orchestrator.outbox.notifications.notification import Notification

#: Name of the package, which the extra ``notify`` installs.
PACKAGE = "apprise"


def send(url: str, notification: Notification) -> Outcome:
    """Send one notification, and return the outcome. An error of the service is not raised."""
    try:
        apprise: Any = import_module(PACKAGE)
    except ImportError:
        install = install_command(PACKAGE)
        return Outcome(error=f"the package {PACKAGE} is missing; run: {install}", final=True)
    service = apprise.Apprise()
    if not service.add(url):
        error = (
            "the package apprise does not support this address; check scheme and form of the url"
        )
        return Outcome(error=error, final=True)
    kind = apprise.NotifyType.WARNING if notification.needs_you else apprise.NotifyType.INFO
    text = f"{notification.text}\n{notification.link}".strip()
    if service.notify(body=text, title=notification.title, notify_type=kind):
        return Outcome()
    return Outcome(
        error="apprise could not deliver the notification; the service may be unreachable, or the "
        "target's url may be wrong"
    )
