"""A worker that uses ``orchestrator mcp`` over standard input, as AI tools do."""

import json
from pathlib import Path

import pytest
import requests

from tests.integration.site import HOLD, KEY, InProcess, shell, until

pytestmark = pytest.mark.usefixtures("spawning")

#: A client: starts a child job, waits for it, prints its result, and requests a foreign job.
DRIVER = r"""
import json, subprocess, sys

server = subprocess.Popen(["orchestrator", "mcp"], stdin=-1, stdout=-1)
number = 0


def ask(method, **params):
    global number
    number += 1
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())["result"]


def call(tool, **arguments):
    result = ask("tools/call", name=tool, arguments=arguments)
    text = result["content"][0]["text"]
    return text if result["isError"] else json.loads(text)


ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={})
tasks = [{"agent": "shell", "command": "echo from below"}]
child = call("orchestrate", request="below", tasks=tasks)
while (ended := call("wait", job_id=child["job_id"], timeout_seconds=5))["retry"]:
    pass
print("left", child["you_have_left"]["child_jobs"])
print("found", ended["results"][0]["worker_id"], ended["results"][0]["output"].strip())
print("other", call("status", job_id=sys.argv[1]))
server.stdin.close()
sys.exit(server.wait())
"""


def test_a_worker_starts_a_child_job_and_waits_for_it(site: InProcess, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    other = site.submit("other", [shell("true")])
    site.wait(other)

    ended = site.run("above", [shell(f"python3 {script} {other}")])

    [row] = ended["results"]["tasks"]
    assert (ended["status"], row["status"]) == ("completed", "recursive_success"), row
    assert "found worker_1_1 from below" in row["output"]
    assert "other not-found: " in row["output"]
    assert row["child_results"][0]["status"] == "success"


def mcp(site: InProcess, message: object, key: str) -> requests.Response:
    headers = {"X-API-Key": key}
    return requests.post(f"{site.url}/mcp", json=message, headers=headers, timeout=60)


def test_the_key_of_a_worker_is_confined_over_http(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    held = site.submit("hold", [shell(HOLD, env={"RELEASE": str(release)})])
    other = site.submit("other", [shell("sleep 60")])
    key = site.key_of(held)

    def tool(name: str, **arguments: object) -> str:
        params = {"name": name, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        response = mcp(site, message, key)
        return str(response.json()["result"]["content"][0]["text"])

    assert "not-found" in tool("cancel", job_id=other)
    child = json.loads(tool("orchestrate", request="x", tasks=[shell("sleep 60")]))["job_id"]
    assert [one["job_id"] for one in json.loads(tool("status"))["jobs"]] == [child]
    assert json.loads(tool("cancel", job_id=child))["job_id"] == child
    until(lambda: site.status(child)["status"] == "cancelled", "the child job is cancelled")
    assert site.status(other)["status"] in ("pending", "running")

    release.touch()
    site.wait(held)
    site.call("POST", f"/jobs/{other}/cancel")
    site.wait(other)
    assert mcp(site, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, key).status_code == 401


def test_the_open_question_of_a_child_job_is_named(site: InProcess, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"request": "below", "tasks": [{"id": "ok", "approve": "Go on?"}]}))
    job = site.submit("above", [shell(f"orchestrator spawn --plan {plan} --wait")])
    [need] = until(lambda: site.get("/needs")["needs"], "the child job asks")
    params = {"name": "wait", "arguments": {"job_id": job, "timeout_seconds": 0}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    answer = json.loads(mcp(site, message, KEY).json()["result"]["content"][0]["text"])

    [shown] = answer["needs"]
    assert (shown["text"], shown["command"]) == ("Go on?", need["command"])
    assert (shown["kind"], shown["job_id"], shown["task_id"]) == ("question", need["job_id"], "ok")
    site.call("POST", f"/jobs/{need['job_id']}/tasks/ok/approve", {})
    assert site.wait(job)["status"] == "completed"
