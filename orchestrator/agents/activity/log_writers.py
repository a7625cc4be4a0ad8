"""Writes an agent's log for people, and the program's raw output for detailed inspection."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from orchestrator.agents.activity.agent_events import AgentEvent, RetryEvent, TextEvent, ToolEvent
from orchestrator.security.secrets.masking import Masker

STREAM_NAME = "stream.jsonl"
_CUT = b'{"type":"orchestrator","message":"cut here: the raw output reached its maximum size"}\n'


class PeopleLog:
    """The log for people, on standard output. Each text is flushed at once."""

    def say(self, text: str) -> None:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()

    def event(self, event: AgentEvent) -> None:
        text = _log_text(event)
        if text:
            self.say(text)


def _log_text(event: AgentEvent) -> str:
    match event:
        case TextEvent():
            return event.text.rstrip()
        case ToolEvent():
            denied = " (denied)" if event.denied else ""
            return f"> {event.tool}{denied}: {event.summary}".rstrip(": ")
        case RetryEvent():
            delay = f"; retrying in {event.seconds:.0f} s" if event.seconds is not None else ""
            return f"! {event.text}{delay}"
        case _:
            return ""


class RawStream:
    """Writes a program's raw output to a file of limited size, with secrets masked.

    Never raises, because the agent's work does not depend on this file.
    """

    def __init__(self, control: Path, limit_bytes: int, masker: Masker) -> None:
        self._remaining_bytes = limit_bytes
        self._masker = masker
        self._file: BinaryIO | None = None
        try:
            # Only the user may read this file, because it may contain contents of files that the
            # agent read.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(control / STREAM_NAME, flags, 0o600)
            self._file = os.fdopen(handle, "wb", buffering=0)
        except OSError as error:
            sys.stderr.write(f"! cannot save the agent's raw output: {error}\n")

    def save(self, data: bytes) -> None:
        if self._file is not None:
            self._write(self._masker.feed(data))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(data[: self._remaining_bytes])
            self._remaining_bytes -= len(data)
            if self._remaining_bytes <= 0:
                self._file.write(b"\n" + _CUT)
                self._close()
        except OSError:
            self._close()

    def close(self) -> None:
        self._write(self._masker.finish())
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
