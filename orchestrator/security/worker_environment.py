"""The environment of a worker: only allowed variables, not a copy of the server's environment."""

import re
from collections.abc import Mapping
from functools import lru_cache

from orchestrator.security.secrets.masking import SHORTEST_SECRET

#: Variables with which programs find files, tools, certificates, proxies, and their language.
ALLOWED = frozenset(
    {
        "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "PIP_CERT", "XDG_RUNTIME_DIR",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
        "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    }
)  # fmt: skip
ALLOWED_PREFIXES = ("LC_",)
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

#: Names of variables with secrets. GIT_AUTHOR_NAME is excluded: its value occurs in agents' normal
#: output.
_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH(?!OR(?!I))", re.IGNORECASE
)


def worker_environment(server: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the server's environment that every worker and gate gets.

    ``NO_PROXY`` is added, so that no proxy sees the key in a worker's calls to the API.
    """
    passed = {
        name: value
        for name, value in server.items()
        if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)
    }
    return {**passed, **not_for_this_machine(passed)}


def not_for_this_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment's ``NO_PROXY`` and ``no_proxy``, each with this machine added."""
    found = {}
    # Programs read one of the two names; curl prefers lower case.
    for name, other in (("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")):
        found[name] = _with_this_machine(environment.get(name) or environment.get(other, ""))
    return found


@lru_cache(maxsize=16)
def _with_this_machine(given: str) -> str:
    direct = [each.strip() for each in given.split(",") if each.strip()]
    missing = [each for each in _THIS_MACHINE if each not in direct and "*" not in direct]
    return ",".join([*direct, *missing])


@lru_cache(maxsize=256)
def _names_of_secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if _SECRET_NAME.search(name))


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names suggest secrets. No log may contain them."""
    named = (environment[name] for name in _names_of_secrets(tuple(environment)))
    return tuple(value for value in named if len(value) >= SHORTEST_SECRET)
