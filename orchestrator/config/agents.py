"""Settings of agents."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from orchestrator.config.fields.kinds import Bytes, ClassPath, Text, Variable, Words
from orchestrator.config.fields.section import Section
from orchestrator.core.model.known_agents import KNOWN, READERS, Inherited

#: Agents that need no command here: what config.yaml says of them changes what is known of them.
KNOWN_AGENTS = frozenset(each.name for each in KNOWN)

#: What a task or a planner says in place of an agent's name.
RESERVED_NAMES = frozenset({"auto", "rules"})


class AgentOutput(StrEnum):
    """Where the output of a user's agent is found."""

    #: in output.md, which it leaves in its directory
    FILE = "file"
    #: in what it prints
    LOG = "log"


class AgentPolicy(StrEnum):
    """What an AI agent may do without asking."""

    #: everything that its user may do
    FULL = "full"
    #: write files and run commands, as far as its own sandbox allows
    EDIT = "edit"
    #: look, and change nothing
    READ_ONLY = "read-only"


#: What can be let through to a tool without the rest of its configuration.
INHERITABLE = {each.name: each.inherits for each in KNOWN if each.inherits}


def _reader(name: str) -> str:
    if name not in READERS:
        raise ValueError(f"should be one of {', '.join(READERS)}")
    return name


#: The AI programs that are driven, and ``plain`` for any other program.
ReaderName = Annotated[
    str, AfterValidator(_reader), WithJsonSchema({"enum": [*READERS], "type": "string"})
]


class PolicyArguments(Section):
    """Arguments added to an agent's command for each policy."""

    full: Words = ()
    """For full."""
    edit: Words = ()
    """For edit."""
    read_only: Words = ()
    """For read-only."""


class UserAgent(Section):
    """An agent that you add, or what you change of a known one of the same name."""

    command: Words = ()
    """The program and its arguments, as a list; it reads a prompt on its standard input."""
    env: Annotated[tuple[Variable, ...], Field(strict=False)] = ()
    """Variables of the server's environment that it gets (MY_* means all such), and NAME=value."""
    output: Annotated[AgentOutput, Field(strict=False)] = AgentOutput.LOG
    """Where its result is found: log (what it prints) or file (output.md in its directory)."""
    reader: ReaderName | None = Field(
        default=None, description=f"Whose events it prints: {', '.join(READERS)}; null: no one's."
    )
    model: Text = ""
    """The model for tasks that name none."""
    model_option: Text = ""
    """The option that goes before the model on its command line; only with a reader."""
    policy: Annotated[AgentPolicy, Field(strict=False)] | None = None
    """What it may do unasked; null: as workers.policy says."""
    inherit: Annotated[
        tuple[Annotated[Inherited, Field(strict=False)], ...], Field(strict=False)
    ] = ()
    """What of your own configuration reaches its workers: mcp, skills, hooks, memory."""
    policies: PolicyArguments = PolicyArguments()
    """Arguments added to its command for each policy; only with a reader."""
    class_: ClassPath | None = Field(default=None, alias="class")
    """In place of a command: package.module:Class of an agent in Python."""
    description: Text = ""
    """One line on what it is for."""
    caches_prompts: bool = False
    """Its provider charges less for what a prompt has in common with an earlier one."""
    memory_bytes: Annotated[Bytes, Field(ge=0)] | None = None
    """Memory that one worker is expected to need; null: 512 MiB, or as known of the agent."""
    plans: bool | None = None
    """Whether planner: auto asks it; true: yes, false: never, null: as known, or where named."""
    changes_files: bool = True
    """Whether its workers get a git worktree of the project each, where it is a repository."""
