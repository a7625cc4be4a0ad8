"""Compares events with their declaration, and writes the page on events.

``python -m tests.support.event_data`` writes docs/reference/events.md.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orchestrator.core.events import EventKind, Key
from orchestrator.engine.event_feed import FEED_EVENTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"

HEAD = """# Events

An event is a fact about a job: a worker started, a gate ended, a person landed the result.
`GET /api/v1/jobs/{job_id}/events` streams the events of a job and its descendants.
`logs/orchestrator.log` in the root job's directory has one line for each event.

```json
{"seq": 12, "kind": "worker_started", "at": "2026-05-04T09:30:00Z",
 "job_id": "1d80bc9d", "worker_id": "worker_1",
 "data": {"attempt": 1, "agent": "claude"}}
```

- `seq` counts from 1 within a root job and its descendants, without gaps.
- `worker_id` is missing if the event is about no worker.
- `data` depends on `kind`. The tables of this page show its keys. A key is always present, unless
  its type is "optional".
- A later version may add kinds and keys. Stored events of an earlier version may lack keys.

`GET /api/v1/events` streams changes of all jobs, for programs that show lists of jobs:

- Of the kinds on this page, the stream has only: FEED_KINDS.
- The objects of this stream have no `seq`, `kind`, or `worker_id`. The kind is the name of the
  Server-Sent Event.
- The stream also has the Server-Sent Events `needs`, `usage`, and `reset`: see the server's page
  `/docs`.

`.venv/bin/python -m tests.support.event_data` writes this page from
`orchestrator/core/events.py`.
"""

_TYPES: Mapping[object, str] = {
    str: "string",
    str | None: "string or null",
    int: "integer",
    int | None: "integer or null",
    float: "number",
    float | None: "number or null",
    bool: "boolean",
    list[str]: "list of strings",
    list[int]: "list of integers",
}


def check_event(kind: EventKind, data: Mapping[str, object]) -> None:
    """Fail if the data of an event has an undeclared key, lacks a key, or has a wrong type."""
    declared = {key.name: key for key in kind.keys}
    missing = {key.name for key in kind.keys if key.always} - data.keys()
    assert not data.keys() - declared.keys(), f"{kind} does not declare {data}"
    assert not missing, f"{kind} lacks {missing}: {data}"
    for name, value in data.items():
        _adapter(declared[name].type).validate_python(value, strict=True)


def check_stored_events(database: Path) -> None:
    """Compare all events of a SQLite store with their declaration."""
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection:
        for kind, data in connection.execute("select kind, data from events"):
            # Not strict, because the store escapes some characters with a control character.
            check_event(EventKind(kind), json.loads(data, strict=False))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def page() -> str:
    feed_kinds = ", ".join(f"`{kind}`" for kind in EventKind if kind in FEED_EVENTS)
    head = HEAD.replace("FEED_KINDS", feed_kinds)
    return head + "".join(map(_section, EventKind))


def _section(kind: EventKind) -> str:
    return f"\n## {kind}\n\n{kind.meaning}\n" + "".join(_data_of(kind))


def _data_of(kind: EventKind) -> Iterator[str]:
    first = next(each for each in EventKind if each.keys == kind.keys)
    if kind.keys and first is not kind:
        yield f"\nThe data has the same keys as [{first}](#{first}).\n"
    elif kind.keys:
        yield "\n| Key | Type | Meaning |\n| --- | --- | --- |\n"
        yield from map(_row, kind.keys)


def _row(key: Key) -> str:
    optional = "" if key.always else ", optional"
    return f"| `{key.name}` | {_TYPES[key.type]}{optional} | {key.meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
