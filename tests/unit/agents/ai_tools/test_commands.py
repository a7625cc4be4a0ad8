"""The call of each tool: arguments, environment, and files, for each policy."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.ai_tools.commands import call_for, tools
from orchestrator.agents.ai_tools.commands.codex import as_toml
from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    CallInputs,
    CallLimits,
)
from orchestrator.agents.model_loop.settings.loop_settings import POLICIES
from orchestrator.config.sections.agents import INHERITABLE
from orchestrator.config.sections.workers import Workers
from orchestrator.core.model.known_agents import CLAUDE, KNOWN, OPENCODE

TOOLS = [each for each in tools() if each != "custom"]
WORKER = {
    "ORCHESTRATOR_API_KEY": "the-key-of-the-worker",
    "ORCHESTRATOR_API_URL": "http://127.0.0.1:1",
    "PATH": "/bin",
}


@pytest.fixture
def inputs(tmp_path: Path) -> CallInputs:
    return CallInputs(
        command=("tool",),
        control=tmp_path / "control",
        shared=tmp_path / "shared",
        directory=tmp_path / "work",
        home=Path("/opt/product"),
        recursive=True,
        environ={**WORKER, "HOME": str(tmp_path / "home")},
    )


def called(tool: str, inputs: CallInputs, **changes: Any) -> AgentCall:
    return call_for(tool)(replace(inputs, **changes))


def with_variables(inputs: CallInputs, **more: str) -> CallInputs:
    return replace(inputs, environ={**inputs.environ, **more})


def config_toml(call: AgentCall) -> Mapping[str, Any]:
    return tomllib.loads(file_named(call, "config.toml"))


def file_named(call: AgentCall, name: str) -> str:
    [text] = [text for path, text in call.files.items() if path.name == name]
    return text


POLICY_WORDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("claude", "full"): ("--dangerously-skip-permissions",),
    ("claude", "edit"): ("--permission-mode", "acceptEdits"),
    ("claude", "read-only"): ("--disallowedTools", "Bash,Edit,Write,MultiEdit,NotebookEdit"),
    ("codex", "full"): ("--dangerously-bypass-approvals-and-sandbox",),
    ("codex", "edit"): ("-s", "workspace-write"),
    ("codex", "read-only"): ("-s", "read-only"),
    ("gemini", "full"): ("--approval-mode", "yolo"),
    ("gemini", "edit"): ("--approval-mode", "auto_edit"),
    ("gemini", "read-only"): ("--approval-mode", "default"),
    ("opencode", "full"): ("run", "--format", "json"),
    ("opencode", "edit"): ("run", "--format", "json"),
    ("opencode", "read-only"): ("run", "--format", "json"),
    ("aider", "full"): ("--yes-always",),
    ("aider", "edit"): ("--yes-always", "--no-suggest-shell-commands"),
    ("aider", "read-only"): ("--yes-always", "--dry-run", "--no-suggest-shell-commands"),
}


@pytest.mark.parametrize(("tool", "policy"), POLICY_WORDS)
def test_a_policy_is_passed_in_the_options_of_the_tool(
    inputs: CallInputs, tool: str, policy: str
) -> None:
    argv = called(tool, inputs, policy=policy).argv

    words = POLICY_WORDS[tool, policy]
    assert " ".join(words) in " ".join(argv)
    others = {POLICY_WORDS[tool, each] for each in POLICIES} - {words}
    for other in others:
        assert set(other) <= set(words) or not set(other) <= set(argv)


@pytest.mark.parametrize(
    ("policy", "edit", "bash"),
    [("full", None, None), ("edit", None, None), ("read-only", "deny", "deny")],
)
def test_opencode_has_its_policy_in_its_settings(
    inputs: CallInputs, policy: str, edit: str | None, bash: str | None
) -> None:
    settings = json.loads(
        called("opencode", inputs, policy=policy).env["OPENCODE_CONFIG_CONTENT"] or ""
    )

    permission = settings["permission"]
    assert (permission.get("edit"), permission.get("bash")) == (edit, bash)
    assert (permission.get("external_directory") == "deny") is (policy != "full")
    assert settings["autoupdate"] is False


@pytest.mark.parametrize(
    ("tool", "argv"),
    [
        ("claude", "--permission-mode default --strict-mcp-config --resume s-1"),
        ("codex", "-a -s on-request resume s-1 workspace-write"),
        ("gemini", "--approval-mode --resume default s-1"),
        ("opencode", "--session s-1"),
    ],
)
def test_a_person_in_a_terminal_is_asked(inputs: CallInputs, tool: str, argv: str) -> None:
    call = called(tool, inputs, resume="s-1", in_terminal=True, policy="full", recursive=False)
    assert sorted(call.argv[len(inputs.command) :]) == sorted(argv.split())
    if tool == "opencode":
        settings = json.loads(str(call.env["OPENCODE_CONFIG_CONTENT"]))
        assert set(settings["permission"].values()) == {"ask"}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("policy", POLICIES)
def test_no_secret_is_an_argument(inputs: CallInputs, tool: str, policy: str) -> None:
    inputs_with_keys = with_variables(
        inputs, ANTHROPIC_API_KEY="secret-1", OPENAI_API_KEY="secret-2"
    )

    argv = " ".join(called(tool, inputs_with_keys, policy=policy).argv)

    assert "secret-" not in argv
    assert WORKER["ORCHESTRATOR_API_KEY"] not in argv


@pytest.mark.parametrize("tool", TOOLS)
def test_all_that_a_tool_writes_for_itself_is_outside_of_where_it_works(
    inputs: CallInputs, tool: str
) -> None:
    call = called(tool, inputs)

    written = [*call.files, *(login.target for login in call.logins)]
    assert all(
        path.is_relative_to(inputs.control) or path.is_relative_to(inputs.shared)
        for path in written
    )


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("claude", ("--model", "m")),
        ("codex", ("-m", "m")),
        ("gemini", ("-m", "m")),
        ("opencode", ("-m", "m")),
        ("aider", ("--model", "m")),
    ],
)
def test_a_model_is_named_only_when_one_is_asked_for(
    inputs: CallInputs, tool: str, words: tuple[str, str]
) -> None:
    argv = called(tool, inputs, model="m").argv

    assert words[1] == argv[argv.index(words[0]) + 1]
    assert words[0] not in called(tool, inputs).argv


@pytest.mark.parametrize(
    ("root", "policy", "expected"),
    [(True, "full", "1"), (True, "edit", None), (False, "full", None)],
)
def test_claude_may_run_as_root_in_the_full_policy(
    inputs: CallInputs, root: bool, policy: str, expected: str | None
) -> None:
    assert called("claude", inputs, root=root, policy=policy).env.get("IS_SANDBOX") == expected


def test_claude_gets_its_limits_as_options(inputs: CallInputs) -> None:
    argv = called("claude", inputs, limits=CallLimits(max_steps=7, max_cost_usd=1.5)).argv

    assert argv[argv.index("--max-turns") + 1] == "7"
    assert argv[argv.index("--max-budget-usd") + 1] == "1.5"
    assert "--include-partial-messages" in argv


@pytest.mark.parametrize(
    ("limits", "expected"),
    [(CallLimits(), False), (CallLimits(max_steps=1), False), (CallLimits(max_tokens=1), True)],
)
def test_claude_reports_partial_messages_if_tokens_are_limited(
    inputs: CallInputs, limits: CallLimits, expected: bool
) -> None:
    assert (
        "--include-partial-messages" in called("claude", inputs, limits=limits).argv
    ) is expected


def test_claude_keeps_what_makes_the_users_login(inputs: CallInputs) -> None:
    home = inputs.user_home
    (home / ".claude").mkdir(parents=True)
    state = {"oauthAccount": {"id": 1}, "projects": {"/secret/path": {}}}
    (home / ".claude.json").write_text(json.dumps(state))
    (home / ".claude" / "settings.json").write_text('{"apiKeyHelper": "x", "hooks": {"Stop": []}}')

    call = called("claude", inputs)

    assert json.loads(file_named(call, ".claude.json")) == {
        "hasCompletedOnboarding": True,
        "oauthAccount": {"id": 1},
    }
    assert json.loads(file_named(call, "settings.json")) == {"apiKeyHelper": "x"}
    assert call.logins[0].source == home / ".claude" / ".credentials.json"
    # The user's directory with all sessions and their lock.
    assert call.env["CLAUDE_SECURESTORAGE_CONFIG_DIR"] == ""


MCP = {
    "claude": lambda call: json.loads(file_named(call, "mcp.json"))["mcpServers"],
    "codex": lambda call: config_toml(call).get("mcp_servers"),
    "gemini": lambda call: json.loads(file_named(call, "settings.json")).get("mcpServers"),
    "opencode": lambda call: json.loads(call.env["OPENCODE_CONFIG_CONTENT"] or "").get("mcp"),
}


@pytest.mark.parametrize("tool", MCP)
def test_the_mcp_server_uses_the_key_of_the_worker(inputs: CallInputs, tool: str) -> None:
    server = MCP[tool](called(tool, inputs))["orchestrator"]

    command = server["command"] if isinstance(server["command"], list) else [server["command"]]
    assert [*command, *server.get("args", [])] == ["/opt/product/bin/orchestrator", "mcp"]
    environ = server.get("env") or server["environment"]
    assert environ["ORCHESTRATOR_API_KEY"] == WORKER["ORCHESTRATOR_API_KEY"]


@pytest.mark.parametrize("tool", TOOLS)
def test_without_child_jobs_a_tool_gets_no_mcp_server(inputs: CallInputs, tool: str) -> None:
    call = called(tool, inputs, recursive=False)

    inputs_of_tool = " ".join([*call.argv, *call.files.values(), *filter(None, call.env.values())])
    assert '"mcp"' not in inputs_of_tool and "mcp.json" not in inputs_of_tool


def test_codex_reaches_this_server_from_its_sandbox(inputs: CallInputs) -> None:
    edits = config_toml(called("codex", inputs, policy="edit"))
    everything = config_toml(called("codex", inputs))

    assert edits["sandbox_workspace_write"] == {"network_access": True}
    assert edits["mcp_servers"]["orchestrator"]["default_tools_approval_mode"] == "approve"
    assert "sandbox_workspace_write" not in everything


@pytest.mark.parametrize(
    ("variables", "logged_in", "url", "key"),
    [
        ({}, False, None, None),
        ({"OPENAI_API_KEY": "k"}, False, "https://api.openai.com/v1", "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "k"}, True, None, None),
        ({"OPENAI_BASE_URL": "http://h/v1"}, False, "http://h/v1", None),
        (
            {"OPENAI_BASE_URL": "http://h/v1", "OPENAI_API_KEY": "k"},
            True,
            "http://h/v1",
            "OPENAI_API_KEY",
        ),
        ({"CODEX_API_KEY": "k"}, False, "https://api.openai.com/v1", "CODEX_API_KEY"),
    ],
)
def test_codex_has_the_provider_of_the_users_variables(
    inputs: CallInputs, variables: dict[str, str], logged_in: bool, url: str | None, key: str | None
) -> None:
    if logged_in:
        (inputs.user_home / ".codex").mkdir(parents=True)
        (inputs.user_home / ".codex" / "auth.json").write_text("{}")

    settings = config_toml(called("codex", with_variables(inputs, **variables)))

    provider = settings.get("model_providers", {}).get(settings.get("model_provider"), {})
    assert (provider.get("base_url"), provider.get("env_key")) == (url, key)


@pytest.mark.parametrize("inside", [True, False])
def test_codex_has_its_home_outside_of_the_directory_for_temporary_files(
    inputs: CallInputs, tmp_path: Path, inside: bool
) -> None:
    elsewhere = str(tmp_path if inside else tmp_path / "elsewhere")

    env = called("codex", with_variables(inputs, TMPDIR=elsewhere)).env

    assert env.get("TMPDIR") == (str(inputs.control / "tmp") if inside else None)


def test_codex_keeps_a_provider_of_the_user(inputs: CallInputs) -> None:
    (inputs.user_home / ".codex").mkdir(parents=True)
    (inputs.user_home / ".codex" / "config.toml").write_text(
        'model = "m"\nmodel_provider = "azure"\n[model_providers.azure]\nbase_url = "https://a"\n'
        'query_params = { api-version = "1" }\n[mcp_servers.theirs]\ncommand = "x"\n'
    )

    settings = config_toml(called("codex", inputs))

    assert (settings["model"], settings["model_provider"]) == ("m", "azure")
    provider = settings["model_providers"]["azure"]
    assert provider == {"base_url": "https://a", "query_params": {"api-version": "1"}}
    assert set(settings["mcp_servers"]) == {"orchestrator"}


@pytest.mark.parametrize(
    "table",
    [
        {
            "a": 'quotes " and \\ and \n and \x7f',
            "b": [1, "x", {"c": True}],
            "d": {"e f": {"g": 1.5}},
        },
        {"empty": {}},
        {"\u00e4.\u00f6": {"x": "\u2028"}},
    ],
)
def test_toml_is_read_back_unchanged(table: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml(table)) == table


@pytest.mark.parametrize(
    ("variables", "chosen", "login", "expected"),
    [
        ({"GEMINI_API_KEY": "k"}, None, False, "gemini-api-key"),
        ({"GOOGLE_API_KEY": "k"}, None, False, "vertex-ai"),
        ({}, "cloud-shell", True, "cloud-shell"),
        ({}, None, True, "oauth-personal"),
        ({}, None, False, "gemini-api-key"),
    ],
)
def test_gemini_logs_in_as_the_user_would(
    inputs: CallInputs, variables: dict[str, str], chosen: str | None, login: bool, expected: str
) -> None:
    own = inputs.user_home / ".gemini"
    own.mkdir(parents=True)
    if chosen:
        settings = {"security": {"auth": {"selectedType": chosen}}}
        (own / "settings.json").write_text(json.dumps(settings))
    if login:
        (own / "oauth_creds.json").write_text("{}")

    found = json.loads(
        file_named(called("gemini", with_variables(inputs, **variables)), "settings.json")
    )

    assert found["security"]["auth"]["selectedType"] == expected


def test_claude_has_the_tools_that_start_child_jobs_from_its_first_step(inputs: CallInputs) -> None:
    server = json.loads(file_named(called("claude", inputs), "mcp.json"))["mcpServers"][
        "orchestrator"
    ]
    assert server["alwaysLoad"] is True
    assert CLAUDE.env["MCP_CONNECTION_NONBLOCKING"] == "0"


def test_gemini_does_not_wait_for_a_limited_model(inputs: CallInputs) -> None:
    settings = json.loads(file_named(called("gemini", inputs), "settings.json"))
    assert settings["general"]["maxAttempts"] == 3


@pytest.mark.parametrize("tool", tools())
def test_login_shells_of_each_tool_find_orchestrator(inputs: CallInputs, tool: str) -> None:
    call = called(tool, inputs)
    assert str(inputs.home / "bin") in call.files[Path(str(call.env["BASH_ENV"]))]


def test_a_command_may_wait_for_a_child_job_and_ends_before_a_hang_is_supposed(
    inputs: CallInputs,
) -> None:
    gemini = json.loads(file_named(called("gemini", inputs), "settings.json"))
    allowed = {
        gemini["tools"]["shell"]["inactivityTimeout"],
        int(CLAUDE.env["BASH_DEFAULT_TIMEOUT_MS"]) // 1000,
        int(OPENCODE.env["OPENCODE_EXPERIMENTAL_BASH_DEFAULT_TIMEOUT_MS"]) // 1000,
    }
    assert allowed == {540} and Workers().stall_seconds > 540


def test_gemini_runs_into_our_limit_before_its_own(inputs: CallInputs) -> None:
    settings = json.loads(
        file_named(called("gemini", inputs, limits=CallLimits(max_steps=4)), "settings.json")
    )

    assert settings["model"]["maxSessionTurns"] > 4


def test_opencode_shares_one_home(inputs: CallInputs) -> None:
    env = called("opencode", inputs).env

    assert {env[f"XDG_{each}_HOME"] for each in ("CONFIG", "DATA", "STATE", "CACHE")} == {
        str(inputs.shared / each) for each in ("config", "data", "state", "cache")
    }
    home = called("opencode", inputs).home
    assert home is not None
    assert (home.directory, home.argv[-2:]) == (inputs.shared, ("session", "list"))
    assert called("opencode", replace(inputs, shared=inputs.control)).home is None


def test_opencode_keeps_the_providers_of_the_user(inputs: CallInputs) -> None:
    own = inputs.user_home / ".config" / "opencode"
    own.mkdir(parents=True)
    (own / "opencode.json").write_text('{"provider": {"p": {}}, "plugin": ["x"], "model": "p/m"}')
    with_config = with_variables(inputs, OPENCODE_CONFIG_CONTENT='{"model": "p/other"}')

    settings = json.loads(called("opencode", with_config).env["OPENCODE_CONFIG_CONTENT"] or "")

    assert settings["provider"] == {"p": {}}
    assert settings["model"] == "p/other"
    assert "plugin" not in settings


def test_aider_reads_its_prompt_from_the_file(inputs: CallInputs) -> None:
    call = called("aider", with_variables(inputs, OPENAI_BASE_URL="http://h/v1"))

    assert not call.prompt_on_stdin
    assert call.argv[call.argv.index("--message-file") + 1] == str(inputs.directory / "prompt.md")
    assert call.env["OPENAI_API_BASE"] == "http://h/v1"


@pytest.mark.parametrize("broken", ["not json", "[1]", '{"a":', "\x00"])
def test_a_broken_configuration_of_the_user_is_none(inputs: CallInputs, broken: str) -> None:
    home = inputs.user_home
    for path in (
        *(".claude.json", ".claude/settings.json", ".codex/config.toml"),
        *(".gemini/settings.json", ".config/opencode/opencode.json"),
    ):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(broken)

    for tool in TOOLS:
        assert called(tool, inputs).argv[0] == "tool"


# What users add to their tools


OWN = {"command": "/opt/product/bin/orchestrator", "args": ["mcp"], "type": "local"}
THEIRS = {"mine": {"command": "x"}, "orchestrator": {"command": "y"}, "another": OWN}


def write_servers(home: Path) -> None:
    for path, text in {
        ".claude.json": json.dumps({"mcpServers": THEIRS}),
        ".codex/config.toml": as_toml({"mcp_servers": THEIRS}),
        ".gemini/settings.json": json.dumps({"mcpServers": THEIRS}),
        ".config/opencode/opencode.json": json.dumps({"mcp": THEIRS}),
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)


@pytest.mark.parametrize("tool", MCP)
def test_servers_of_the_user_never_replace_that_of_the_worker(
    inputs: CallInputs, tool: str
) -> None:
    write_servers(inputs.user_home)

    servers = MCP[tool](called(tool, inputs, inherit=("mcp",)))

    assert set(servers) == {"mine", "orchestrator"}
    assert servers["orchestrator"] == MCP[tool](called(tool, inputs))["orchestrator"]


def test_claude_gets_the_servers_that_the_user_registered_for_the_project(
    inputs: CallInputs,
) -> None:
    projects = {
        "/project": {"mcpServers": {"of-the-project": {"command": "x"}}},
        "/other": {"mcpServers": {"of-another-project": {"command": "x"}}},
    }
    account = {"mcpServers": {"everywhere": {"command": "y"}}, "projects": projects}
    inputs.user_home.mkdir()
    (inputs.user_home / ".claude.json").write_text(json.dumps(account))
    in_worktree = with_variables(inputs, ORCHESTRATOR_PROJECT_ROOT="/jobs/worker_1/worktree")

    servers = MCP["claude"](
        called("claude", in_worktree, inherit=("mcp",), user_project="/project")
    )

    assert set(servers) == {"everywhere", "of-the-project", "orchestrator"}


@pytest.mark.parametrize("tool", MCP)
def test_a_read_only_tool_gets_no_mcp_server_of_the_user(inputs: CallInputs, tool: str) -> None:
    write_servers(inputs.user_home)

    call = called(tool, inputs, inherit=("mcp",), policy="read-only", recursive=False)

    assert "mine" not in " ".join([*call.argv, *call.files.values(), *map(str, call.env.values())])


def test_claude_may_call_what_it_inherits(inputs: CallInputs) -> None:
    write_servers(inputs.user_home)

    argv = called("claude", inputs, inherit=("mcp",), policy="edit").argv

    assert argv[argv.index("--allowedTools") + 1].endswith(",mcp__orchestrator,mcp__mine")


@pytest.mark.parametrize("tool", INHERITABLE)
def test_a_broken_configuration_is_nothing_to_inherit(inputs: CallInputs, tool: str) -> None:
    for path in (".claude.json", ".claude/settings.json", ".codex/config.toml"):
        (inputs.user_home / path).parent.mkdir(parents=True, exist_ok=True)
        (inputs.user_home / path).write_text("not whole {")

    call = called(tool, inputs, inherit=tuple(INHERITABLE[tool]))

    assert "mine" not in " ".join(call.files.values())


# The catalog


@pytest.mark.parametrize("known", KNOWN, ids=lambda each: each.name)
def test_credentials_that_availability_checks_are_passed_on(known: Any) -> None:
    for name in known.credentials:
        assert any(fnmatchcase(name, pattern) for pattern in known.pass_env), name


@pytest.mark.parametrize("known", KNOWN, ids=lambda each: each.name)
def test_variables_of_an_outer_agent_are_not_passed_on(known: Any) -> None:
    inherited = (
        *("CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_MESSAGING_TOKEN"),
        *("CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "CODEX_THREAD_ID", "GEMINI_CLI"),
        "ORCHESTRATOR_API_KEY",
    )
    for name in inherited:
        assert not any(fnmatchcase(name, pattern) for pattern in known.pass_env), name


SCHEMA = {"type": "object", "properties": {"tasks": {"type": "array"}}, "required": ["tasks"]}


def test_tools_that_accept_a_schema_get_it(inputs: CallInputs) -> None:
    claude, codex = (called(tool, inputs, schema=SCHEMA) for tool in ("claude", "codex"))

    assert json.loads(claude.argv[claude.argv.index("--json-schema") + 1]) == SCHEMA
    path = Path(codex.argv[codex.argv.index("--output-schema") + 1])
    assert json.loads(codex.files[path]) == SCHEMA
    options = {"--json-schema", "--output-schema"}
    assert not any(options & set(called(tool, inputs).argv) for tool in TOOLS)


def test_a_planner_may_read_the_project(inputs: CallInputs) -> None:
    there = with_variables(inputs, ORCHESTRATOR_PROJECT_ROOT="/the/project")
    plan = {"policy": "read-only", "schema": SCHEMA}

    argv = called("gemini", there, **plan).argv
    assert argv[argv.index("--include-directories") + 1] == "/the/project"
    config = json.loads(called("opencode", there, **plan).env["OPENCODE_CONFIG_CONTENT"] or "")
    assert config["permission"]["external_directory"] == "allow"
    assert config["permission"]["edit"] == "deny"
