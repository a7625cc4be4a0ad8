"""Creates the text of a notification from the body of a message. Pure."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import AT_LEAST, cut, rounded_dollars

#: Maximum characters of a notification's title and of each line. A phone shows about two lines.
MOST_TITLE, MOST_LINE = 80, 200
#: Maximum number of needs in a notification.
MOST_NEEDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    #: True if a job waits for a person; such notifications have a higher priority.
    needs_you: bool
    title: str
    text: str
    #: Address of the job in the dashboard.
    link: str = ""
    #: The body of the message, for targets that read JSON.
    body: Mapping[str, Any] = field(default_factory=dict)


def notification_of(body: Mapping[str, Any]) -> Notification:
    data = body["data"]
    needs = data["needs"]
    ended = body["type"] == "job.ended"
    status = str(data["status"]).capitalize()
    heading = status if ended else "Needs you"
    lines = [f"{status}: {data['reason']}"] if ended and data["reason"] else []
    lines += [each["text"] for each in needs[:MOST_NEEDS]]
    if len(needs) > MOST_NEEDS:
        lines.append(f"and {len(needs) - MOST_NEEDS} more: {COMMAND} inbox")
    lines.append(_figures(data))
    return Notification(
        needs_you=bool(needs),
        title=cut(f"{heading}: {data['request']}", MOST_TITLE),
        text="\n".join(cut(line, MOST_LINE) for line in lines if line),
        link=data["links"]["dashboard"],
        body=body,
    )


def test_notification() -> Notification:
    text = "This is a test: notifications of orchestrator arrive."
    data = {"message": text}
    return Notification(
        needs_you=False, title="Test", text=text, body={"type": "test", "data": data}
    )


def _figures(data: Mapping[str, Any]) -> str:
    counts = data["counts"]
    total = sum(counts.values())
    parts = [f"job {data['root_job_id']}", f"{counts.get('success', 0)} of {total} succeeded"]
    if counts.get("failed"):
        parts.append(f"{counts['failed']} failed")
    usage = data["usage"]
    if usage["cost_usd"] is not None:
        qualifier = AT_LEAST if usage["cost_partial"] else ""
        parts.append(rounded_dollars(usage["cost_usd"], qualifier))
    return ", ".join(parts)
