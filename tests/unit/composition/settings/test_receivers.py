"""Webhooks and notifications of the settings: their secrets, and what is refused."""

import base64

import pytest

from orchestrator.composition.settings.receivers import check_receivers, secrets_of
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
