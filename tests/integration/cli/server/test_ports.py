"""Workers of a killed server call its port, even if the next server has another port."""

import json
import re
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.conftest import MakeServer
from tests.integration.site import HOLD, ServerProcess, shell, until
from tests.support.examples import nightly

#: Configures the port of a server, and returns the arguments of the server.
Give = Callable[[ServerProcess, int], list[str]]


def by_flag(server: ServerProcess, port: int) -> list[str]:
    return ["--port", str(port)]


def by_config(server: ServerProcess, port: int) -> list[str]:
    config = server.folder / "config.yaml"
    config.write_text(re.sub(r"port: \d+", f"port: {port}", config.read_text()))
    return ["--project", str(server.folder / "project")]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def port_of(server: ServerProcess) -> int:
    port = urlsplit(server.url).port
    assert port
    return port


def is_closed(port: int) -> bool:
    with closing(socket.socket()) as calling:
        return calling.connect_ex(("127.0.0.1", port)) != 0


def holding(server: ServerProcess, release: Path, then: str = "true") -> str:
    """Return a job whose worker runs until its release, and then runs a command."""
    job = server.submit("x", [shell(f"RELEASE={release}; {HOLD}; {then}")])
    server.key_of(job)
    return job


@pytest.mark.parametrize("give", [by_config, *nightly(by_flag)])
def test_a_killed_servers_workers_reach_the_next_one_that_has_another_port(
    make_server: MakeServer, tmp_path: Path, spawning: None, give: Give
) -> None:
    server = make_server()
    (tmp_path / "child.json").write_text(json.dumps([shell("echo calls $ORCHESTRATOR_API_URL")]))
    spawn = f"orchestrator spawn child --tasks {tmp_path}/child.json --wait"
    job = holding(server, tmp_path / "release", spawn)
    former = port_of(server)
    server.kill()
    port = free_port()

    server.start(*give(server, port))

    assert port_of(server) == port
    until(
        lambda: f"serving at http://127.0.0.1:{port} " in server.output(), "it prints its address"
    )
    assert not is_closed(former)
    (tmp_path / "release").touch()
    ended = server.wait(job)
    assert ended["status"] == "completed", ended
    assert server.log(job, "worker_1_1", depth=1) == f"calls {server.url}\n"
    until(lambda: is_closed(former), "nothing calls the former port any more")
    assert server.call("GET", "/jobs").status_code == 200
    assert server.run("y", [shell("true")])["status"] == "completed"


def test_a_former_port_is_served_by_every_server_until_its_workers_have_ended(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    call = 'curl -sf "$ORCHESTRATOR_API_URL/health"'
    job = holding(server, tmp_path / "release", call)
    former, port = port_of(server), free_port()
    for _ in range(2):
        server.kill()
        server.start("--port", str(port))

    assert not is_closed(former)
    (tmp_path / "release").touch()
    assert server.wait(job)["status"] == "completed"
    until(lambda: is_closed(former), "nothing calls the former port any more")
    until(lambda: str(former) not in server.record.read_text(), "nor does the record name it")


def test_a_former_port_that_nothing_calls_is_left_alone(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    former = port_of(server)
    server.kill()

    server.start("--port", str(free_port()))

    assert is_closed(former)


@pytest.mark.nightly
def test_a_former_port_that_is_taken_costs_a_warning(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    job = holding(server, tmp_path / "release")
    former = port_of(server)
    server.kill()

    with closing(socket.create_server(("127.0.0.1", former))):
        server.start("--port", str(free_port()))

        assert (
            f"port {former} on localhost is in use by another program; 1 running workers of an "
            "earlier server call this port, and cannot reach this server"
        ) in server.output()
        (tmp_path / "release").touch()
        assert server.wait(job)["status"] == "completed"


@pytest.mark.nightly
def test_a_configured_port_that_is_taken_leaves_a_killed_server_its_own(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    former = port_of(server)
    server.kill()

    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = int(other.getsockname()[1])
        server.start(*by_config(server, taken))

        assert port_of(server) == former
        warning = f"port {taken} on localhost is in use by another program"
        assert warning in server.output()
        assert f"; listening on port {former} instead" in server.output()


@pytest.mark.nightly
def test_a_server_in_the_background_uses_another_port_if_its_own_was_taken_meanwhile(
    make_server: MakeServer,
) -> None:
    server = make_server()
    server.terminate()
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = int(other.getsockname()[1])
        server.start("--port", str(taken), "--any-port")

        assert port_of(server) != taken
        assert f"port {taken} on localhost is in use by another program" in server.output()
        job = server.submit("x", [shell("true")])
        assert server.wait(job)["status"] == "completed"
