"""A worker that uses ``orchestrator mcp`` over standard input, as AI tools do."""

import json
from pathlib import Path

import pytest
import requests

from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until
from tests.support.project import Project, agents, edit

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


def called(site: InProcess, tool: str, **arguments: object) -> str:
    params = {"name": tool, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return str(mcp(site, message, KEY).json()["result"]["content"][0]["text"])


def conflict(make_site: MakeSite, folder: Path) -> tuple[InProcess, Project, str]:
    project = Project(folder / "project").begin({"a.txt": "one\ntwo\n", "b.txt": "b\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(folder))
    tasks = [edit("sed -i s/two/2/ a.txt"), edit("sed -i s/two/zwei/ a.txt; echo n > new.txt")]
    job = site.run("x", tasks, max_retries=0)["job_id"]
    return site, project, job


def test_a_conflict_is_merged_and_the_changes_are_read(make_site: MakeSite, tmp_path: Path) -> None:
    site, project, job = conflict(make_site, tmp_path)
    assert "-two\n+2" in called(site, "diff", job_id=job)
    of_worker = called(site, "diff", job_id=job, worker_id="worker_2", path="a.txt")
    assert "@@ -1,2 +1,2 @@" in of_worker and "new.txt" not in of_worker

    merged = json.loads(called(site, "merge", job_id=job, strategy="theirs"))

    assert merged["merged"] is True, merged
    assert any(each.startswith("Merged into branch") for each in merged["changes"]), merged
    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\nzwei"
    assert "added new.txt (+1 -0)" in called(site, "diff", job_id=job)


def test_a_worker_is_excluded_from_the_result(make_site: MakeSite, tmp_path: Path) -> None:
    site, project, job = conflict(make_site, tmp_path)

    assert "no worker or child job 'worker_9'; known: worker_1, worker_2" in called(
        site, "merge", job_id=job, include=["worker_9"]
    )
    called(site, "merge", job_id=job, exclude=["worker_1"])

    assert project.show(f"orchestrator/{job}/result", "a.txt") == "one\nzwei"


def test_a_large_change_is_listed_and_read_file_by_file(
    make_site: MakeSite, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    site = make_site(orchestrator={"project_root": str(project.path)}, agents=agents(tmp_path))
    script = "mkdir d; for i in $(seq 300); do seq 300 > d/$i.txt; done; seq 900 > z.txt"
    job = site.run("x", [edit(script)])["job_id"]

    text = called(site, "diff", job_id=job)

    assert len(text) < 30_000
    assert text.startswith("301 files changed, +90900 -0\n")
    assert "251 more files" in text
    assert "\n+900" in called(site, "diff", job_id=job, path="z.txt")
    assert called(site, "diff", job_id=job, path="d").startswith("300 files changed")
    assert called(site, "diff", job_id=job, path="e").startswith("no changed file at 'e'")
