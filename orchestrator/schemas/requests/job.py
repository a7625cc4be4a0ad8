"""Bodies of the calls that submit a job (request, config, and tasks) or retry a job."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from orchestrator.core.gates.gate import OFF, Gate
from orchestrator.core.model.attempt.delivered_work import is_in_project
from orchestrator.core.model.job import Callback, CandidateSettings, TaskSpec
from orchestrator.core.model.job_settings import BY_WIRE_NAME, GitUse, Setting, ValueKind, Workdir
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports.outbox import Topic
from orchestrator.core.repository.repository import PROJECT_LOCK
from orchestrator.core.text.formatting import listed
from orchestrator.schemas.fields.bounded_types import (
    MOST_ITEMS,
    Command,
    Count,
    CountOrZero,
    LabelName,
    LabelValue,
    LockNames,
    MachineLabels,
    Money,
    RequestText,
    Seconds,
    StrictModel,
    TaskId,
    Text,
    VariableName,
    Word,
    checked_text,
    not_blank,
)
from orchestrator.schemas.requests.gates import GateItem, Gates, JobGates, gate_of

AgentName = Annotated[
    str,
    BeforeValidator(not_blank),
    BeforeValidator(checked_text),
    StringConstraints(min_length=1, max_length=100),
]


class CandidateRequest(StrictModel):
    """One candidate. Its settings override the settings of the task."""

    name: AgentName
    """Name of the agent, or auto."""
    model: Text | None = None
    """Model of the agent (default: the task's model)."""
    timeout: Seconds | None = None
    """Timeout of one attempt, in seconds (default: the task's timeout)."""
    context: Text = ""
    """Additional text for this agent, after the task's context."""

    @property
    def settings(self) -> CandidateSettings:
        return CandidateSettings(model=self.model, timeout=self.timeout, context=self.context)


def _error_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "[name]"
    return "[object]" if isinstance(value, dict | CandidateRequest) else None


#: One candidate: a name or an object. Pydantic adds the tag, such as "[name]", to the location of
#: an error. Errors to the caller omit the tag (``_NO_LOCATIONS``).
Candidate = Annotated[
    Annotated[AgentName, Tag("[name]")] | Annotated[CandidateRequest, Tag("[object]")],
    Discriminator(
        _error_tag,
        custom_error_type="agent",
        custom_error_message="must be an agent's name, or an object with a name",
    ),
]
Candidates = Annotated[tuple[Candidate, ...], Field(strict=False, max_length=MOST_ITEMS)]


def _as_sequence(value: Any) -> Any:
    if isinstance(value, str | Mapping | CandidateRequest):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError("must be an agent's name, or a list of names or objects")
    if not value:
        raise ValueError("must have at least 1 entry")
    return value


Agents = Annotated[
    Candidates,
    BeforeValidator(_as_sequence, json_schema_input_type=str | list[str | CandidateRequest]),
]


def names_of(agents: Sequence[str | CandidateRequest]) -> tuple[str, ...]:
    return tuple(each if isinstance(each, str) else each.name for each in agents)


def settings_of(agents: Sequence[str | CandidateRequest]) -> tuple[CandidateSettings, ...]:
    """Return the settings of each agent; empty if all agents use the task's settings."""
    if all(isinstance(each, str) for each in agents):
        return ()
    settings = tuple(CandidateSettings() if isinstance(x, str) else x.settings for x in agents)
    return settings if any(each != CandidateSettings() for each in settings) else ()


PathNames = Annotated[
    tuple[Annotated[Text, Field(min_length=1, max_length=4096)], ...],
    Field(strict=False, max_length=100),
]
WorkdirName = Literal["own", "project", "worktree"]
Revision = Annotated[Text, Field(min_length=1, max_length=1024)]
Texts = Annotated[tuple[Text, ...], Field(strict=False, max_length=MOST_ITEMS)]


CallbackEvents = Annotated[
    tuple[Annotated[Topic, Field(strict=False)], ...], Field(strict=False, min_length=1)
]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=64)]

_TYPES: Mapping[ValueKind, Any] = {
    ValueKind.COUNT: Count,
    ValueKind.COUNT_OR_ZERO: CountOrZero,
    ValueKind.SECONDS: Seconds,
    ValueKind.MONEY: Money,
    ValueKind.FLAG: bool,
    ValueKind.NAME: Word,
    ValueKind.TEXT: Text,
    ValueKind.REVISION: Revision,
    ValueKind.PATHS: PathNames,
    ValueKind.LABELS: Labels,
    ValueKind.GATES: JobGates,
}


def _field(setting: Setting) -> tuple[Any, Any]:
    if setting.values is ValueKind.LABELS:
        return Labels, Field(default_factory=dict, description=setting.description)
    return type_of(setting) | None, Field(default=None, description=setting.description)


def type_of(setting: Setting) -> Any:
    """Return the Python type of a setting's value in requests."""
    one_of: Any = Literal
    values = setting.values
    return _TYPES[values] if isinstance(values, ValueKind) else one_of[values]


if TYPE_CHECKING:
    _Settings = StrictModel
else:
    _fields = {name: _field(setting) for name, setting in BY_WIRE_NAME.items()}
    _Settings = create_model("Settings", __base__=StrictModel, **_fields)


class ConfigBody(_Settings):
    """Settings of one job; omitted settings have the server's defaults."""

    def to_config(self) -> ConfigRequest:
        values = dict(self)
        gates = values.pop("gates")
        return ConfigRequest(**values, gates=None if gates is None else _job_gates(gates))


#: The fields that a task with a question may have.
_QUESTION_FIELDS = frozenset({"id", "title", "approve", "depends_on", "timeout", "on_timeout"})


class TaskRequest(StrictModel):
    """One task, with a title, prompt, command, or question (approve)."""

    id: TaskId | None = None
    """Id, unique in the job (default: task_<position>)."""
    title: Text = ""
    """Short description of the work."""
    prompt: Text | None = None
    """Description of the work, for AI agents."""
    description: Text | None = None
    """Alias of prompt."""
    command: Command | None = None
    """Command for the agent shell: a string for bash -c, or a list of arguments."""
    approve: Annotated[Text, Field(min_length=1, max_length=4096)] | None = None
    """A question for a person, in place of prompt and command. Dependent tasks start when a person
    approves."""
    on_timeout: Literal["approve", "reject"] | None = None
    """Answer to the question at its timeout (default: reject). Without a timeout, the question
    waits for a person."""
    agent: Agents | None = None
    """Name of an agent, auto, or a list of candidates that run the task in parallel. A candidate is
    a name, or an object with name, model, timeout and context."""
    depends_on: Annotated[tuple[TaskId, ...], Field(strict=False)] = ()
    """Ids of tasks that must succeed before this task starts."""
    timeout: Seconds | None = None
    """Timeout of one attempt, in seconds; at most limits.max_wall_seconds."""
    retries: CountOrZero | None = None
    """Maximum number of retries."""
    role: Text | None = None
    """Role of the agent: a built-in role, or a file of .orchestrator/roles."""
    model: Text | None = None
    """Model of the agent."""
    files: Texts = ()
    """Paths of relevant files."""
    writes: Texts = ()
    """Paths or patterns that the task promises to write."""
    context: Text = ""
    """Additional text for the agent."""
    env: dict[VariableName, Text] = Field(default_factory=dict)
    """Additional environment variables; names that start with ORCHESTRATOR_ are reserved."""
    max_steps: Count | None = None
    """Step cap of the agent."""
    max_tokens: Count | None = None
    """Token cap of the agent."""
    max_cost_usd: Money | None = None
    """Cost cap of the agent, in US dollars."""
    git: Literal["auto", "on", "off"] | None = None
    """Worktree for the worker: auto, on, or off (default: the job's setting)."""
    workdir: WorkdirName | None = None
    """Directory: own, project (the user's checkout), or worktree (same as git: on)."""
    requires: MachineLabels = Field(default_factory=dict)
    """Labels of the worker's machine, such as {gpu: true}."""
    node: Annotated[Text, Field(max_length=63)] = ""
    """The worker's machine: name of a node, or here (the server's own machine); empty: any."""
    review: Annotated[Text, Field(max_length=200)] = ""
    """Agent that reviews the candidates, or auto; only with several agents."""
    gates: Gates = ()
    """Gates in addition to the job's gates: commands, names, or objects."""
    locks: LockNames | None = None
    """Locks that the task holds while it runs: paths of the project, or other names. A task with
    'workdir: project' also holds the lock 'project', unless this list is empty."""

    @field_validator("writes")
    @classmethod
    def promises_are_in_the_project(cls, writes: tuple[str, ...]) -> tuple[str, ...]:
        for position, path in enumerate(writes):
            if not is_in_project(path):
                message = (
                    f"{path!r} is not a path in the project; write a path relative to the "
                    "project, without '..'"
                )
                raise fault_at((position,), message)
        return writes

    @model_validator(mode="after")
    def has_instructions(self) -> "TaskRequest":
        if self.prompt and self.description and self.prompt != self.description:
            raise ValueError("has both prompt and description, which mean the same; remove one")
        if not (self.title.strip() or self.words.strip() or self.command or self.approve):
            raise ValueError(
                "the task needs `title`, `prompt`, `command`, or `approve` (a question)"
            )
        self._check_question()
        if self.review and len(self.agent or ()) < 2:
            raise ValueError(
                "review compares candidates: name at least two agents, or remove review"
            )
        self._check_workdir(self.workdir)
        return self

    def _check_question(self) -> None:
        if self.approve is None:
            if self.on_timeout is not None:
                raise ValueError("on_timeout needs a question: add approve, or remove on_timeout")
            return
        others = sorted(self.model_fields_set - _QUESTION_FIELDS)
        if others:
            raise ValueError(
                "a task with the field approve asks a person, and runs nothing; remove these "
                f"fields of the task: {', '.join(others)}"
            )
        if self.on_timeout is not None and self.timeout is None:
            raise ValueError("on_timeout needs a timeout; add timeout, or remove on_timeout")
        if not self.approve.strip():
            raise ValueError('approve needs a question, such as "Deploy?"')

    def _check_workdir(self, workdir: str | None) -> None:
        if workdir == Workdir.PROJECT and self.git == "on":
            raise ValueError(
                "'git: on' needs a worktree, but 'workdir: project' is the checkout; "
                "remove 'git: on'"
            )
        if workdir == Workdir.WORKTREE and self.git in ("off", "auto"):
            raise ValueError(f"'workdir: worktree' means 'git: on'; remove 'git: {self.git}'")
        if workdir == Workdir.PROJECT and len(self.agent or ()) > 1:
            raise ValueError(
                "with 'workdir: project', candidates share one directory; name one agent only"
            )

    @property
    def words(self) -> str:
        return self.prompt or self.description or ""

    def to_task(self, task_id: str, workdir: str | None = None) -> TaskSpec:
        """Return the task. ``workdir``: the default for a task that sets no workdir."""
        workdir = self.workdir or (None if self.approve else workdir) or Workdir.OWN
        in_project = workdir == Workdir.PROJECT
        # Faster: most tasks set few fields, and the defaults of the others are converted only once.
        values = {**_defaults_of_task(), **self.model_dump(exclude=_CONVERTED, exclude_unset=True)}
        values |= {"env": dict(self.env), "requires": dict(self.requires)}
        agents = self.agent or ()
        values |= {"id": task_id, "prompt": self.words, "agents": names_of(agents)}
        values["candidate_settings"] = settings_of(agents)
        values["approve"], values["on_timeout"] = self.approve or "", self.on_timeout or ""
        values["workdir"] = str(Workdir.PROJECT if in_project else Workdir.OWN)
        values["git"] = str(GitUse.ON) if workdir == Workdir.WORKTREE else self.git
        project_lock = (PROJECT_LOCK,) if in_project and self.locks != () else ()
        values["locks"] = tuple(dict.fromkeys((*(self.locks or ()), *project_lock)))
        # The task must make its own gates pass, so findings of the base count, too.
        gates = tuple(gate_of(each, new_only=False) for each in self.gates)
        return TaskSpec(**values, gates=gates)


#: Fields of ``TaskRequest`` that ``TaskSpec`` lacks, or has in another form.
_CONVERTED = {"description", "gates", "agent"}


@cache
def _defaults_of_task() -> Mapping[str, Any]:
    return TaskRequest.model_construct().model_dump(exclude=_CONVERTED)


def check_tasks_fit(tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
    """Return the tasks.

    Raise a validation error for a repeated id, for a dependency on an unknown task, and for a task
    that depends on itself.
    """
    ids = task_ids(tasks)
    for task_id, times in Counter(ids).items():
        if times > 1:
            second = ids.index(task_id, ids.index(task_id) + 1)
            message = f"the id {task_id!r} is used {times} times; give each task its own id"
            raise fault_at((second, "id"), message)
    known = frozenset(ids)
    for position, (task_id, task) in enumerate(zip(ids, tasks, strict=True)):
        for index, needed in enumerate(task.depends_on):
            location = (position, "depends_on", index)
            if needed == task_id:
                raise fault_at(location, "a task cannot depend on itself; remove this entry")
            if needed not in known:
                raise fault_at(location, f"unknown task {needed!r}; known: {listed(ids)}")
    return tasks


class JobRequest(StrictModel):
    """A request for a job, with optional settings and tasks."""

    request: RequestText
    """Description of the work, in natural language."""
    config: ConfigBody = Field(default_factory=ConfigBody)
    """Settings of this job."""
    tasks: Annotated[tuple[TaskRequest, ...], Field(strict=False)] = ()
    """Tasks; if absent, the request is split into tasks."""
    workdir: WorkdirName | None = None
    """Default workdir of the tasks."""

    @field_validator("tasks")
    @classmethod
    def tasks_fit_together(cls, tasks: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
        return check_tasks_fit(tasks)

    @model_validator(mode="after")
    def workdir_needs_tasks(self) -> "JobRequest":
        if self.workdir is not None and not self.tasks:
            raise ValueError("workdir needs tasks; remove workdir, or add tasks")
        for task in self.tasks if self.workdir is not None else ():
            if task.workdir is None and task.approve is None:
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


class CallbackRequest(StrictModel):
    """A request with an address for messages about its job."""

    callback_url: Annotated[Text, Field(min_length=1, max_length=2000)] | None = None
    """Address that gets a message when the job ends (docs/webhooks.md); only with scope admin."""
    callback_events: CallbackEvents | None = None
    """Events for callback_url: job_started, job_ended, needs_you, job_landed (default:
    job_ended)."""

    @model_validator(mode="after")
    def callback_events_have_an_address(self) -> Self:
        if self.callback_events is not None and self.callback_url is None:
            raise PydanticCustomError(
                "callback_events",
                "needs callback_url; add callback_url, or remove callback_events",
                {"at": ("callback_events",)},
            )
        return self

    def to_callback(self) -> Callback | None:
        if self.callback_url is None:
            return None
        return Callback(url=self.callback_url, events=self.callback_events or (Topic.JOB_ENDED,))


class OrchestrateRequest(CallbackRequest, JobRequest):
    """A request for a job, with optional settings, tasks, and an address for messages."""

    def to_submission(self, idempotency_key: str | None = None) -> Submission:
        return replace(super().to_submission(idempotency_key), callback=self.to_callback())


class RetryRequest(StrictModel):
    """Settings that a retry changes."""

    config: ConfigBody = Field(default_factory=ConfigBody)
    """Settings that override the job's settings. ``default_timeout`` and ``max_retries`` also
    override the ``timeout`` and ``retries`` of tasks.
    """


class EmptyRequest(StrictModel):
    """An empty request."""


def task_ids(tasks: Sequence[TaskRequest]) -> tuple[str, ...]:
    """Return the id of every task. A task without an id gets ``task_<position>``.

    Positions are counted from 1.
    """
    explicit_ids = {task.id for task in tasks if task.id}
    return tuple(
        task.id or next(name for name in _names_at(position) if name not in explicit_ids)
        for position, task in enumerate(tasks, start=1)
    )


def _names_at(position: int) -> Iterator[str]:
    name = f"task_{position}"
    yield name
    while True:
        # Underscores at the end make the name unique: names of other positions end with a digit.
        name += "_"
        yield name


def _job_gates(gates: str | tuple[GateItem, ...]) -> tuple[Gate, ...]:
    if gates == OFF:
        return ()
    return tuple(gate_of(each) for each in ((gates,) if isinstance(gates, str) else gates))


def fault_at(at: tuple[int | str, ...], message: str) -> PydanticCustomError:
    """Return a validation error for the value at ``at``, a path inside the validated value."""
    return PydanticCustomError("tasks", "{message}", {"message": message, "at": at})
