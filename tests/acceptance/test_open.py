"""``orchestrator open`` prints an address that logs in one browser."""

import json

import requests

from tests.acceptance.conftest import Server


def test_the_address_logs_a_browser_in_once(server: Server) -> None:
    """The ticket is in the fragment, which no request line, log, or Referer contains."""
    answer = json.loads(server.cli("open", "--print", "--json").stdout)
    url, _, ticket = answer["url"].partition("/#ticket=")
    with requests.Session() as browser:
        login = browser.post(f"{url}/api/v1/session", json={"ticket": ticket}, timeout=30)
        assert login.status_code == 201
        assert browser.get(f"{url}/api/v1/jobs", timeout=30).status_code == 200
    again = requests.post(f"{url}/api/v1/session", json={"ticket": ticket}, timeout=30)
    assert again.status_code == 401
