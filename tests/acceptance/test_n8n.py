"""The workflows and the nodes for n8n, in a real n8n with a real server.

``tests/tools/install_n8n.sh DIR`` installs n8n (4 GB). ``ORCHESTRATOR_TEST_N8N=DIR`` names
this directory to the tests.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.site import KEY, ServerProcess, until
from tests.support.project import Project

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "n8n"
WORKFLOWS = ("submit-and-wait", "person-in-the-loop", "progress-in-chat", "several-jobs")
SECONDS = 240.0
SECRET = base64.b64encode(b"a secret of thirty-two bytes....").decode()
WRITER = "import sys; sys.stdin.read(); print('written')"


def installed() -> Path:
    place = os.environ.get("ORCHESTRATOR_TEST_N8N", "")
    if not place:
        pytest.skip(
            "n8n is not installed: tests/tools/install_n8n.sh DIR, ORCHESTRATOR_TEST_N8N=DIR"
        )
    return Path(place).absolute()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Chat:
    """A chat server that records the messages that it gets."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://localhost:{self.server.server_port}"

    def texts(self, path: str) -> list[str]:
        return [str(body["text"]) for place, body in self.messages if place == path]


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    chat = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat.messages.append((self.path, body))
            answer = json.dumps({"ok": True, "channel": body.get("channel"), "ts": "17.1"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None: ...

    chat.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=chat.server.serve_forever, daemon=True).start()
    yield chat
    chat.server.shutdown()
    chat.server.server_close()


@dataclass
class N8n:
    """A running n8n with the product's workflows and nodes."""

    place: Path
    home: Path
    port: int
    nodes: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "N8N_USER_FOLDER": str(self.home),
            "N8N_PORT": str(self.port),
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_WEBHOOK_URL": f"{self.url}/",
            "N8N_ENCRYPTION_KEY": "a-key-for-tests-only",
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_PERSONALIZATION_ENABLED": "false",
            "N8N_CUSTOM_EXTENSIONS": str(self.nodes),
        }

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [self.place / "n8n/node_modules/.bin/n8n", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def post(self, path: str, body: Any, **more: Any) -> requests.Response:
        return requests.post(f"{self.url}/webhook/{path}", json=body, timeout=SECONDS, **more)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nodes, which n8n's own tool builds and lints."""
    place, folder = installed(), tmp_path_factory.mktemp("package")
    shutil.copytree(EXAMPLES / "node", folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(place / "package" / "node_modules")
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for command in ("build", "lint"):
        done = subprocess.run(
            [folder / "node_modules/.bin/n8n-node", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    project = Project(folder / "project").begin({"README.md": "one\n"})
    server = ServerProcess(
        folder,
        {
            "orchestrator": {"project_root": str(project.path)},
            "workers": {"agent": "writer"},
            "agents": {"writer": {"command": [sys.executable, "-c", WRITER]}},
            "webhooks": {"allow_hosts": ["localhost"], "callback_secret": SECRET},
        },
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def n8n(
    server: ServerProcess, chat: Chat, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[N8n]:
    home = tmp_path_factory.mktemp("n8n")
    found = N8n(place=installed(), home=home, port=free_port(), nodes=package)
    (home / "workflows").mkdir()
    for name in WORKFLOWS:
        text = (EXAMPLES / f"{name}.json").read_text()
        text = text.replace("http://localhost:8000", server.url)
        text = re.sub(r"https://(slack\.com|chat\.example\.com)", chat.url, text)
        place(home, json.loads(text))
    place(home, with_our_nodes(found.url, chat.url))
    headers = {"orchestrator-key": ("X-API-Key", KEY), "chat-token": ("Authorization", "Bearer x")}
    credentials: list[dict[str, Any]] = [
        {"id": id, "name": id, "type": "httpHeaderAuth", "data": {"name": name, "value": value}}
        for id, (name, value) in headers.items()
    ]
    data = {"url": server.url, "apiKey": KEY, "webhookSecret": SECRET}
    credentials.append({"id": "ours", "name": "ours", "type": "orchestratorApi", "data": data})
    (home / "credentials.json").write_text(json.dumps(credentials))
    found.run("import:credentials", f"--input={home / 'credentials.json'}")
    found.run("import:workflow", "--separate", f"--input={home / 'workflows'}")
    for id in (*WORKFLOWS, "our-nodes"):
        found.run("publish:workflow", f"--id={id}")
    log = (home / "n8n.log").open("wb")
    process = subprocess.Popen(
        [found.place / "n8n/node_modules/.bin/n8n", "start"],
        env=found.environment(),
        stdout=log,
        stderr=log,
    )

    def ready() -> bool:
        assert process.poll() is None, (home / "n8n.log").read_text()
        try:
            # An active workflow and a missing workflow answer an unknown GET differently.
            answer = requests.get(f"{found.url}/webhook/several", timeout=5)
        except requests.RequestException:
            return False
        return "not registered for GET" in answer.text

    try:
        until(ready, "n8n is ready", SECONDS)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
        log.close()


def place(home: Path, workflow: Mapping[str, Any]) -> None:
    (home / "workflows" / f"{workflow['id']}.json").write_text(json.dumps(workflow))


def with_our_nodes(n8n: str, chat: str) -> dict[str, Any]:
    """Submit, status, wait, and results by the product's n8n node. Its trigger posts to the
    chat.
    """
    ours = {"orchestratorApi": {"id": "ours", "name": "ours"}}

    def node(name: str, **parameters: Any) -> dict[str, Any]:
        return {
            "id": name,
            "name": name,
            "type": "CUSTOM.orchestrator",
            "typeVersion": 1,
            "position": [0, 0],
            "parameters": {"operation": name, **parameters},
            "credentials": ours,
        }

    hook = {
        "id": "hook",
        "name": "hook",
        "type": "n8n-nodes-base.webhook",
        "typeVersion": 2,
        "position": [0, 0],
        "webhookId": "nodes",
        "parameters": {"httpMethod": "POST", "path": "nodes", "responseMode": "lastNode"},
    }
    options = {
        "config": '{"agent": "writer"}',
        "idempotencyKey": "={{ $execution.id }}",
        "callbackUrl": f"{n8n}/webhook/ended/orchestrator",
    }
    job = "={{ $('submit').item.json.job_id }}"
    names = ["hook", "submit", "status", "wait", "results"]
    trigger = {
        "id": "trigger",
        "name": "trigger",
        "type": "CUSTOM.orchestratorTrigger",
        "typeVersion": 1,
        "position": [0, 0],
        "webhookId": "ended",
        "parameters": {"events": ["job.ended"], "statuses": ["completed"]},
        "credentials": ours,
    }
    report = {
        "id": "report",
        "name": "report",
        "type": "n8n-nodes-base.httpRequest",
        "typeVersion": 4.2,
        "position": [0, 0],
        "parameters": {
            "method": "POST",
            "url": f"{chat}/ended",
            "sendBody": True,
            "specifyBody": "json",
            "jsonBody": "={{ { text: `${$json.type} ${$json.job_id} ${$json.status}` } }}",
        },
    }
    return {
        "id": "our-nodes",
        "name": "our nodes",
        "active": False,
        "nodes": [
            hook,
            node("submit", request="={{ $json.body.request }}", options=options),
            *(node(name, jobId=job) for name in names[2:]),
            trigger,
            report,
        ],
        "connections": {
            name: {"main": [[{"node": after, "type": "main", "index": 0}]]}
            for name, after in (*pairwise(names), ("trigger", "report"))
        },
        "settings": {"executionOrder": "v1"},
    }


def test_a_workflow_waits_for_the_callback_of_a_job(n8n: N8n) -> None:
    answer = n8n.post("orchestrate", {"request": "Write it", "config": {"agent": "writer"}})
    assert answer.status_code == 200, answer.text
    assert "written" in answer.text


def page(address: str) -> str:
    try:
        return requests.get(address, timeout=5).text
    except requests.Timeout:
        return ""


def test_a_person_approves_a_plan_in_a_form(n8n: N8n, chat: Chat, server: ServerProcess) -> None:
    tasks = [{"title": "Write it", "prompt": "Write it", "agent": "writer"}]
    n8n.post("plan-and-approve", {"request": "Write it", "tasks": tasks})
    place = "/hooks/your-hook"
    until(lambda: len(chat.texts(place)) == 1, "the person is notified", SECONDS)
    [text] = chat.texts(place)
    assert text.startswith("A plan waits for you (1 tasks): ")
    form = text.rpartition(" ")[2]
    # n8n answers only after it has stored that the workflow waits.
    until(lambda: "Write it" in page(form), "the form is there", SECONDS)
    sent = {"field-0": (None, "approve"), "field-1": (None, "go on")}
    assert requests.post(form, files=sent, timeout=SECONDS).status_code == 200
    until(lambda: len(chat.texts(place)) == 2, "the result is sent", SECONDS)
    assert " is completed." in chat.texts(place)[1]


def test_progress_is_edited_in_place(n8n: N8n, chat: Chat) -> None:
    n8n.post("progress", {"request": "Write it", "channel": "C1", "config": {"agent": "writer"}})
    edited = "/api/chat.update"
    until(
        lambda: any("is completed" in e for e in chat.texts(edited)), "the end is reported", SECONDS
    )
    assert len(chat.texts("/api/chat.postMessage")) == 1
    assert {body["ts"] for path, body in chat.messages if path == edited} == {"17.1"}
    assert chat.texts(edited)[-1].endswith("is completed: 1 success")


def test_several_jobs_become_one_result(n8n: N8n) -> None:
    body = {"requests": ["Write one", "Write two", "Write three"], "config": {"agent": "writer"}}
    answer = n8n.post("several", body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["completed"] == 3
    assert len({job["job_id"] for job in found["jobs"]}) == 3


def test_our_nodes_submit_and_wait_and_our_trigger_starts(n8n: N8n, chat: Chat) -> None:
    answer = n8n.post("nodes", {"request": "Write it"})
    assert answer.status_code == 200, answer.text
    assert "written" in answer.text
    until(lambda: chat.texts("/ended"), "the trigger has started", SECONDS)
    [text] = chat.texts("/ended")
    assert text.startswith("job.ended ") and text.endswith(" completed")


def test_our_trigger_refuses_a_wrong_signature(n8n: N8n) -> None:
    now = str(int(time.time()))
    headers = {"webhook-id": "1", "webhook-timestamp": now, "webhook-signature": "v1,AAAA"}
    answer = n8n.post("ended/orchestrator", {"type": "job.ended"}, headers=headers)
    assert answer.status_code == 401, answer.text
