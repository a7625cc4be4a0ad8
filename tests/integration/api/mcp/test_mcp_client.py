"""The official client of the Model Context Protocol, over both transports and in both revisions."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import requests
from flask import Flask

from orchestrator.api.http_server.app import close_app
from orchestrator.api.http_server.waitress_server import HttpServer
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.core.model.submission import Submission
from tests.integration.api.conftest import THREADS, eventually
from tests.integration.api.mcp_stdio import COMMAND, call, environment, finish, ping, text_of
from tests.support.loops import run_loop
from tests.unit.api.fake_service import KEY, SUBMIT_KEY, FakeService

FOR_WORKERS = ["orchestrate", "status", "wait", "cancel", "result", "logs", "report", "diff"]
FOR_PEOPLE = [
    *("feedback", "retry", "merge", "choose", "answer", "pause", "resume", "budget"),
    *("message", "land", "undo"),
]


async def by_stdio(
    url: str, mode: str, use: Callable[[Any], Awaitable[None]], key: str = KEY
) -> None:
    # Loading this module takes a second, and only these tests need it.
    from mcp import Client, StdioServerParameters, stdio_client

    environ = environment(url, ORCHESTRATOR_API_KEY=key)
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environ, cwd="/")
    async with Client(stdio_client(parameters), mode=mode) as client:  # type: ignore[arg-type]
        await use(client)


async def by_http(
    url: str, mode: str, use: Callable[[Any], Awaitable[None]], key: str = KEY
) -> None:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with create_mcp_http_client(headers={"X-API-Key": key}) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:  # type: ignore[arg-type]
            await use(client)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("door", [by_stdio, by_http])
@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_official_client_runs_a_job(
    server: HttpServer, service: FakeService, door: Any, mode: str, version: str
) -> None:
    async def use(client: Any) -> None:
        assert client.protocol_version == version
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == FOR_WORKERS + FOR_PEOPLE
        accepted = await client.call_tool("orchestrate", {"request": "Do it"})
        job_id = json.loads(accepted.content[0].text)["job_id"]
        early = await client.call_tool("wait", {"job_id": job_id, "timeout_seconds": 0.1})
        assert json.loads(early.content[0].text)["retry"] is True
        job = service.access.job(service.callers.of_key(KEY), job_id)
        threading.Timer(0.2, lambda: finish(service, job)).start()
        ended = await client.call_tool("wait", {"job_id": job_id})
        assert json.loads(ended.content[0].text)["results"][0]["output"] == "all done"
        wrong = await client.call_tool("wait", {"job": job_id})
        assert wrong.is_error and "did you mean 'job_id'?" in wrong.content[0].text

    run_loop(asyncio.wait_for(door(server.url, mode, use), 90))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("door", [by_stdio, by_http])
def test_a_key_without_scope_admin_has_no_tools_of_people(server: HttpServer, door: Any) -> None:
    async def use(client: Any) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == FOR_WORKERS
        refused = await client.call_tool("pause", {"job_id": "e43534f6"})
        assert refused.is_error and "use a key with the scope admin" in refused.content[0].text

    run_loop(asyncio.wait_for(door(server.url, "auto", use, SUBMIT_KEY), 90))


# Waits in the server


def waiting(server: HttpServer, job_id: str, answers: list[Any]) -> threading.Thread:
    """Start a thread that sends a wait, and stores the answer."""
    headers = {"X-API-Key": KEY}

    def post() -> None:
        body = call("wait", job_id=job_id)
        answers.append(requests.post(f"{server.url}/mcp", json=body, headers=headers, timeout=90))

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    return thread


def test_many_waits_hold_no_thread_of_the_server(
    server: HttpServer, socket_loop: SocketLoop, service: FakeService
) -> None:
    job = service.submissions.submit(service.callers.of_key(KEY), Submission(request="x")).job
    answers: list[Any] = []
    threads = [waiting(server, job.id, answers) for _ in range(THREADS * 2)]
    eventually(lambda: socket_loop.waiting == len(threads), "all wait")

    quick = requests.post(f"{server.url}/mcp", json=ping(1), headers={"X-API-Key": KEY}, timeout=30)
    finish(service, job)
    for thread in threads:
        thread.join(60)

    assert quick.json()["result"] == {}
    texts = [json.loads(text_of(answer.json())) for answer in answers]
    assert [text["retry"] for text in texts] == [False] * len(threads)


def test_a_server_that_stops_has_waits_asked_again(
    server: HttpServer, app: Flask, socket_loop: SocketLoop, service: FakeService
) -> None:
    job = service.submissions.submit(service.callers.of_key(KEY), Submission(request="x")).job
    answers: list[Any] = []
    thread = waiting(server, job.id, answers)
    eventually(lambda: socket_loop.waiting == 1, "it waits")

    close_app(app)
    thread.join(60)

    assert json.loads(text_of(answers[0].json()))["retry"] is True
