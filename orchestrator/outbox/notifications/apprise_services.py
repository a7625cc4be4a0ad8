"""Notifications by the package apprise, for services such as ``tgram://`` or ``discord://``."""

from importlib import import_module
from typing import Any

from orchestrator.core.text.command_name import install_command
from orchestrator.outbox.delivery.http_sender import Outcome
from orchestrator.outbox.notifications.notice import Notice

#: The package of the extra ``notify``.
PACKAGE = "apprise"


def send(url: str, notice: Notice) -> Outcome:
    """Send one notification. Never raises for errors of the service."""
    try:
        apprise: Any = import_module(PACKAGE)
    except ImportError:
        install = install_command(PACKAGE)
        return Outcome(error=f"the package {PACKAGE} is missing; run: {install}", final=True)
    service = apprise.Apprise()
    if not service.add(url):
        return Outcome(error="apprise does not know this address; check its scheme", final=True)
    kind = apprise.NotifyType.WARNING if notice.needs_you else apprise.NotifyType.INFO
    text = f"{notice.text}\n{notice.link}".strip()
    if service.notify(body=text, title=notice.title, notify_type=kind):
        return Outcome()
    return Outcome(error="the service has not accepted the notification")
