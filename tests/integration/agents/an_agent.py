"""An agent in Python, as a user may write it."""

from pathlib import Path

from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.ports import Assignment, Invocation


class Echo:
    name = "echo"
    description = "repeats its prompt"

    def check(self, task: TaskSpec) -> None: ...

    def command(self, assignment: Assignment) -> Invocation:
        return Invocation(argv=("echo", assignment.task.prompt))

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        return Evidence(output=log_tail.strip())
