"""The use cases that show a worker's prompt and its steps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from orchestrator.core.errors import NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports import Workspace
from orchestrator.core.ports.read_models import TranscriptStep
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.attempts.launch_preparation import PROMPT
from orchestrator.engine.service.access.authorization import Access
from orchestrator.security.files.untrusted_files import read_tail

#: Name of the file with an agent's own output, in the control directory of an attempt.
STREAM = "stream.jsonl"
#: Maximum bytes of the file STREAM that are read. Of a longer file, only the end is read.
MOST_BYTES = 16 * 1024 * 1024
#: Maximum number of steps that are shown. Of a longer transcript, the last steps are shown.
MOST_STEPS = 5000

#: Function that returns the steps in the saved output of an agent; None if the agent saves none.
#: Arguments: the agent's name, the lines of the output, and True if the worker has ended.
ReadSteps = Callable[[str, Iterable[str], bool], Iterator[TranscriptStep] | None]


class WorkerFiles:
    """Implements the calls that show files of one worker.

    Every method raises NotFound for an object that the caller may not see.
    """

    def __init__(self, *, access: Access, workspace: Workspace, read_steps: ReadSteps) -> None:
        self._access = access
        self._workspace = workspace
        self._read_steps = read_steps

    def prompt_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        """Return the path of the latest attempt's prompt.

        Raise NotFound if there is no prompt: the worker has not started, or its agent gets no
        prompt (``shell``, ``survey``).
        """
        worker = self._access.worker(caller, job_id, worker_id)
        path = Path(self._workspace.worker_directory(worker), PROMPT)
        if path.is_symlink() or not path.is_file():
            raise NotFound(
                f"{worker_id} has no prompt: it has not started, or its agent gets no prompt"
            )
        return path

    def transcript(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[TranscriptStep]:
        """Return the steps of the latest attempt. Raise NotFound if the agent saves no steps."""
        worker = self._access.worker(caller, job_id, worker_id)
        path = Path(self._workspace.control(worker, worker.attempt), STREAM)
        directory = self._workspace.job_directory(worker.root_id)
        content = read_tail(path, MOST_BYTES, within=directory)
        lines = content.decode("utf-8", "replace").splitlines()
        steps = self._read_steps(worker.agent, lines, worker.status.ended) if content else None
        if steps is None:
            raise NotFound(
                f"{worker_id} has no transcript: its agent saves none; read its log: "
                f"{COMMAND} logs {job_id} {worker_id}"
            )
        return list(steps)[-MOST_STEPS:]
