"""Sets up the server's log: JSON with one object per line, or plain text."""

import json
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.config import Settings
from orchestrator.security.files.private_log import PrivateLog
from orchestrator.security.secrets.masking import Masker

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Control characters that a terminal would obey: all except tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class JsonLines(logging.Formatter):
    """Formats a log record, with all fields of ``extra``, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _extra(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class PlainLines(logging.Formatter):
    """Formats a log record as text, with all fields of ``extra`` after the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in _extra(record).items())
        return super().formatMessage(record) + (f" ({fields})" if fields else "")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class CleanLines(logging.Formatter):
    """Formats a record with another formatter, then removes secrets and control characters."""

    def __init__(self, form: logging.Formatter, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._form = form
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(_escaped, self._mask(self._form.format(record)))


def _escaped(match: re.Match[str]) -> str:
    return f"\\x{ord(match.group()):02x}"


def set_up_logging(settings: Settings, secrets: Sequence[str] = ()) -> None:
    """Write the log to orchestrator.log in ``logging.log_dir``, and warnings also to stderr.

    The file is rotated when it reaches a maximum size. ``secrets`` are removed from the log.
    """
    log_settings = settings.logging
    mask = Masker(secrets).text
    file = PrivateLog(log_settings.log_dir / "orchestrator.log")
    plain = PlainLines()
    file.setFormatter(CleanLines(JsonLines() if log_settings.enable_structured else plain, mask))
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    console.setFormatter(CleanLines(plain, mask))
    logging.basicConfig(level=log_settings.level.value, handlers=[file, console], force=True)
    # waitress warns of every full task queue; the API measures the queue itself.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # urllib3 logs addresses of webhooks, which may hold tokens.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # alembic logs each of its plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
