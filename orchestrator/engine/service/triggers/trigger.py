"""A trigger: which events it accepts, and the job or feedback that an event creates."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from urllib.parse import parse_qs

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.submission import Submission
from orchestrator.engine.service.triggers.event_paths import EventPath
from orchestrator.engine.service.triggers.job_template import JobTemplate
from orchestrator.security.secrets.trigger_verification import Verification, is_verified

#: Headers with the kind of an event, of the supported services.
_KINDS = ("x-github-event", "x-gitlab-event")
#: Headers with the delivery id of an event, of the supported services.
_DELIVERIES = ("x-github-delivery", "x-gitlab-event-uuid", "webhook-id", "idempotency-key")
#: Name of the condition about the kind of the event, in a trigger's setting ``when``.
KIND = "event"
#: Maximum characters of a delivery id, which becomes a part of an Idempotency-Key.
LONGEST_DELIVERY = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerEvent:
    """One event that a service sent."""

    #: The HTTP headers. The keys are the headers' names in lower case.
    headers: Mapping[str, str]
    #: The body, parsed as JSON.
    document: object

    @property
    def kind(self) -> str:
        """The event type from the service's header, otherwise from the body."""
        header_kind = next((self.headers[name] for name in _KINDS if name in self.headers), "")
        body = self.document if isinstance(self.document, Mapping) else {}
        return header_kind or str(body.get("type") or body.get("object_kind") or "")

    @property
    def is_ping(self) -> bool:
        return self.headers.get("x-github-event") == "ping"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One condition in a trigger's setting ``when``.

    ``path``: path to the values in the event that the condition checks. If ``path`` is None, the
    condition checks the event's kind. The condition is true if ``allowed`` has one of the values.
    """

    name: str
    path: EventPath | None
    allowed: tuple[object, ...]

    def holds(self, event: TriggerEvent) -> bool:
        values = [event.kind] if self.path is None else self.path.values(event.document)
        return any(_is_one_of(each, self.allowed) for each in values)


def _is_one_of(value: object, allowed: Sequence[object]) -> bool:
    # In Python, True equals 1; in JSON, they differ.
    return any(
        isinstance(value, bool) is isinstance(each, bool) and value == each for each in allowed
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    name: str
    verify: Verification
    secret: str = field(repr=False)
    when: tuple[Condition, ...] = ()
    params: Mapping[str, EventPath] = field(default_factory=dict)
    #: Template of the job that an event starts; None: the event is feedback.
    template: JobTemplate | None = None
    #: Where the id of an event is: in the header with this name (in lower case), or at this path in
    #: the event. None: the service's delivery id is the id.
    dedupe: str | EventPath | None = None
    max_per_hour: int = 20
    #: True if the server opens a pull request for each completed job.
    pull_request: bool = False
    #: For feedback: comments wait until no further event has come for this number of seconds.
    settle_seconds: float = 0.0

    @property
    def caller_name(self) -> str:
        """The name under which the trigger submits its jobs, such as ``trigger:github``.

        The name contains a colon, so it differs from the names of all API keys.
        """
        return f"trigger:{self.name}"

    def is_from_sender(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """True if a signature or token in ``headers`` proves that the sender knows the secret.

        ``now``: Unix time.
        """
        return bool(self.secret) and is_verified(self.verify, self.secret, headers, body, now)

    def unmet(self, event: TriggerEvent) -> str:
        """Return the name of the first condition that is false; "" if all conditions are true."""
        return next((each.name for each in self.when if not each.holds(event)), "")

    def delivery(self, event: TriggerEvent) -> str:
        """Return the id of the event; "" if the event has no id.

        If a service sends an event again, both events have the same id.
        """
        if isinstance(self.dedupe, EventPath):
            values = self.dedupe.values(event.document)
            return _printable(values[0]) if values else ""
        names = (self.dedupe,) if self.dedupe else _DELIVERIES
        return _printable(
            next((event.headers[each] for each in names if each in event.headers), "")
        )

    def submission(self, event: TriggerEvent) -> Submission:
        """Return the submission of the job that an event starts.

        Raise InvalidRequest if the trigger starts no job, or if the job's request is invalid.
        """
        if self.template is None:
            raise InvalidRequest(
                f"trigger {self.name} starts no job, because it has 'action: feedback'"
            )
        values = {
            name: _parameter_value(path.values(event.document))
            for name, path in self.params.items()
        }
        delivery = self.delivery(event)
        return self.template.render(values).to_submission(delivery or None)


def _parameter_value(values: Sequence[object]) -> object:
    """Return the value of a parameter, from the values at its path; "" if there are none.

    Several texts, such as names of labels, are joined. Otherwise, return the first value.
    """
    if len(values) > 1 and all(isinstance(each, str) for each in values):
        return ", ".join(map(str, values))
    return values[0] if values else ""


def _printable(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(each for each in text if each.isascii() and each.isprintable())[
        :LONGEST_DELIVERY
    ].strip()


def unwrapped(body: bytes, mimetype: str) -> bytes:
    """Return the JSON in a body. If GitHub has wrapped the JSON in a form, unwrap it.

    Plain JSON is returned unchanged, even if its media type is that of a form: ``curl -d`` sends
    JSON with this type.
    """
    is_json = body.lstrip().startswith((b"{", b"["))
    if is_json or mimetype != "application/x-www-form-urlencoded":
        return body
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return fields.get("payload", [""])[0].encode()
