"""``orchestrator mcp`` as a process, and the messages that tests send it."""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import orchestrator
from tests.unit.api.fake_service import KEY, FakeService

PRODUCT = Path(orchestrator.__file__).parents[1]
COMMAND = [sys.executable, "-S", "-P", "-m", "orchestrator.api.mcp.stdio"]
Answer = dict[str, Any]


def environment(url: str, **more: str) -> dict[str, str]:
    known = {"ORCHESTRATOR_API_URL": url, "ORCHESTRATOR_API_KEY": KEY}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(PRODUCT), **known, **more}


class Stdio:
    """A process of ``orchestrator mcp``, to which a test sends lines."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            COMMAND, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def send(self, line: bytes | Answer) -> None:
        raw = line if isinstance(line, bytes) else json.dumps(line).encode()
        assert self.process.stdin
        self.process.stdin.write(raw + b"\n")
        self.process.stdin.flush()

    def answer(self, within: float = 60.0) -> Answer:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], within)
        assert ready, f"no answer within {within} s"
        found: Answer = json.loads(self.process.stdout.readline())
        return found

    def ask(self, line: bytes | Answer) -> Answer:
        self.send(line)
        return self.answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # nothing reads the remaining buffered output
                pipe and pipe.close()


def call(tool: str, request_id: int = 1, **arguments: Any) -> Answer:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


def ping(request_id: int) -> Answer:
    return {"jsonrpc": "2.0", "id": request_id, "method": "ping"}


def text_of(answer: Answer, *, is_error: bool = False) -> str:
    assert answer["result"]["isError"] is is_error, answer
    return str(answer["result"]["content"][0]["text"])


def finish(service: FakeService, job: Any) -> None:
    """End the job with success."""
    service.finish(service.workers_of(job)[0], "all done")
    service.end(job)
