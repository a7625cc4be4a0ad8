"""The pages and manifests for AI tools agree with the product; links: test_doc_pages.py."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import __version__
from orchestrator.api.mcp.protocol import HANDSHAKE, STATELESS
from orchestrator.api.mcp.tool_table import BY_NAME
from orchestrator.cli.output.exit_codes import ExitCode

FOLDER = Path(__file__).resolve().parents[2]
SKILL = FOLDER / "skills" / "orchestrate" / "SKILL.md"
AGENTS, LLMS, MCP = FOLDER / "AGENTS.md", FOLDER / "llms.txt", FOLDER / "docs" / "mcp.md"
ids = {"ids": lambda page: page.name}


@pytest.mark.parametrize("page", [SKILL, AGENTS], **ids)
def test_exit_codes_are_all_there(page: Path) -> None:
    written = re.search(r"Exit codes: (.*?)\.(?:\s)", page.read_text("utf-8"), re.DOTALL)

    assert written is not None
    assert {int(number) for number in re.findall(r"\d+", written[1])} == {int(c) for c in ExitCode}


def test_the_skill_is_as_clients_expect_it() -> None:
    _, front, body = SKILL.read_text("utf-8").split("---\n", 2)
    known = yaml.safe_load(front)

    assert set(known) == {"name", "description"}
    assert known["name"] == SKILL.parent.name
    assert len(known["description"]) <= 1024 and "Use when" in known["description"]
    assert len(body.splitlines()) < 100
    [plan] = re.findall(r"```yaml\n(.*?)```", body, re.DOTALL)
    assert {"request", "config", "tasks"} == set(yaml.safe_load(plan))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return found


def test_the_manifests_agree() -> None:
    vendor_neutral, claude, servers = (
        read("plugin.json"),
        read(".claude-plugin/plugin.json"),
        read("mcp.json"),
    )

    assert set(vendor_neutral) <= {
        *("$schema", "name", "version", "description", "author", "homepage", "repository"),
        *("license", "keywords", "extensions"),
    }
    for name in ("name", "version", "description", "license", "keywords"):
        assert vendor_neutral[name] == claude[name]
    assert vendor_neutral["version"] == __version__
    base = "https://agent-plugins.org/schemas/1.0.0"
    assert vendor_neutral["$schema"] == f"{base}/plugin.schema.json"
    assert servers["$schema"] == f"{base}/mcp.schema.json"
    [one], [other] = servers["mcpServers"].values(), claude["mcpServers"].values()
    assert one == {"type": "stdio", "command": "./bin/orchestrator", "args": ["mcp"]}
    assert other == {"command": "${CLAUDE_PLUGIN_ROOT}/bin/orchestrator", "args": ["mcp"]}
    assert (FOLDER / one["command"]).is_file()


def test_the_page_on_mcp_names_every_tool_and_both_revisions() -> None:
    text = MCP.read_text("utf-8")

    table = text.split("\n## Tools\n\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)", table, re.MULTILINE)
    assert {name for name, _ in rows} == set(BY_NAME)
    for name, arguments in rows:
        names = set(re.findall(r"`(\w+)`", arguments))
        assert names == set(BY_NAME[name].arguments.model_fields), name
    assert STATELESS[0] in text and HANDSHAKE[0] in text


def test_the_configurations_on_the_page_can_be_read() -> None:
    text = MCP.read_text("utf-8")
    texts = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    [codex] = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)

    found = [json.loads(one) for one in texts]
    assert len(found) == 4
    assert tomllib.loads(codex)["mcp_servers"]["orchestrator"]["args"] == ["mcp"]
    for one in found:
        [(name, server)] = (one.get("mcpServers") or one["mcp"]).items()
        assert name == "orchestrator"
        assert "mcp" in (server.get("args") or server.get("command") or server["url"].split("/"))
