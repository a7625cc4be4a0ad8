"""What a worker left running and had to be ended: a list that is bounded and masked."""

from orchestrator.launchers import processes
from orchestrator.launchers.channel import Message
from orchestrator.security.masking import Masker

_MOST_LISTED = 20


class Strays:
    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._found: dict[tuple[int, int], Message] = {}

    @property
    def is_full(self) -> bool:
        return len(self._found) >= _MOST_LISTED

    def note(self, found: list[processes.Process]) -> None:
        for process in found[:_MOST_LISTED]:
            if not self.is_full:
                command = processes.command_line(process.pid) or process.command
                stray = {"pid": process.pid, "command": self._masker.text(command)}
                self._found.setdefault((process.pid, process.ticks), stray)

    def listed(self) -> list[Message]:
        return list(self._found.values())
