"""Availability of agents on this machine, and the agent that ``auto`` selects."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from orchestrator.agents.agent_registry import AgentRegistry, built_in
from orchestrator.agents.ai_tools.commands import call_for
from orchestrator.agents.ai_tools.readers import reader
from orchestrator.agents.availability.local_availability import (
    FRESH_SECONDS,
    MISSING_SECONDS,
    AvailabilityCache,
    credential_fingerprint,
    installed_version,
    local_url,
    tool_availability,
)
from orchestrator.config.settings import Orchestrator
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.known_agents import (
    ANTHROPIC,
    CLAUDE,
    CODEX,
    GEMINI,
    KNOWN,
    OLLAMA,
    OPENCODE,
    PROGRAMS,
)
from orchestrator.core.model.known_agents import KnownTool as Agent
from orchestrator.core.ports.agent_availability import Availability


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which every program exists, and no agent is logged in."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for each in KNOWN:
        if each.program:
            (bin / each.program).write_text("#!/bin/sh\n")
            (bin / each.program).chmod(0o755)
    return {"PATH": str(bin), "HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:9"}


def availability_of(agent: Agent, environ: dict[str, str]) -> Availability:
    return tool_availability(agent, agent.program, environ)


@pytest.mark.parametrize(
    ("besides", "usable"),
    [
        ({}, False),
        ({"AWS_CA_BUNDLE": "/ca.pem"}, False),
        ({"AWS_PROFILE": "work"}, True),
        ({"AWS_REGION": "eu-west-1"}, True),
        ({"AWS_PROFILE": "work", "CLAUDE_CODE_USE_BEDROCK": "0"}, False),
    ],
)
def test_a_variable_that_only_chooses_a_service_is_no_login(
    environ: dict[str, str], besides: dict[str, str], usable: bool
) -> None:
    environ |= {"CLAUDE_CODE_USE_BEDROCK": "1", **besides}

    assert availability_of(CLAUDE, environ).usable is usable


def test_a_login_file_of_the_chosen_service_is_enough(environ: dict[str, str]) -> None:
    environ["CLAUDE_CODE_USE_BEDROCK"] = "1"
    file = Path(environ["HOME"], ".aws", "credentials")
    file.parent.mkdir()
    file.write_text("[default]\naws_access_key_id = x\n")

    assert availability_of(CLAUDE, environ).credential == "CLAUDE_CODE_USE_BEDROCK"


def test_a_program_without_a_credential_is_not_usable(environ: dict[str, str]) -> None:
    found = availability_of(CLAUDE, environ)

    assert found.installed and not found.usable
    assert found.hindrance == (
        "no credentials found; to fix: run claude /login, or set ANTHROPIC_API_KEY"
    )


def test_a_missing_program_is_named_with_the_command_that_installs_it() -> None:
    availability = tool_availability(CODEX, "codex", {"OPENAI_API_KEY": "k", "PATH": "/nowhere"})

    assert not availability.installed and availability.authenticated
    assert (
        availability.hindrance == "command 'codex' not found; to fix: npm install -g @openai/codex"
    )


@pytest.mark.parametrize("command", ["/nowhere/claude", "claude 'x"])
def test_a_wrong_command_in_the_settings_is_named(command: str) -> None:
    found = tool_availability(CLAUDE, command, {"ANTHROPIC_API_KEY": "k"})

    assert found.hindrance == (
        f"command {command!r} not found; to fix: correct orchestrator.claude_command in config.yaml"
    )


@pytest.mark.parametrize(
    ("agent", "variable"),
    [(each, name) for each in KNOWN for name in each.credentials if name not in each.services],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_variable_is_a_credential(environ: dict[str, str], agent: Agent, variable: str) -> None:
    assert not availability_of(agent, environ).usable
    assert not availability_of(agent, {**environ, variable: ""}).usable

    found = availability_of(agent, {**environ, variable: "x"})

    assert found.usable and found.credential == variable


@pytest.mark.parametrize(
    ("agent", "path", "more"),
    [
        (CLAUDE, ".claude/.credentials.json", {}),
        (CLAUDE, "own/.credentials.json", {"CLAUDE_CONFIG_DIR": "own"}),
        (CODEX, ".codex/auth.json", {}),
        (CODEX, "own/auth.json", {"CODEX_HOME": "own"}),
        (GEMINI, ".gemini/oauth_creds.json", {}),
        (OPENCODE, ".local/share/opencode/auth.json", {}),
    ],
)
def test_a_login_of_the_user_is_a_credential(
    environ: dict[str, str], tmp_path: Path, agent: Agent, path: str, more: dict[str, str]
) -> None:
    variables = {**environ, **{name: str(tmp_path / value) for name, value in more.items()}}
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("{}")
    assert not availability_of(agent, variables).usable  # an empty file is no login

    (tmp_path / path).write_text('{"token": "x"}')

    assert availability_of(agent, variables).usable


@pytest.fixture
def ollama() -> Iterator[str]:
    class Tags(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"models": [{"name": "m:latest"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Tags) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_ollama_is_usable_where_it_answers(environ: dict[str, str], ollama: str) -> None:
    assert not availability_of(OLLAMA, environ).usable
    assert availability_of(OLLAMA, {**environ, "OLLAMA_HOST": ollama}).usable
    for wrong in ("localhost:port", "[::1", "a b"):
        assert not availability_of(OLLAMA, {**environ, "OLLAMA_HOST": wrong}).usable


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("host:1", "http://host:1"),
        ("http://host:1/", "http://host:1"),
        ("0.0.0.0:5", "http://127.0.0.1:5"),
    ],
)
def test_the_address_of_ollama_comes_from_its_own_variable(host: str, url: str) -> None:
    assert local_url(OLLAMA, {"OLLAMA_HOST": host}) == url


def test_a_version_is_read_from_the_package_of_npm(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "@anthropic-ai" / "claude-code"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text('{"version": "2.1.0"}')
    (package / "bin" / "claude").touch()
    (tmp_path / "claude").symlink_to(package / "bin" / "claude")

    assert installed_version(str(tmp_path / "claude")) == "2.1.0"
    assert installed_version("/bin/sh") == ""


@pytest.mark.parametrize(
    ("installed", "kept_seconds"), [(True, FRESH_SECONDS), (False, MISSING_SECONDS)]
)
def test_an_agent_is_checked_at_intervals_and_sooner_if_something_is_missing(
    installed: bool, kept_seconds: float
) -> None:
    clock, looks = [0.0], []

    def look_once() -> Availability:
        looks.append(clock[0])
        return Availability(name="a", description="", installed=installed)

    fresh = AvailabilityCache(look_once, lambda: clock[0])
    for second in (0.0, kept_seconds - 1, kept_seconds + 1, kept_seconds + 2):
        clock[0] = second
        fresh()

    assert looks == [0.0, kept_seconds + 1]


def test_a_credential_shows_that_its_file_has_changed(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    login = tmp_path / ".claude" / ".credentials.json"
    availability_of = {credential_fingerprint(CLAUDE, environ)}
    login.parent.mkdir()
    for text in ("{}", '{"token": "new"}'):
        login.write_text(text)
        availability_of.add(credential_fingerprint(CLAUDE, environ))

    assert len(availability_of) == 3
    assert credential_fingerprint(CLAUDE, environ) in availability_of
    assert credential_fingerprint(OLLAMA, environ) == ""


# Auto


def registry(usable: set[str], preferred: str = "auto") -> AgentRegistry:
    def look_at(name: str) -> Availability:
        return Availability(name=name, description="", authenticated=name in usable)

    class AgentStub:
        def __init__(self, name: str) -> None:
            self.name = name

    looks = {each.name: (lambda name=each.name: look_at(name)) for each in KNOWN}
    agents = [*built_in(), *(AgentStub(each.name) for each in KNOWN)]
    return AgentRegistry(agents, preferred, looks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("usable", "best"),
    [
        (set(), "survey"),
        ({"claude", "codex"}, "claude"),
        ({"codex", "gemini"}, "codex"),
        ({"opencode", "anthropic"}, "opencode"),
        ({"aider", "ollama"}, "ollama"),
        ({"aider"}, "aider"),
    ],
)
def test_auto_is_the_best_usable_agent(usable: set[str], best: str) -> None:
    assert registry(usable).resolve("auto", TaskSpec(id="a")) == best


def test_auto_is_the_shell_for_a_command() -> None:
    assert registry({"claude"}).resolve("auto", TaskSpec(id="a", command="true")) == "shell"


def test_the_agent_of_the_settings_precedes_a_usable_one() -> None:
    assert registry({"claude"}, "survey").resolve("auto", TaskSpec(id="a")) == "survey"


# Values derived from the list


def test_every_program_has_a_setting_for_its_command() -> None:
    settings = {f"{each.name}_command": f"my-{each.program}" for each in PROGRAMS}
    mine = Orchestrator.model_validate(settings)
    for each in PROGRAMS:
        assert Orchestrator().command_of(each) == each.program
        assert mine.command_of(each) == f"my-{each.program}"
    assert mine.command_of(ANTHROPIC) == ""


@pytest.mark.parametrize("known", PROGRAMS, ids=lambda each: each.name)
def test_every_program_is_called_and_read_by_modules_of_its_name(known: Agent) -> None:
    assert call_for(known.name).__module__.endswith(f".commands.{known.name}")
    assert type(reader(known.name)).__module__.endswith(f".readers.{known.name}")
