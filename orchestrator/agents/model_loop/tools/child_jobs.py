"""The tools for child jobs, which AI tools also get through MCP.

The loop runs ``orchestrator mcp``, and passes the model's tool calls to this command. The command
retries calls while the server restarts, and answers each call within a limited time.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from orchestrator.agents.model_loop.tools.tool import Tool, Unusable
from orchestrator.core.text import json_values


class McpServerProcess:
    """An MCP server in another process, called over its standard input and output."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._serial = 0

    def tools(self) -> list[Tool]:
        """Return the server's tools. Raise Unusable if the server does not answer."""
        descriptions = json_values.sequence(self._ask("tools/list", {}).get("tools"))
        return [self._tool(json_values.mapping(each)) for each in descriptions]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _tool(self, description: Mapping[str, Any]) -> Tool:
        schema = json_values.mapping(description, "inputSchema")
        properties = json_values.mapping(schema, "properties")
        name = json_values.text(description, "name")
        return Tool(
            name=name,
            description=json_values.text(description, "description"),
            properties={each: json_values.mapping(value) for each, value in properties.items()},
            required=tuple(map(str, json_values.sequence(schema, "required"))),
            use=partial(self._use, name),
            main="request" if "request" in properties else "job_id",
            slow=True,
        )

    def _use(self, name: str, arguments: Mapping[str, Any]) -> str:
        result = self._ask("tools/call", {"name": name, "arguments": dict(arguments)})
        parts = map(json_values.mapping, json_values.sequence(result, "content"))
        sentence = "\n".join(json_values.text(part, "text") for part in parts)
        if result.get("isError"):
            raise Unusable(sentence)
        return sentence

    def _ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self._serial += 1
        message = {"jsonrpc": "2.0", "id": self._serial, "method": method, "params": params}
        try:
            answer = self._answer(json.dumps(message))
        except (OSError, ValueError) as error:
            raise Unusable(f"cannot start child jobs: {error}") from error
        if "result" not in answer:
            raise Unusable(json_values.text(answer, "error", "message"))
        return json_values.mapping(answer["result"])

    def _answer(self, message: str) -> Mapping[str, Any]:
        """Send a message, and return its answer.

        Raise OSError or ValueError if the MCP server has exited, or if its output is not JSON.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{message}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json_values.mapping(json.loads(line))
            if answer.get("id") == self._serial:
                return answer
        raise ValueError("the MCP server of orchestrator has exited; do the work yourself")
