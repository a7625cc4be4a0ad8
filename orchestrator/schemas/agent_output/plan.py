"""The answer of a planning agent: a plan as JSON. Its schema is published as
``plan.schema.json``.
"""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.gates.gate import Gate, GateSource
from orchestrator.core.model.attempt.delivered_work import REPORTING_ROLES, is_in_project
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import GitUse
from orchestrator.core.text import json_values
from orchestrator.schemas.fields.bounded_types import LockNames, StrictModel, TaskId, Text
from orchestrator.schemas.fields.validation_errors import faults
from orchestrator.schemas.requests.job import Texts

#: Known checks, as the first words of their commands. A check does not change the code.
_CHECKS: tuple[tuple[str, ...], ...] = (
    ("pytest",),
    ("python", "-m", "pytest"),
    ("python3", "-m", "pytest"),
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
    ("npm", "test"),
    ("npm", "run", "test"),
    ("npm", "run", "lint"),
    ("npm", "run", "typecheck"),
    ("cargo", "test"),
    ("cargo", "clippy"),
    ("go", "test"),
    ("go", "vet"),
    ("make", "check"),
    ("make", "test"),
)
#: Options that a check may have. They change only the output or the strictness of the check.
_OPTIONS = re.compile(
    r"-(?:q|qq|v|vv|x|race|short|count=\d{1,4})|"
    r"--(?:quiet|verbose|exitfirst|maxfail=\d{1,4}|strict|workspace|all|all-features|all-targets|"
    r"locked|release|lib|check)"
)
#: A command that contains only plain words: no quotes, variables, globs, or redirections.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ./:,=\[\]@+-]{0,300}")
MOST_GATES = 10


def planned_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Return a required gate for each text that contains the command of a known check.

    ``texts``: the values of a plan's field ``gates``. At most ``MOST_GATES`` gates; each command
    once.
    """
    gates = {each.run: each for each in _gates(texts)}
    return tuple(gates.values())[:MOST_GATES]


def _gates(texts: Sequence[str]) -> Iterator[Gate]:
    for text in texts:
        command = _command_in(text)
        if command:
            name = re.sub(r"[^A-Za-z0-9]+", "-", command).strip("-").lower()[:40].strip("-")
            yield Gate(
                name=f"planned-{name}",
                run=command,
                timeout=600.0,
                new_only=False,
                source=GateSource.PLANNED,
                why="requested by the plan",
                program=command.split(" ")[0],
            )


def _command_in(text: str) -> str:
    """Return the command in a text; "" if the text contains no command of a known check.

    If the text has exactly one part between backticks, only this part is used.
    """
    quoted = re.findall(r"`([^`]+)`", text)
    candidates = quoted if len(quoted) == 1 else [text]
    command = candidates[0].strip()
    return command if _is_safe(command) else ""


def _is_safe(command: str) -> bool:
    if not _PLAIN.fullmatch(command):
        return False
    words = tuple(shlex.split(command))
    if not any(words[: len(each)] == each for each in _CHECKS):
        return False
    program = next(each for each in _CHECKS if words[: len(each)] == each)
    arguments = words[len(program) :]
    return all(_is_safe_argument(each) for each in arguments)


def _is_safe_argument(word: str) -> bool:
    """True if ``word`` is a known option, or a relative path inside the project.

    False for a plain word, because it may belong to a sentence that begins like a command. Example:
    "passes" in "pytest passes".
    """
    if word.startswith("-"):
        return _OPTIONS.fullmatch(word) is not None
    inside = not word.startswith("/") and ".." not in word.split("/")
    return inside and "=" not in word and any(sign in word for sign in "./:_")


KIND = "invalid-plan"
#: Maximum number of tasks in a plan.
MOST_TASKS = 1000
MOST_FAULTS_LISTED = 10
#: Maximum number of attempts to read a JSON object from an answer. Each attempt begins at a "{".
MOST_BEGINNINGS = 2000


class PlannedTask(StrictModel):
    """One task of a plan."""

    id: TaskId
    """A short name of letters, digits and _.:@+-, unique within the plan."""
    title: Annotated[str, Field(min_length=1, max_length=200)]
    """Short description of the work."""
    prompt: Annotated[Text, Field(min_length=1)]
    """All information that the worker needs. The worker sees only its own task of the plan."""
    depends_on: Annotated[tuple[TaskId, ...], Field(strict=False)] = ()
    """Ids of tasks that must succeed first; this task receives their results."""
    role: Annotated[str, Field(max_length=100)] | None = None
    """Role for this kind of work, such as backend, testing, or documentation."""
    files: Texts = ()
    """Paths that the task writes. Tasks with the same path must depend on each other."""
    gates: Texts = ()
    """Conditions of the result. Each is a sentence or a command. The worker checks a sentence. The
    plain command of a test runner or linter is run on the result."""

    workdir: Literal["own", "worktree"] | None = None
    """Directory of the worker: own (default), or worktree (a git worktree of the project, also for
    agents that otherwise have none)."""

    locks: LockNames = ()
    """Names that only one task on this machine may use at a time, such as "port:8080" or
    "database". Not for files: use files and depends_on for tasks that change the same file."""

    def to_task(self) -> TaskSpec:
        checks = "".join(f"\n- {gate}" for gate in self.gates)
        instruction = f"\n\nBefore you finish, check that these conditions hold:{checks}"
        return TaskSpec(
            id=self.id,
            title=self.title,
            prompt=self.prompt + (instruction if checks else ""),
            depends_on=self.depends_on,
            role=self.role,
            files=self.files,
            git=str(GitUse.ON) if self.workdir == "worktree" else None,
            writes=() if self.role in REPORTING_ROLES else tuple(filter(is_in_project, self.files)),
            gates=planned_gates(self.gates),
            locks=tuple(dict.fromkeys(self.locks)),
        )


class Plan(StrictModel):
    """A request split into tasks."""

    tasks: Annotated[
        tuple[PlannedTask, ...], Field(strict=False, min_length=1, max_length=MOST_TASKS)
    ]
    """Tasks, in an order in which they could run one at a time."""

    def to_tasks(self) -> tuple[TaskSpec, ...]:
        return tuple(task.to_task() for task in self.tasks)


def plan_schema() -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema = {**head, **Plan.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def plan_in(text: str) -> Plan:
    """Return the plan in an agent's answer: the last JSON object with a non-empty ``tasks``.

    Raise InvalidRequest with all errors.
    """
    plan = None
    for value in objects_in(text):
        # An answer may contain an empty example of the format after the plan.
        if value.get("tasks") or (plan is None and "tasks" in value):
            plan = value
    if plan is None:
        raise InvalidRequest(
            'the answer has no JSON object with "tasks"; answer with the plan as JSON', kind=KIND
        )
    if plan["tasks"] == []:
        raise InvalidRequest("the plan has no task; add at least one task", kind=KIND)
    try:
        return Plan.model_validate(plan)
    except ValidationError as error:
        messages = [str(fault) for fault in faults(error, Plan)[:MOST_FAULTS_LISTED]]
        raise InvalidRequest("; ".join(messages), kind=KIND) from error


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, except objects inside another object."""
    for _, value in json_values.values_in(text, "{", MOST_BEGINNINGS):
        yield value
