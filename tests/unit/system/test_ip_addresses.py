"""IP addresses, and hosts that only this machine can reach."""

import pytest

from orchestrator.system.ip_addresses import is_address, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_only_this_machine_reaches_a_loopback_host(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "10.0.0.1", "::", "localhost.example.org", "127.0.0.1.example.org"]
)
def test_other_machines_may_reach_another_host(host: str) -> None:
    assert not is_loopback(host)


def test_a_name_is_no_address() -> None:
    assert is_address("10.0.0.1") and is_address("::1")
    assert not is_address("localhost") and not is_address("[::1]")
