"""Requests for jobs: a request with its config and tasks, or a retry."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.delivery import is_relative
from orchestrator.core.model.gate import OFF, Gate
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import BY_WIRE_NAME
from orchestrator.core.model.setting import Kind, Setting
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.repository.repository import PROJECT_LOCK, GitUse, Workdir
from orchestrator.schemas.fields.text import (
    MOST_ITEMS,
    AgentNames,
    Command,
    Count,
    CountOrZero,
    LabelName,
    LabelValue,
    LockNames,
    Money,
    MoneyOrZero,
    RequestText,
    Seconds,
    TaskId,
    Text,
    VariableName,
    Word,
)
from orchestrator.schemas.fields.wire import Wire
from orchestrator.schemas.requests.gates import GateItem, Gates, JobGates, gate_of

PathNames = Annotated[
    tuple[Annotated[Text, Field(min_length=1, max_length=4096)], ...],
    Field(strict=False, max_length=100),
]
WorkdirName = Literal["own", "project", "worktree"]
Revision = Annotated[Text, Field(min_length=1, max_length=1024)]
Texts = Annotated[tuple[Text, ...], Field(strict=False, max_length=MOST_ITEMS)]


Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=64)]

_TYPES: Mapping[Kind, Any] = {
    Kind.COUNT: Count,
    Kind.COUNT_OR_ZERO: CountOrZero,
    Kind.SECONDS: Seconds,
    Kind.MONEY: Money,
    Kind.FLAG: bool,
    Kind.NAME: Word,
    Kind.TEXT: Text,
    Kind.REVISION: Revision,
    Kind.PATHS: PathNames,
    Kind.LABELS: Labels,
    Kind.GATES: JobGates,
}


def _field(setting: Setting) -> tuple[Any, Any]:
    if setting.values is Kind.LABELS:
        return Labels, Field(default_factory=dict, description=setting.description)
    one_of: Any = Literal
    values = setting.values
    kind = _TYPES[values] if isinstance(values, Kind) else one_of[values]
    return kind | None, Field(default=None, description=setting.description)


if TYPE_CHECKING:
    _Settings = Wire
else:
    _fields = {name: _field(setting) for name, setting in BY_WIRE_NAME.items()}
    _Settings = create_model("Settings", __base__=Wire, **_fields)


class ConfigBody(_Settings):
    """Settings of one job; what is left out keeps the server's default."""

    def to_config(self) -> ConfigRequest:
        given = dict(self)
        gates = given.pop("gates")
        return ConfigRequest(**given, gates=None if gates is None else _job_gates(gates))


class TaskRequest(Wire):
    """One task; it needs a title, a prompt or a command."""

    id: TaskId | None = None
    """Unique within the job; task_<position> if absent."""
    title: Text = ""
    """What to do, in a few words."""
    prompt: Text | None = None
    """What to do, for AI agents."""
    description: Text | None = None
    """Another name for prompt."""
    command: Command | None = None
    """What to run, for the agent shell: a text for bash -c, or a list of arguments."""
    agent: AgentNames | None = None
    """An agent's name, auto, or a list of candidates that try the task side by side."""
    depends_on: Annotated[tuple[TaskId, ...], Field(strict=False)] = ()
    """Ids of tasks that must succeed first."""
    timeout: Seconds | None = None
    """Seconds one attempt may take; no more than a whole job may (limits.max_wall_seconds)."""
    retries: CountOrZero | None = None
    """How often to try again after a failure."""
    role: Text | None = None
    """What part the agent plays: a built-in role or one of workers.roles_dir."""
    model: Text | None = None
    """The agent's model."""
    files: Texts = ()
    """Paths that matter."""
    writes: Texts = ()
    """Paths or patterns that it promises to write."""
    context: Text = ""
    """Extra text."""
    env: dict[VariableName, Text] = Field(default_factory=dict)
    """Extra environment; names that begin with ORCHESTRATOR_ are reserved."""
    max_steps: Count | None = None
    """Steps the agent may take."""
    max_tokens: Count | None = None
    """Tokens the agent may use."""
    max_cost_usd: Money | None = None
    """What the agent may cost, in US dollars."""
    git: Literal["auto", "on", "off"] | None = None
    """Whether its worker gets a worktree of the host project; without it, as its job says."""
    workdir: WorkdirName | None = None
    """Where it starts; project: the checkout as it is; worktree: as git: on."""
    review: Annotated[Text, Field(max_length=200)] = ""
    """The agent that compares what the candidates made, or auto; only with several agents."""
    gates: Gates = ()
    """Checks the result must pass, beside the job's: commands, names, or objects."""
    locks: LockNames | None = None
    """Paths of the project, or other names, that no other task may hold at the same time. With
    workdir: project also the name project, unless this list is given and empty."""

    @field_validator("writes")
    @classmethod
    def promises_are_relative(cls, writes: tuple[str, ...]) -> tuple[str, ...]:
        for position, path in enumerate(writes):
            if not is_relative(path):
                raise fault_at((position,), f"{path!r} is not a path relative to the project")
        return writes

    @model_validator(mode="after")
    def says_what_to_do(self) -> "TaskRequest":
        if self.prompt and self.description and self.prompt != self.description:
            raise ValueError("has both prompt and description; description means prompt, give one")
        if not (self.title.strip() or self.words.strip() or self.command):
            raise ValueError("needs a title, a prompt or a command")
        if self.review and len(self.agent or ()) < 2:
            raise ValueError("review compares candidates: agent must be a list of at least two")
        self._check_workdir(self.workdir)
        return self

    def _check_workdir(self, workdir: str | None) -> None:
        if workdir == Workdir.PROJECT and self.git == "on":
            raise ValueError("workdir: project is the checkout itself; leave git: on out")
        if workdir == Workdir.WORKTREE and self.git in ("off", "auto"):
            raise ValueError(f"workdir: worktree means git: on; leave git: {self.git} out")
        if workdir == Workdir.PROJECT and len(self.agent or ()) > 1:
            raise ValueError("workdir: project is one directory; name one agent, not several")

    @property
    def words(self) -> str:
        return self.prompt or self.description or ""

    def to_task(self, task_id: str, workdir: str | None = None) -> TaskSpec:
        """``workdir`` is for a task that says none."""
        workdir = self.workdir or workdir or Workdir.OWN
        in_project = workdir == Workdir.PROJECT
        values = self.model_dump(exclude={"description", "gates", "agent"})
        values |= {"id": task_id, "prompt": self.words, "agents": self.agent or ()}
        values["workdir"] = str(Workdir.PROJECT if in_project else Workdir.OWN)
        values["git"] = str(GitUse.ON) if workdir == Workdir.WORKTREE else self.git
        shared = (PROJECT_LOCK,) if in_project and self.locks != () else ()
        values["locks"] = tuple(dict.fromkeys((*(self.locks or ()), *shared)))
        # What a task is to bring about is not there at the base.
        gates = tuple(gate_of(each, new_only=False) for each in self.gates)
        return TaskSpec(**values, gates=gates)


class OrchestrateRequest(Wire):
    """A job: what to do, in words, and optionally how."""

    request: RequestText
    """The task description in natural language."""
    config: ConfigBody = Field(default_factory=ConfigBody)
    """Settings of this job."""
    tasks: Annotated[tuple[TaskRequest, ...], Field(strict=False)] = ()
    """The tasks, given explicitly instead of having the request split."""
    workdir: WorkdirName | None = None
    """That of tasks that say none."""

    @field_validator("tasks")
    @classmethod
    def tasks_fit_together(cls, tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
        ids = task_ids(tasks)
        _refuse_repeated(ids)
        known = frozenset(ids)
        for position, (task_id, task) in enumerate(zip(ids, tasks, strict=True)):
            for place, needed in enumerate(task.depends_on):
                _check_dependency(task_id, needed, known, (position, "depends_on", place))
        return tasks

    @model_validator(mode="after")
    def workdir_is_of_tasks(self) -> "OrchestrateRequest":
        if self.workdir is not None and not self.tasks:
            raise ValueError("workdir is for given tasks; leave it out, or give tasks")
        for task in self.tasks if self.workdir is not None else ():
            if task.workdir is None:
                task._check_workdir(self.workdir)
        return self

    def to_submission(self, idempotency_key: str | None = None) -> Submission:
        ids = task_ids(self.tasks)
        return Submission(
            request=self.request,
            tasks=tuple(
                task.to_task(id, self.workdir) for id, task in zip(ids, self.tasks, strict=True)
            ),
            config=self.config.to_config(),
            idempotency_key=idempotency_key,
        )


class RetryRequest(Wire):
    """What to change when the job runs again."""

    config: ConfigBody = Field(default_factory=ConfigBody)
    """Settings that replace the job's own."""


class UsageRequest(Wire):
    """What the calling worker's present attempt has used so far, in all; null is "not known"."""

    steps: CountOrZero | None = None
    input_tokens: CountOrZero | None = None
    """Read anew, neither from a provider's cache nor written to it."""
    output_tokens: CountOrZero | None = None
    cache_read_tokens: CountOrZero | None = None
    cache_write_tokens: CountOrZero | None = None
    cost_usd: MoneyOrZero | None = None
    cost_estimated: bool = False
    """The cost was computed from a price table."""
    partial: bool = False
    """There is more that is not known."""

    def to_usage(self) -> Usage:
        return Usage(**self.model_dump())


class RollbackRequest(Wire):
    """Where to go back to."""

    checkpoint: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    """Its name, such as 1-before or start; by default the one before the latest attempt."""


class EmptyRequest(Wire):
    """Nothing needs to be said."""


def task_ids(tasks: Sequence[TaskRequest]) -> tuple[str, ...]:
    """Every task's id; those without one are called ``task_<position>``, counted from 1."""
    taken = {task.id for task in tasks if task.id}
    return tuple(
        task.id or next(name for name in _free_names(position) if name not in taken)
        for position, task in enumerate(tasks, start=1)
    )


def _free_names(position: int) -> Iterator[str]:
    name = f"task_{position}"
    yield name
    while True:
        # An underscore at the end cannot meet another position's name.
        name += "_"
        yield name


def _refuse_repeated(ids: Sequence[str]) -> None:
    for task_id, times in Counter(ids).items():
        if times > 1:
            second = ids.index(task_id, ids.index(task_id) + 1)
            raise fault_at((second, "id"), f"the id {task_id!r} is used {times} times")


def _check_dependency(
    task_id: str, needed: str, known: frozenset[str], at: tuple[int | str, ...]
) -> None:
    if needed == task_id:
        raise fault_at(at, "a task cannot depend on itself")
    if needed not in known:
        raise fault_at(at, f"there is no task with the id {needed!r}")


def _job_gates(asked: str | tuple[GateItem, ...]) -> tuple[Gate, ...]:
    if asked == OFF:
        return ()
    return tuple(gate_of(each) for each in ((asked,) if isinstance(asked, str) else asked))


def fault_at(at: tuple[int | str, ...], message: str) -> PydanticCustomError:
    """An error that points below the value it was found in."""
    return PydanticCustomError("tasks", "{message}", {"message": message, "at": at})
