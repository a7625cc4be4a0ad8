"""The base of all answers. A new version may add fields, but may not change or remove the existing
fields.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrator.core.events import EventKind
from orchestrator.core.text.field_descriptions import DescribedFields


class Answer(DescribedFields, BaseModel):
    """Base of all answers. Fields without a value are omitted."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return self.model_dump(mode="json", exclude_none=True)


Links = dict[str, str]


class EventAnswer(Answer):
    """The data of one Server-Sent Event; its id is seq, its event name is kind."""

    seq: int
    kind: EventKind
    at: datetime
    job_id: str
    worker_id: str | None = None
    data: dict[str, Any]
