"""A user's additions to a tool reach workers only if `agents.NAME.inherit` names them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agents.model_api import ModelApi, Script, Turn, naming
from tests.agents.real.capabilities import CAPABILITIES, INHERITED, each_with
from tests.agents.real.conftest import a_site
from tests.agents.real.site import Site
from tests.agents.real.tools import MODELS, TOOLS, installed

pytestmark = pytest.mark.nightly

#: Sets in which each kind is inherited with another kind, and without it.
SETS = {1: ("mcp", "skills"), 2: ("mcp", "hooks"), 3: ("skills", "memory")}
WITHOUT_HOOKS = [name for name, cell in CAPABILITIES[INHERITED].items() if cell == "no hooks"]
SERVER = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    answer = {
        "initialize": lambda: {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "weather", "version": "1"},
        },
        "tools/list": lambda: {
            "tools": [{"name": "users_weather", "inputSchema": {"type": "object"}}]
        },
    }.get(asked["method"], dict)
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer()}), flush=True)
"""
MEMORY, SKILL, TOOL = "of-the-users-memory", "of-the-users-skill", "users_weather"


def write_home(home: Path) -> None:
    """Write the settings that a user of all four tools may have. Settings named ``orchestrator``
    must have no effect.
    """
    (home / "server.py").write_text(SERVER)
    server = {"command": sys.executable, "args": [str(home / "server.py")]}
    servers = {"weather": server, "orchestrator": {"command": "false"}}
    local = {
        name: {"type": "local", "command": [each["command"], *each.get("args", [])]}
        for name, each in servers.items()
    }
    toml = "".join(
        f"[mcp_servers.{name}]\ncommand = {json.dumps(each['command'])}\n"
        f"args = {json.dumps(each.get('args', []))}\n"
        for name, each in servers.items()
    )
    for path, text in {
        # ``claude mcp add`` registers a server for one project.
        ".claude.json": json.dumps(
            {
                "mcpServers": {"orchestrator": servers["orchestrator"]},
                "projects": {str(home.parent): {"mcpServers": {"weather": server}}},
            }
        ),
        ".claude/settings.json": json.dumps({"hooks": hooks(home, "claude", "UserPromptSubmit")}),
        ".claude/CLAUDE.md": MEMORY,
        ".codex/config.toml": toml,
        ".codex/hooks.json": json.dumps({"hooks": hooks(home, "codex", "UserPromptSubmit")}),
        ".codex/AGENTS.md": MEMORY,
        ".gemini/settings.json": json.dumps(
            {"mcpServers": servers, "hooks": hooks(home, "gemini", "BeforeAgent")}
        ),
        ".gemini/GEMINI.md": MEMORY,
        ".config/opencode/opencode.json": json.dumps({"mcp": local}),
        ".config/opencode/AGENTS.md": MEMORY,
        # Files that opencode and codex read from the home directory itself.
        ".opencode/opencode.json": json.dumps({"mcp": {"second": local["weather"]}}),
        **{
            f"{place}/skills/{place.strip('.').replace('/', '-')}/SKILL.md": skill(place)
            for place in (".claude", ".codex", ".gemini", ".config/opencode", ".agents")
        },
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)


def skill(place: str) -> str:
    name = place.strip(".").replace("/", "-")
    return f"---\nname: {name}\ndescription: {SKILL} {name}\n---\nA body.\n"


def hooks(home: Path, tool: str, event: str) -> Mapping[str, Any]:
    command = {"type": "command", "command": f"touch '{home}/hook-of-{tool}'"}
    return {event: [{"hooks": [command]}]}


def trust_codex_hooks(home: Path) -> None:
    """Trust the hooks as a user does in codex, because codex runs no other hooks."""
    requests = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "hooks/list", "params": {"cwds": [str(home)]}},
    ]
    with subprocess.Popen(
        [str(installed("codex")), "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write("".join(f"{json.dumps(each)}\n" for each in requests))
        server.stdin.flush()
        answer = next(each for each in map(json.loads, server.stdout) if each.get("id") == 2)
        server.terminate()
    with (home / ".codex" / "config.toml").open("a") as config:
        for hook in answer["result"]["data"][0]["hooks"]:
            config.write(f'[hooks.state."{hook["key"]}"]\ntrusted_hash = "{hook["currentHash"]}"\n')


@pytest.fixture(scope="module")
def sites(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Site]]:
    with ExitStack() as stack:
        found = {}
        for number, kinds in SETS.items():
            agents = {
                name: {"model": MODELS.get(name, ""), "inherit": kinds_of(name, kinds)}
                for name in TOOLS
            }
            project = tmp_path_factory.mktemp("host project")
            found[number] = stack.enter_context(a_site(api, project, {"agents": agents}))
            write_home(project / "home")
            trust_codex_hooks(project / "home")
        yield found


def kinds_of(agent: str, kinds: tuple[str, ...]) -> list[str]:
    return [kind for kind in kinds if kind != "hooks" or agent not in WITHOUT_HOOKS]


@each_with(INHERITED)
def test_a_worker_has_what_it_inherits_and_nothing_else(sites: dict[int, Site], agent: str) -> None:
    for number, site in sites.items():
        script = f"{agent}-inherits-{number}"
        job = site.run(agent, script, Script.of(Turn("RESULT done")), title="A task")

        assert job["status"] == "completed", site.log(site.only(job))
        kinds = kinds_of(agent, SETS[number])
        requests = json.dumps([each.body for each in site.api.calls if each.script == script])
        hook = site.server.project / "home" / f"hook-of-{agent}"
        inherited = {
            "mcp": TOOL in requests,
            "skills": SKILL in requests,
            "hooks": hook.exists(),
            "memory": MEMORY in requests,
        }
        assert inherited == {kind: kind in kinds for kind in inherited}, kinds
        # The product's MCP server, although the user has a server of the same name.
        [*_, first] = [each for each in site.api.calls if each.script == script]
        names = [tool.name for tool in naming.offered_tools(first.body)]
        assert any(name.endswith("orchestrate") for name in names), names
        [answer] = [each for each in site.client.agents()["agents"] if each["name"] == agent]
        assert answer["inherit"] == kinds
