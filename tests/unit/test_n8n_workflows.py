"""The workflows for n8n are complete, have no secret, and call existing routes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.openapi.operations import OPERATIONS

FOLDER = Path(__file__).parents[2] / "examples" / "n8n"
FILES = sorted(FOLDER.glob("*.json"))
CALL = re.compile(r"http://localhost:8000(/[^\s'\"?]*)")
#: An expression in an address, as a parameter of the path.
VALUE = re.compile(r"\{\{.*?\}\}")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text())
    assert found["id"] == request.param.stem
    return found


def test_all_nodes_are_connected(workflow: dict[str, Any]) -> None:
    names = {each["name"] for each in workflow["nodes"] if not each["type"].endswith("stickyNote")}
    targets = {
        link["node"]
        for outputs in workflow["connections"].values()
        for links in outputs["main"]
        for link in links
    }
    assert set(workflow["connections"]) | targets == names
    assert names - targets == {"Request"}, "a workflow starts with its request"


def test_every_call_exists(workflow: dict[str, Any]) -> None:
    known = {(each.method.upper(), re.sub(r"\{\w+\}", "X", each.path)) for each in OPERATIONS}
    calls = [
        (node["parameters"].get("method", "GET"), VALUE.sub("X", node["parameters"]["url"]))
        for node in workflow["nodes"]
        if node["type"].endswith(".httpRequest")
    ]
    own = [(method, CALL.search(url)) for method, url in calls if "localhost:8000" in url]
    assert own
    for method, found in own:
        assert found is not None
        paths = [found[1]]
        if paths[0].endswith("/X"):  # approve or reject
            paths = [f"{paths[0][:-1]}approve", f"{paths[0][:-1]}reject"]
        assert {(method, path) for path in paths} <= known


def test_credentials_are_names_only(workflow: dict[str, Any]) -> None:
    for node in workflow["nodes"]:
        for named in node.get("credentials", {}).values():
            assert set(named) == {"id", "name"}
    assert "X-API-Key: " not in json.dumps(workflow)
    assert workflow["pinData"] == {}
