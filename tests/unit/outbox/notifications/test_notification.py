"""The text of notifications, their targets, and quiet hours."""

import time
from datetime import datetime
from typing import Any

import pytest

from orchestrator.core.text.command_name import COMMAND
from orchestrator.outbox.notifications import mail
from orchestrator.outbox.notifications.notification import notification_of
from orchestrator.outbox.notifications.notification_sender import quiet_seconds
from orchestrator.outbox.notifications.targets import TargetKind, kind_of


def a_body(type: str = "job.ended", needs: int = 0, **fields: Any) -> dict[str, Any]:
    usual = {
        "root_job_id": "abc",
        "status": "partial",
        "reason": "1 of 3 tasks failed",
        "request": "Ship it",
        "counts": {"success": 2, "failed": 1, "running": 0},
        "usage": {"cost_usd": 0.125, "tokens": 10, "cost_partial": False},
        "needs": [{"text": f"need {number}"} for number in range(needs)],
        "links": {"dashboard": "http://localhost/jobs/abc"},
    }
    return {"type": type, "data": {**usual, **fields}}


def test_the_notification_of_an_end_has_status_reason_counts_and_cost() -> None:
    notification = notification_of(a_body())

    assert (notification.title, notification.needs_you) == ("Partial: Ship it", False)
    assert notification.text.splitlines() == [
        "Partial: 1 of 3 tasks failed",
        "job abc, 2 of 3 succeeded, 1 failed, $0.12",
    ]


def test_a_cost_with_unknown_parts_is_a_minimum() -> None:
    usage = {"cost_usd": 0.125, "tokens": 10, "cost_partial": True}
    assert notification_of(a_body(usage=usage)).text.endswith(", at least $0.12")


def test_many_needs_are_one_short_notification() -> None:
    notification = notification_of(a_body("job.needs_you", needs=48, usage={"cost_usd": None}))

    assert (notification.title, notification.needs_you) == ("Needs you: Ship it", True)
    assert notification.text.splitlines()[:4] == [
        "need 0",
        "need 1",
        "need 2",
        f"and 45 more: {COMMAND} inbox",
    ]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://hooks.slack.com/services/T/B/x", TargetKind.SLACK),
        ("https://ntfy.sh/topic", TargetKind.NTFY),
        ("https://ntfy.example.org/topic", TargetKind.NTFY),
        ("https://example.org/hook", TargetKind.JSON),
        ("smtps://u:p@mail.example?from=a@b&to=c@d", TargetKind.SMTP),
        ("desktop:", TargetKind.DESKTOP),
        ("tgram://token/chat", TargetKind.APPRISE),
    ],
)
def test_an_address_suggests_its_kind(url: str, kind: TargetKind) -> None:
    assert kind_of(url) is kind


def test_an_address_of_mail_without_a_receiver_is_refused() -> None:
    with pytest.raises(ValueError, match="must have the form smtp://"):
        mail.check("smtp://mail.example?from=a@b")


@pytest.mark.parametrize(
    ("hour", "minute", "expected"),
    [(23, 0, 8 * 3600), (6, 59, 60), (7, 0, 0), (12, 0, 0), (21, 59, 0), (22, 0, 9 * 3600)],
)
def test_quiet_hours_end_in_the_morning(hour: int, minute: int, expected: float) -> None:
    night = (22 * 60, 7 * 60)

    assert quiet_seconds(night, datetime(2026, 1, 31, hour, minute)) == expected


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 28), 8), ((2026, 10, 24), 10)])
def test_quiet_hours_in_which_summer_time_begins_or_ends(
    day: tuple[int, int, int], hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        found = quiet_seconds((22 * 60, 7 * 60), datetime(*day, 22, 0))
    time.tzset()

    assert found == hours * 3600


def test_quiet_hours_of_one_day_and_none() -> None:
    noon = datetime(2026, 1, 31, 12, 30)

    assert quiet_seconds((12 * 60, 13 * 60), noon) == 1800
    assert quiet_seconds((13 * 60, 14 * 60), noon) == 0
    assert quiet_seconds(None, noon) == 0
