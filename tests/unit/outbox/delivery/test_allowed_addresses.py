"""Forbidden addresses of messages, in every spelling."""

import socket
from typing import Any

import pytest

from orchestrator.outbox.delivery.allowed_addresses import AddressPolicy, ForbiddenUrl
from orchestrator.outbox.delivery.http_sender import HttpSender
from orchestrator.security.secrets.masking import shown_address

#: Each address uses another trick. The names resolve without a network.
HOSTILE = (
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST:8000/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/latest/meta-data",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://192.88.99.1/",
    "https://user:secret@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://[fe80::1%25eth0]/",
    "http:///path",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: internal",
    "http://ⓛocalhost/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "ftp://example.com/",
    "//example.com/",
    "",
    "http://example.com/" + "a" * 2000,
)


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenUrl) as refused:
        AddressPolicy().check(url)

    assert refused.value.kind == "forbidden-url"
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_address_is_refused_at_sending_too(url: str) -> None:
    outcome = HttpSender(AddressPolicy(["example.com:1"]), 1, lambda: 0.0).post(url, b"{}", {})

    assert outcome.final and outcome.error and outcome.status is None


def test_a_name_that_changes_its_address_between_two_looks_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[str] = []
    connected: list[object] = []

    def look_up(host: str, port: int, *rest: Any, **options: Any) -> list[Any]:
        looks.append(host)
        address = "93.184.215.14" if len(looks) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: connected.append(to))

    outcome = HttpSender(AddressPolicy(), 1, lambda: 0.0).post("http://rebinds.example/", b"{}", {})

    assert outcome.final and "not public" in outcome.error
    assert len(looks) >= 2 and not connected


def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, 1, 6, "", (each, 80)) for each in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **options: found)

    with pytest.raises(ForbiddenUrl, match=r"10\.0\.0\.1"):
        AddressPolicy().check("https://two.example/")


@pytest.mark.parametrize(
    ("allowed", "url", "expected"),
    [
        ("localhost:5678", "http://localhost:5678/hook", True),
        ("localhost:5678", "http://LOCALHOST:5678/hook", True),
        ("localhost:5678", "http://localhost:56789/hook", False),
        ("localhost:5678", "http://localhost/hook", False),
        ("localhost:5678", "http://localhost.:5678/hook", False),
        ("localhost:5678", "http://localhost:5678.evil.example/", False),
        ("n8n.internal", "https://n8n.internal/x", True),
        ("[::1]:80", "http://[::1]/x", True),
    ],
)
def test_a_listed_host_is_allowed_exactly(allowed: str, url: str, expected: bool) -> None:
    policy = AddressPolicy([allowed])
    try:
        assert policy.is_allowed(url) is expected
    except ForbiddenUrl:
        assert not expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example:8443/T0/secret?token=x", "https://hooks.example:8443"),
        ("smtp://me:secret@mail.example:587?from=a@b", "smtp://mail.example:587"),
        ("https://[2001:db8::1]/secret", "https://[2001:db8::1]"),
        ("tgram://123456:secret/chat", "tgram://***"),
        ("discord://secret/token", "discord://***"),
        ("desktop:", "desktop:"),
        ("https://host:secret/", "***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_address(url) == shown
