"""A server that other machines can call, by TLS or through a proxy."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from tests.integration.conftest import MakeServer
from tests.integration.site import HANG_SECONDS, ServerProcess, shell, until


def start_line(server: ServerProcess) -> re.Match[str]:
    found = until(lambda: re.findall(r"serving at \S+ .*\n", server.output()), "the start line")
    matched = re.match(r"serving at (?P<scheme>https?)://0\.0\.0\.0:(?P<port>\d+) ", found[-1])
    assert matched is not None, found
    return matched


@pytest.mark.parametrize("fronted", ["tls", "proxy"])
def test_workers_call_the_server_on_this_machine_and_a_killed_one_comes_back_there(
    make_server: MakeServer, tmp_path: Path, fronted: str
) -> None:
    api: dict[str, object] = {"host": "0.0.0.0", "trusted_proxies": ["192.0.2.1"]}
    if fronted == "tls":
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", "key.pem", "-out", "certificate.pem"),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        files = {name: str(tmp_path / f"{name}.pem") for name in ("certificate", "key")}
        api = {"host": "0.0.0.0", "tls": files}
    server = make_server(api={"port": 0, "api_key": "k" * 20, **api})
    line = start_line(server)
    assert line["scheme"] == ("https" if fronted == "tls" else "http")
    public = f"{line['scheme']}://127.0.0.1:{line['port']}"
    assert server.url != public and server.url.startswith("http://127.0.0.1:")
    verify = str(tmp_path / "certificate.pem")
    answer = requests.get(f"{public}/health", verify=verify, timeout=HANG_SECONDS)
    assert answer.status_code == 200

    command = 'curl -sSf -H "X-API-Key: $ORCHESTRATOR_API_KEY" "$ORCHESTRATOR_API_URL/api/v1/jobs"'
    headers = {"X-API-Key": "k" * 20}
    body = {"request": "call", "tasks": [shell(command)]}
    job = requests.post(
        f"{public}/api/v1/orchestrate", json=body, headers=headers, verify=verify, timeout=60
    ).json()["job_id"]
    waited = f"{public}/api/v1/jobs/{job}/wait?timeout=60"
    ended = requests.get(waited, headers=headers, verify=verify, timeout=90).json()
    assert ended["status"] == "completed", ended

    url = server.url
    server.kill()
    server.start()
    assert server.url == url
