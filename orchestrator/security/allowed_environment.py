"""The part of the server's environment that workers and gates get: only allowed variables.

``engine/attempts/launch_preparation`` adds further variables for each worker.
"""

from collections.abc import Mapping
from functools import lru_cache

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
#: Variables with hosts that programs reach without a proxy. Programs read one of the two names;
#: curl prefers lower case.
NO_PROXY = ("NO_PROXY", "no_proxy")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def allowed_environment(server: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the server's environment that every worker and gate gets.

    The result also has ``NO_PROXY`` with this machine. Otherwise, a worker would call the API
    through a proxy, and the proxy would see the worker's key.
    """
    allowed = {
        name: value
        for name, value in server.items()
        if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)
    }
    return {**allowed, **no_proxy_variables(allowed)}


def no_proxy_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``NO_PROXY`` and ``no_proxy`` of ``environment``, with this machine added to both."""
    variables = {}
    for name, other in (NO_PROXY, NO_PROXY[::-1]):
        variables[name] = _with_this_machine(environment.get(name) or environment.get(other, ""))
    return variables


@lru_cache(maxsize=16)
def _with_this_machine(no_proxy: str) -> str:
    hosts = [each.strip() for each in no_proxy.split(",") if each.strip()]
    missing = [each for each in _THIS_MACHINE if each not in hosts and "*" not in hosts]
    return ",".join([*hosts, *missing])
