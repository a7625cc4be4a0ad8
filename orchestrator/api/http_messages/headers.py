"""Media types and headers of answers."""

JSON = "application/json"
PLAIN_TEXT = "text/plain; charset=utf-8"
EVENT_STREAM = "text/event-stream; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}
