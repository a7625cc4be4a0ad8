"""Files that an agent wrote outside of its working directory, according to its events."""

import os

from orchestrator.agents.activity.agent_events import AgentEvent, ToolEvent

MOST = 50


class OutsideEdits:
    def __init__(self) -> None:
        self._outside: dict[str, None] = {}

    def record(self, event: AgentEvent) -> None:
        """Record the paths that the event's tool call writes outside of the attempt's directories.

        The attempt's directories are the working directory, the worker's directory, and the
        directory for temporary files. Denied tool calls are ignored. After ``MOST`` recorded paths,
        all further paths are ignored.
        """
        if not isinstance(event, ToolEvent) or event.denied:
            return
        for path in event.writes:
            real_path = os.path.realpath(path)
            if len(self._outside) < MOST and not any(
                _is_below(real_path, directory) for directory in _own_directories()
            ):
                self._outside[real_path] = None

    def outside(self) -> tuple[str, ...]:
        return tuple(self._outside)


def _own_directories() -> list[str]:
    directories = (os.environ.get(name) for name in ("ORCHESTRATOR_WORKER_DIR", "TMPDIR"))
    return [os.path.realpath(each) for each in (os.getcwd(), *directories) if each]


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}{os.sep}")
