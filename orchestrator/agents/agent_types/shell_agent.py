"""The agent ``shell``, which runs commands."""

import re
from pathlib import Path

from orchestrator.agents.prompts.prompt import last_line, output_document
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.ports import Assignment, Invocation

#: Maximum bytes of an argument: Linux starts no program with a longer one (MAX_ARG_STRLEN,
#: including a final NUL).
LONGEST_ARGUMENT = 32 * 4096 - 1
#: File of a longer command, in the attempt's control directory. ``eval`` starts no program.
_FILE = "command.sh"
_FROM_FILE = f'eval "$(<"$ORCHESTRATOR_CONTROL_DIR/{_FILE}")"'

#: Beginning of bash's own messages about a string that it runs.
_SHELL = re.compile(r"^(?:/\S*/)?bash: line \d+: ")


class ShellAgent:
    """Runs a task's ``command``: a string as if by ``bash -c``, a list as it is.

    Exit code 0 with the log intact is evidence enough; an empty output is fine.
    """

    name = "shell"
    description = "runs a command"
    #: Memory of the shell; the memory of its command is unknown.
    memory_bytes = 16 * 1024 * 1024
    plans = False
    #: Commands run in a plain directory; a variable has the project's path.
    changes_files = False

    def check(self, task: TaskSpec) -> None:
        if not task.command:
            raise InvalidRequest(
                f"task {task.id!r} has no command, but agent 'shell' needs one; add it, for "
                'example "command": "make test"',
                kind="no-command",
            )
        words = () if isinstance(task.command, str) else task.command
        for number, word in enumerate(words, 1):
            if (size := len(word.encode())) > LONGEST_ARGUMENT:
                raise InvalidRequest(
                    f"task {task.id!r}: argument {number} of its command has {size} bytes, maximum "
                    f"{LONGEST_ARGUMENT}; write the command as a text for bash -c, or pass a file",
                    kind="long-argument",
                )

    def command(self, assignment: Assignment) -> Invocation:
        command = assignment.task.command
        if not isinstance(command, str):
            return Invocation(argv=tuple(command or ()))
        if len(command.encode()) > LONGEST_ARGUMENT:
            return Invocation(argv=("bash", "-c", _FROM_FILE), control={_FILE: command})
        return Invocation(argv=("bash", "-c", command))

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        output = output_document(directory) or log_tail.strip()
        return Evidence(output=output, error=_SHELL.sub("", last_line(log_tail)))
