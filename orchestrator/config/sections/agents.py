"""Settings of agents."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import Bytes, ClassPath, Text, Variable, Words
from orchestrator.core.model.known_agents import KNOWN, READERS, Inherited

#: Names of built-in agents. An entry in config.yaml with such a name only changes values of the
#: built-in agent, so the entry needs no command.
KNOWN_AGENTS = frozenset(each.name for each in KNOWN)

#: Values of ``agent`` and ``planner`` that are not names of agents.
RESERVED_NAMES = frozenset({"auto", "rules", "person"})


class AgentOutput(StrEnum):
    """The place where a user's agent writes its result."""

    #: the file ``output.md`` in the worker's directory
    FILE = "file"
    #: ``output.md``; if it is missing or empty, the program's printed output
    LOG = "log"


class AgentPolicy(StrEnum):
    """What an AI agent may do without asking."""

    #: everything that the server's user may do
    FULL = "full"
    #: write files and run commands, if the agent's own sandbox allows them
    EDIT = "edit"
    #: read only
    READ_ONLY = "read-only"


#: Parts of an AI tool's configuration that workers can inherit from the user.
INHERITABLE = {each.name: each.inherits for each in KNOWN if each.inherits}


def _reader(name: str) -> str:
    if name not in READERS:
        raise ValueError(f"must be one of {', '.join(READERS)}")
    return name


#: Readers for supported AI programs, and ``plain`` for any other program.
ReaderName = Annotated[
    str, AfterValidator(_reader), WithJsonSchema({"enum": [*READERS], "type": "string"})
]


class PolicyArguments(Section):
    """Arguments added to an agent's command for each policy."""

    full: Words = ()
    """Arguments for full."""
    edit: Words = ()
    """Arguments for edit."""
    read_only: Words = ()
    """Arguments for read-only."""


class UserAgent(Section):
    """An agent of the user, or changes to the built-in agent with the same name."""

    command: Words = ()
    """Program and arguments, as a list; the program reads the prompt from standard input."""
    env: Annotated[tuple[Variable, ...], Field(strict=False)] = ()
    """Environment: names of the server's variables (patterns such as MY_*), or NAME=value."""
    output: Annotated[AgentOutput, Field(strict=False)] = AgentOutput.LOG
    """Source of the result: file (output.md), or log (output.md; if missing, printed output)."""
    reader: ReaderName | None = Field(
        default=None,
        description=f"Format of the agent's output: {', '.join(READERS)}; null: plain text.",
    )
    model: Text = ""
    """Model of tasks that name no model."""
    model_option: Text = ""
    """Command-line option that comes before the model's name; only with a reader."""
    policy: Annotated[AgentPolicy, Field(strict=False)] | None = None
    """What the agent may do without asking; null: as in workers.policy."""
    inherit: Annotated[
        tuple[Annotated[Inherited, Field(strict=False)], ...], Field(strict=False)
    ] = ()
    """Parts of your configuration that workers inherit: mcp, skills, hooks, or memory."""
    policies: PolicyArguments = PolicyArguments.by_default()
    """Arguments to add to the command for each policy; only with a reader."""
    class_: ClassPath | None = Field(default=None, alias="class")
    """Python class of the agent, instead of a command: package.module:Class."""
    description: Text = ""
    """Description in one line."""
    caches_prompts: bool = False
    """True if the agent's provider caches the common beginning of several prompts."""
    memory_bytes: Annotated[Bytes, Field(ge=0)] | None = None
    """Expected memory of one worker, in bytes; null: the built-in value, or 512 MiB."""
    plans: bool | None = None
    """Allow this agent as planner if planner is auto; null: the built-in value for this agent."""
    changes_files: bool = True
    """True if each worker gets a git worktree of the project."""
