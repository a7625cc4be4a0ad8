"""Sends the notifications of ``run --notify``: to this desktop, and with the terminal's bell."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.cli.follow.event_text import Event
from orchestrator.core.events import EventKind
from orchestrator.outbox.notifications import desktop

#: Texts of notifications, by the kind of event after which a job waits for a person.
_NEEDS = {
    EventKind.QUESTION_ASKED: "a task waits for your answer",
    EventKind.LIMIT_ASKED: "a limit was reached",
}


class RunNotifications:
    """Notifies the user when a job needs a person, and when the job has ended."""

    def __init__(self, say: Callable[[str], None], *, needs_approval: bool) -> None:
        """``say`` prints a line. ``needs_approval``: True if a person must approve the plan."""
        self._say = say
        self._needs = dict(_NEEDS)
        if needs_approval:
            self._needs[EventKind.JOB_PLANNED] = "the plan waits for your approval"

    def event(self, event: Event) -> None:
        text = self._needs.get(event.get("kind", ""))
        if text is not None:
            self._notify("Needs you", f"job {event.get('job_id')}: {text}", urgent=True)

    def ended(self, answer: Mapping[str, Any]) -> None:
        status = str(answer["status"]).capitalize()
        text = f"job {answer['job_id']}: {answer.get('reason') or status}"
        self._notify(status, text, urgent=False)

    def _notify(self, title: str, text: str, *, urgent: bool) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\a")
            sys.stderr.flush()
        outcome = desktop.show(f"orchestrator: {title}", text, urgent=urgent)
        if not outcome.delivered and not sys.stderr.isatty():
            self._say(f"no notification: {outcome.error}")
