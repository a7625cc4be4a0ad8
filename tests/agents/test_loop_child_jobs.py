"""Built-in loops start child jobs with the tools of the Model Context Protocol."""

import json
import sys

import pytest

from orchestrator.agents.activity.agent_events import ToolEvent
from tests.agents.conftest import Loop
from tests.agents.model_api import Call, ModelApi, Script, Turn

SERVER = """\
import json, sys
for line in sys.stdin:
    call = json.loads(line)
    args = call["params"].get("arguments")
    schema = {"type": "object", "properties": {"request": {"type": "string"}}}
    tools = [{"name": "orchestrate", "description": "Starts it", "inputSchema": schema}]
    content = [{"type": "text", "text": f"started {args}"}]
    result = {"content": content, "isError": not args} if args is not None else {"tools": tools}
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message"}), flush=True)
    print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}), flush=True)
"""


def test_child_jobs_are_started_by_the_tools_of_the_protocol(
    each_loop: Loop, api: ModelApi
) -> None:
    calls = (Call("orchestrate", {"request": "parts"}), Call("orchestrate", {}))
    script = Script.of(Turn(calls=calls), Turn("Both asked for"))
    outcome = each_loop.run(script, child_jobs=(sys.executable, "-c", SERVER), policy="edit")

    assert outcome.succeeded
    assert [did.summary for did in each_loop.seen(ToolEvent)] == ["parts", ""]
    assert "started {'request': 'parts'}" in json.dumps(api.calls[1].body["messages"])


@pytest.mark.parametrize("command", [("/nonexistent/orchestrator", "mcp"), ("true",)])
def test_without_the_mcp_server_the_agent_works_alone(
    each_loop: Loop, command: tuple[str, ...]
) -> None:
    assert each_loop.run(Script.of(Turn("Done alone")), child_jobs=command).succeeded
