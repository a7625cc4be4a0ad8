"""The built-in AI agents and their static properties, the best agent first.

There is no other list of agents. Settings and help use this list, so this module is in the lowest
layer.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass

MIB = 1024 * 1024

#: Maximum seconds of one command of an AI tool: long enough to wait for a child job, but shorter
#: than the silence after which the tool counts as hung.
COMMAND_SECONDS = 540

#: Patterns of variables with keys and addresses, by provider. More than one tool uses them.
_ANTHROPIC = ("ANTHROPIC_*",)
_OPENAI = ("OPENAI_*",)
_GOOGLE = ("GEMINI_API_KEY", "GEMINI_MODEL", "GOOGLE_*", "CLOUDSDK_*")
_AWS = ("AWS_*",)
_OTHERS = ("OPENROUTER_*", "DEEPSEEK_*", "GROQ_*", "MISTRAL_*", "XAI_*", "AZURE_*", "TOGETHER_*")

#: Variables that keep any tool from sending telemetry, updating itself, or asking questions.
_QUIET = {"CI": "1", "NO_COLOR": "1", "DO_NOT_TRACK": "1"}


class Inherited(StrEnum):
    """Parts of a user's configuration of an AI tool that an attempt can inherit."""

    #: servers of the Model Context Protocol
    MCP = "mcp"
    #: skills
    SKILLS = "skills"
    #: commands that the tool runs at its events
    HOOKS = "hooks"
    #: instructions for all projects, such as CLAUDE.md
    MEMORY = "memory"


# Compared by identity, because there is only one object for each agent.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KnownTool:
    #: Name of the agent. For an agent with a program also the name of its modules in
    #: ``agents/ai_tools``, so the name is a Python identifier.
    name: str
    description: str
    #: Names of the agent in other tools, which ``/api/v1/tasks`` accepts.
    aliases: tuple[str, ...] = ()
    #: Name of the program on the PATH; empty for an agent that calls a model over HTTP.
    program: str = ""
    #: The program's name in descriptions of settings; empty: the agent's description.
    title: str = ""
    #: Patterns of the variables that the agent gets from the server's environment.
    pass_env: tuple[str, ...] = ()
    #: Variables of the environment that contain a credential. One of them is enough.
    credentials: tuple[str, ...] = ()
    #: Cloud services that give the agent access to models. Key: the variable in ``credentials``
    #: that selects a service, such as ``CLAUDE_CODE_USE_BEDROCK``. Value: further variables, and
    #: files as in ``logins``. One of these variables must also be set, or one of these files must
    #: exist. A region or project is enough, because a machine in the cloud needs no key.
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Files of the user that contain a login. ``{VARIABLE:default}`` is a directory.
    logins: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    #: Expected memory of one worker.
    memory_bytes: int = 512 * MIB
    #: True if the provider charges less for the beginning of a prompt that it has received before.
    caches_prompts: bool = False
    #: True if the agent may plan any job; False if it never plans. None: the agent plans only jobs
    #: that name it as their planner.
    plans: bool | None = True
    #: True if the agent can resume a session by its id.
    resumes: bool = False
    #: True if the agent reads messages from people while it works.
    reads_messages: bool = False
    #: True if the agent reports its cost.
    reports_cost: bool = False
    #: Parts of the user's configuration that the agent can inherit individually.
    inherits: tuple[Inherited, ...] = ()
    #: Commands that install the agent's program.
    install: str = ""
    login: str = ""
    #: Model for tasks that name no model; ``model_variables`` take precedence.
    model: str = ""
    #: Variables of the environment that name a model.
    model_variables: tuple[str, ...] = ()
    #: The default address of the agent's service on this machine; empty for a remote service.
    local_url: str = ""

    @property
    def command_setting(self) -> str:
        """Name of the setting for the program's command, in section ``orchestrator``."""
        return f"{self.name}_command"


CLAUDE = KnownTool(
    name="claude",
    aliases=("claude-code", "claude_code"),
    caches_prompts=True,
    description="Claude Code",
    program="claude",
    resumes=True,
    reads_messages=True,
    reports_cost=True,
    inherits=tuple(Inherited),
    pass_env=(
        *_ANTHROPIC,
        *_AWS,
        "GOOGLE_*",
        "CLOUD_ML_REGION",
        "VERTEX_REGION_*",
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_SECURESTORAGE_CONFIG_DIR",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_*",
        "CLAUDE_CODE_SKIP_*_AUTH",
    ),
    credentials=(
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
        "CLAUDE_CODE_USE_FOUNDRY",
    ),
    services={
        "CLAUDE_CODE_USE_BEDROCK": (
            "AWS_ACCESS_KEY_ID",
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_PROFILE",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "CLAUDE_CODE_SKIP_BEDROCK_AUTH",
            "{AWS_SHARED_CREDENTIALS_FILE:~/.aws/credentials}",
            "{AWS_CONFIG_FILE:~/.aws/config}",
        ),
        "CLAUDE_CODE_USE_VERTEX": (
            "ANTHROPIC_VERTEX_PROJECT_ID",
            "CLOUD_ML_REGION",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_CLOUD_PROJECT",
            "CLAUDE_CODE_SKIP_VERTEX_AUTH",
            "{CLOUDSDK_CONFIG:~/.config/gcloud}/application_default_credentials.json",
        ),
        "CLAUDE_CODE_USE_FOUNDRY": (
            "ANTHROPIC_FOUNDRY_API_KEY",
            "ANTHROPIC_FOUNDRY_BASE_URL",
            "ANTHROPIC_FOUNDRY_RESOURCE",
            "CLAUDE_CODE_SKIP_FOUNDRY_AUTH",
        ),
    },
    logins=("{CLAUDE_CONFIG_DIR:~/.claude}/.credentials.json",),
    env={
        **_QUIET,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        # The tool's default is 10 retries, which take three minutes for a wrong key.
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "API_TIMEOUT_MS": "600000",
        # Run commands in the foreground, with long timeouts. A background command could still run
        # after the agent's final text.
        "BASH_DEFAULT_TIMEOUT_MS": str(COMMAND_SECONDS * 1000),
        "BASH_MAX_TIMEOUT_MS": "3600000",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "MCP_TOOL_TIMEOUT": "120000",
        # Without this setting, the first call of the model does not wait for the tools that start
        # child jobs.
        "MCP_CONNECTION_NONBLOCKING": "0",
    },
    install="npm install -g @anthropic-ai/claude-code",
    login="run claude /login, or set ANTHROPIC_API_KEY",
)

CODEX = KnownTool(
    name="codex",
    caches_prompts=True,
    description="OpenAI Codex",
    program="codex",
    title="Codex",
    resumes=True,
    inherits=tuple(Inherited),
    pass_env=(*_OPENAI, "CODEX_API_KEY", "CODEX_HOME", "AZURE_*"),
    credentials=("OPENAI_API_KEY", "CODEX_API_KEY"),
    logins=("{CODEX_HOME:~/.codex}/auth.json",),
    env=_QUIET,
    install="npm install -g @openai/codex",
    login="run codex login, or set OPENAI_API_KEY",
)

GEMINI = KnownTool(
    name="gemini",
    caches_prompts=True,
    description="Gemini CLI",
    program="gemini",
    resumes=True,
    inherits=tuple(Inherited),
    pass_env=(*_GOOGLE, "GEMINI_CLI_HOME"),
    credentials=(
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "GOOGLE_GENAI_USE_GCA",
    ),
    logins=("{GEMINI_CLI_HOME:~}/.gemini/oauth_creds.json", "{GEMINI_CLI_HOME:~}/.gemini/.env"),
    env={
        **_QUIET,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        # One process instead of two saves 120 MB.
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_TELEMETRY_ENABLED": "false",
    },
    install="npm install -g @google/gemini-cli",
    login="run gemini and log in, or set GEMINI_API_KEY",
)

OPENCODE = KnownTool(
    name="opencode",
    description="opencode",
    program="opencode",
    resumes=True,
    reports_cost=True,
    inherits=(Inherited.MCP, Inherited.SKILLS, Inherited.MEMORY),
    pass_env=(*_ANTHROPIC, *_OPENAI, *_GOOGLE, *_AWS, *_OTHERS, "OPENCODE_*"),
    credentials=(
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "OPENROUTER_API_KEY",
        "OPENCODE_API_KEY",
        "OPENCODE_CONFIG_CONTENT",
    ),
    logins=("{XDG_DATA_HOME:~/.local/share}/opencode/auth.json",),
    env={
        **_QUIET,
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        # The tool's default is two minutes.
        "OPENCODE_EXPERIMENTAL_BASH_DEFAULT_TIMEOUT_MS": str(COMMAND_SECONDS * 1000),
    },
    memory_bytes=1024 * MIB,
    install="npm install -g opencode-ai",
    login="run opencode auth login, or set the key of a provider",
)

AIDER = KnownTool(
    name="aider",
    description="aider",
    program="aider",
    reports_cost=True,
    pass_env=(*_ANTHROPIC, *_OPENAI, *_GOOGLE, *_AWS, *_OTHERS, "OLLAMA_*", "AIDER_MODEL"),
    credentials=(
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "DEEPSEEK_API_KEY",
        "OPENROUTER_API_KEY",
    ),
    # aider edits files. As a planner, it would answer with text only.
    plans=None,
    env={**_QUIET, "AIDER_CHECK_UPDATE": "false", "AIDER_ANALYTICS": "false"},
    install="python3 -m pip install aider-chat",
    login="set ANTHROPIC_API_KEY, OPENAI_API_KEY or the key of another provider",
)

ANTHROPIC = KnownTool(
    name="anthropic",
    aliases=("claude-api", "claude_api"),
    caches_prompts=True,
    description="Anthropic's Messages API, with built-in tools",
    pass_env=_ANTHROPIC,
    credentials=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    model="claude-sonnet-4-5",
    model_variables=("ANTHROPIC_MODEL",),
    memory_bytes=96 * MIB,
    reads_messages=True,
    login="set ANTHROPIC_API_KEY",
)

OPENAI_COMPATIBLE = KnownTool(
    name="openai-compatible",
    description="any chat-completions API, with built-in tools",
    pass_env=_OPENAI,
    credentials=("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    model="gpt-5.1",
    model_variables=("OPENAI_MODEL",),
    memory_bytes=96 * MIB,
    reads_messages=True,
    login="set OPENAI_BASE_URL (and OPENAI_API_KEY, if the server needs one)",
)

OLLAMA = KnownTool(
    name="ollama",
    description="a model of Ollama, with built-in tools",
    pass_env=("OLLAMA_*",),
    model_variables=("OLLAMA_MODEL",),
    memory_bytes=96 * MIB,
    reads_messages=True,
    login="run ollama serve, and ollama pull MODEL",
    local_url="http://127.0.0.1:11434",
)

#: All built-in agents, in the order in which ``auto`` prefers them.
KNOWN = (CLAUDE, CODEX, GEMINI, OPENCODE, ANTHROPIC, OPENAI_COMPATIBLE, OLLAMA, AIDER)
#: The agents that are programs: each has a module in ``agents/ai_tools/commands`` and ``readers``.
PROGRAMS = tuple(each for each in KNOWN if each.program)
#: Names of the readers of agents' output; ``plain`` reads the output of any other program.
READERS = (*(each.name for each in PROGRAMS), "plain")


def known(name: str) -> KnownTool | None:
    return next((each for each in KNOWN if each.name == name), None)
