"""Webhooks and notifications of the settings: their secrets, and rejected settings."""

import base64

import pytest

from orchestrator.composition.settings.webhooks_and_notifications import check_receivers, secrets_of
from orchestrator.config import Settings
from orchestrator.core.errors import ConfigError

BASE64 = base64.b64encode(b"s" * 32).decode()


def the_settings(**webhooks: object) -> Settings:
    return Settings.model_validate({"webhooks": webhooks})


def test_a_secret_is_masked_with_and_without_its_prefix() -> None:
    secrets = list(secrets_of(the_settings(callback_secret=f"whsec_{BASE64}")))

    assert {BASE64, f"whsec_{BASE64}"} <= {*secrets}


@pytest.mark.parametrize(("name", "value"), [("A B", "x"), ("A", "x\ny"), ("A", "€"), ("", "x")])
def test_a_header_that_http_does_not_allow_is_refused(name: str, value: str) -> None:
    endpoint = {"name": "ci", "url": "https://ci.example/", "headers": {name: value}}

    with pytest.raises(ConfigError) as refused:
        check_receivers(the_settings(endpoints=[endpoint]))

    assert f"config.yaml: webhooks.endpoints[ci].headers.{name!r}" in refused.value.message


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:5678/hook", "localhost:5678"),
        ("https://10.0.0.5/hook", "10.0.0.5:443"),
        ("http://[::1]:80/hook", "[::1]:80"),
    ],
)
def test_a_private_address_is_refused_unless_its_host_is_allowed(url: str, host: str) -> None:
    endpoint = {"name": "ci", "url": url}
    with pytest.raises(ConfigError) as refused:
        check_receivers(the_settings(endpoints=[endpoint]))

    assert "config.yaml: webhooks.endpoints[ci].url: " in refused.value.message
    assert f"add it to webhooks.allow_hosts in config.yaml: [{host}]" in refused.value.message
    check_receivers(the_settings(endpoints=[endpoint], allow_hosts=[host]))


def test_a_host_name_is_not_resolved_at_the_start() -> None:
    endpoint = {"name": "ci", "url": "https://ci.internal.invalid/hook"}

    check_receivers(the_settings(endpoints=[endpoint]))
