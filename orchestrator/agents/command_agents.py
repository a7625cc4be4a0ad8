"""Agents that run a program: agents from the user's settings, and ``shell`` for commands."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from orchestrator.agents.availability.local_availability import check_fits
from orchestrator.agents.prompts.prompt import (
    prompt_document,
    task_document,
)
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import SHELL, TaskSpec
from orchestrator.core.ports import Assignment, Invocation
from orchestrator.core.text.formatting import cut
from orchestrator.security.files.untrusted_files import read_regular

#: Script that adds ``orchestrator`` to PATH. The variable BASH_ENV names the script, so that bash
#: runs the script at its start. Otherwise a login shell would have only the PATH of /etc/profile.
LOGIN_SHELL = Path(__file__).with_name("login_shell.sh")
OUTPUT_NAME = "output.md"
OUTPUT_LIMIT_BYTES = 32 * 1024
#: Maximum characters of a line of output that a worker's reason quotes.
LINE_CHARS = 300
#: Control sequences of terminals.
_COLORS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")


@dataclass(frozen=True, kw_only=True)
class CommandAgent:
    """Runs a user's command.

    The command gets the prompt on standard input and in ``prompt.md``, and the task in
    ``task.json``. A planner prints a plan as JSON that matches ``plan.schema.json``. Exit code 0
    means success only if the command also produces an output or a file.
    """

    name: str
    argv: tuple[str, ...]
    description: str = ""
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: True to use standard output as the agent's output if the agent writes no ``output.md``.
    output_from_log: bool = True
    #: True if the agent gets a prompt, which begins with the job's shared context.
    reads_prompt: bool = True
    #: True if the agent uses the model that a task names. False here: the program does not get the
    #: task's model.
    takes_model: bool = False
    #: True if the agent's provider charges less for a cached beginning of a prompt.
    caches_prompts: bool = False
    #: The expected memory of one worker.
    memory_bytes: int = 512 * 1024 * 1024
    #: True: the agent may plan any job. None: it may plan only jobs that name it as the planner.
    #: False: it never plans.
    plans: bool | None = None
    #: True if the agent may change the project's files: its worker gets its own worktree.
    changes_files: bool = True
    #: Returns why the agent cannot work here, and how to fix it; empty if it can work.
    hindrance: Callable[[], str] = lambda: ""

    def check(self, task: TaskSpec) -> None:
        check_fits(task, self.name, self.hindrance())

    def command(self, assignment: Assignment) -> Invocation:
        files = {"task.json": task_document(assignment)}
        if self.reads_prompt:
            files["prompt.md"] = prompt_document(assignment)
        return Invocation(
            argv=self.argv,
            files=files,
            stdin="prompt.md" if self.reads_prompt else None,
            pass_env=self.pass_env,
            env=self.env,
        )

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        printed = printed_output(directory, log_tail, exit) if self.output_from_log else ""
        output = output_document(directory) or printed
        error = last_line(log_tail)
        return Evidence(output=output, output_required=True, error=error, tool=self.name)


#: Maximum bytes of an argument. Linux starts no program with a longer argument: MAX_ARG_STRLEN is
#: this number plus a final NUL.
LONGEST_ARGUMENT = 32 * 4096 - 1
#: File in the attempt's control directory with a command that is too long for an argument. Bash
#: reads the file, and runs its text with ``eval``. The limit does not apply to ``eval``, because
#: ``eval`` is part of bash and starts no program.
_FILE = "command.sh"
_FROM_FILE = f'eval "$(<"$ORCHESTRATOR_CONTROL_DIR/{_FILE}")"'

#: Beginning of bash's own messages about a string that it runs.
_SHELL = re.compile(r"^(?:/\S*/)?bash: line \d+: ")


class ShellAgent:
    """Runs a task's ``command``. A string is run with ``bash -c``, a list directly.

    Exit code 0 with a complete log is success, even without output.
    """

    name = SHELL
    description = "runs a command"
    #: Memory of the shell; the memory of its command is unknown.
    memory_bytes = 16 * 1024 * 1024
    plans = False
    takes_model = False
    #: True if the worker needs its own worktree. False here: a command runs in a plain directory,
    #: and gets the project's path in a variable.
    changes_files = False
    #: The evidence of a command that printed nothing and created no file. This object is shared,
    #: because many short commands have this evidence.
    evidence_of_nothing = Evidence()

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
                    f"task {task.id!r}: argument {number} of the command has {size} bytes, maximum "
                    f"{LONGEST_ARGUMENT}; write the command as one string for bash -c, or pass "
                    "a file",
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
        output = output_document(directory) or printed_output(directory, log_tail, exit)
        return Evidence(output=output, error=_SHELL.sub("", last_line(log_tail)))


def output_document(directory: Path) -> str:
    """Return a worker's ``output.md`` for the report, cut if it is too long; "" if missing."""
    path = os.path.join(directory, OUTPUT_NAME)
    # Most directories have no such file, and this check is faster than an attempt to open the file.
    if not os.path.lexists(path):
        return ""
    # No part of the path job_x/depth_0/worker_1/output.md may be a link.
    workspace = os.fspath(directory).rsplit("/", 3)[0]
    content = read_regular(path, OUTPUT_LIMIT_BYTES + 1, within=workspace or None)
    if not content:
        return ""
    text = content[:OUTPUT_LIMIT_BYTES].decode("utf-8", "replace")
    is_complete = len(content) <= OUTPUT_LIMIT_BYTES
    return text if is_complete else f"{text}\n\n(cut here; read the rest in {OUTPUT_NAME})"


def printed_output(directory: Path, log_tail: str, exit: Exit) -> str:
    """Return a program's output from ``log_tail``, the last part of its log.

    If the beginning of the output is missing, the result begins with a remark that names the log.
    """
    printed = log_tail.strip()
    if exit.log_bytes <= OUTPUT_LIMIT_BYTES:
        return printed
    log = f"logs/{directory.parent.name}_{directory.name}.log"
    return f"(cut here; read the beginning in {log})\n\n{printed}"


def last_line(printed: str) -> str:
    """Return the last non-empty line of an output, without control characters.

    Return "" if all lines are empty.
    """
    for line in reversed(printed.splitlines()):
        shown = "".join(char for char in _COLORS.sub("", line) if char.isprintable()).strip()
        if shown:
            return cut(shown, LINE_CHARS)
    return ""
