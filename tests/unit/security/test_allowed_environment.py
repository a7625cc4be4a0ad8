"""The environment of workers."""

import pytest

from orchestrator.security.allowed_environment import allowed_environment, no_proxy_variables


def test_a_worker_gets_only_the_variables_that_programs_need() -> None:
    server = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LC_ALL": "C",
        "https_proxy": "http://proxy",
        "AWS_SECRET_ACCESS_KEY": "s",
        "ORCHESTRATOR_API__API_KEY": "s",
        "PYTHONPATH": "/x",
        "LD_PRELOAD": "/x.so",
    }

    direct = {"NO_PROXY", "no_proxy"}
    assert set(allowed_environment(server)) == {"PATH", "HOME", "LC_ALL", "https_proxy"} | direct


@pytest.mark.parametrize(
    ("server", "upper", "lower"),
    [
        ({}, "localhost,127.0.0.1,::1", "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a, ::1"}, "a,::1,localhost,127.0.0.1", "a,::1,localhost,127.0.0.1"),
        ({"NO_PROXY": "a", "no_proxy": "*"}, "a,localhost,127.0.0.1,::1", "*"),
    ],
)
def test_no_proxy_is_used_for_this_machine(server: dict[str, str], upper: str, lower: str) -> None:
    assert allowed_environment(server) == {"NO_PROXY": upper, "no_proxy": lower}


def test_no_proxy_variables_of_a_task_always_include_this_machine() -> None:
    base = allowed_environment({"NO_PROXY": "a"})
    assert no_proxy_variables({**base, "no_proxy": "b", "NO_PROXY": ""}) == {
        "no_proxy": "b,localhost,127.0.0.1,::1",
        "NO_PROXY": "b,localhost,127.0.0.1,::1",
    }
