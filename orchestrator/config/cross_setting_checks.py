"""Checks of several settings together, and of settings that depend on this machine.

The value of each single setting has already been checked.
"""

import ipaddress
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.config.fields.choices import ExecutionMode
from orchestrator.config.layer import ConfigProblem, Layer, Origin
from orchestrator.config.sections.agents import INHERITABLE, KNOWN_AGENTS, RESERVED_NAMES, UserAgent
from orchestrator.config.sections.api import ApiKey
from orchestrator.config.sections.triggers import TriggerAction, TriggerSettings
from orchestrator.config.settings import Settings
from orchestrator.config.yaml.key_paths import FILE_NAME, dotted
from orchestrator.core.text.command_name import COMMAND, KEY_COMMAND
from orchestrator.security.secrets.trigger_verification import Verification
from orchestrator.system.ip_addresses import is_loopback

SHORTEST_KEY = 16
#: Name of the key in api.api_key. No other key may have this name.
RESERVED_KEY_NAME = "default"

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")

#: Pairs of settings: the first must not be greater than the second.
BOUNDED = [
    (("workers", "max_workers"), ("limits", "max_workers")),
    (("workers", "max_workers"), ("workers", "max_live_workers")),
    (("workers", "default_timeout"), ("limits", "max_wall_seconds")),
    (("recursion", "max_depth"), ("limits", "max_depth")),
]


def conflicts(settings: Settings, layer: Layer, *, require_key: bool) -> list[ConfigProblem]:
    """Return all conflicts between settings, and all settings that are invalid on this machine.

    Each conflict has the origin of the setting to change. If ``require_key`` is True, a missing API
    key is also a conflict.
    """
    problems = [
        *_above_bound(settings),
        *_host(settings),
        *_proxies(settings),
        *_origins(settings),
        *_cluster(settings),
        *_tls_files(settings),
        *_store(settings),
        *_directories(settings),
    ]
    problems += key_conflicts(settings.api.api_key.get_secret_value(), require_key=require_key)
    problems += _keys(settings.api.keys)
    problems += _agents(settings.agents)
    problems += _inherited(settings)
    problems += _triggers(settings.triggers, require_key=require_key)
    return [
        ConfigProblem(
            layer.origins.get(path, Origin(source=FILE_NAME)), f"{dotted(path)}: {reason}"
        )
        for path, reason in problems
    ]


Conflict = tuple[tuple[str, str], str]


def _above_bound(settings: Settings) -> Iterator[Conflict]:
    for path, bound_path in BOUNDED:
        value, bound = _number(settings, path), _number(settings, bound_path)
        if value > bound:
            yield (
                path,
                f"{value:g} is above {dotted(bound_path)} ({bound:g}); lower this setting, or "
                f"raise {dotted(bound_path)}",
            )


def _number(settings: Settings, path: tuple[str, str]) -> float:
    section, key = path
    return float(getattr(getattr(settings, section), key))


#: Settings of which at least one is required if other machines can reach ``api.host``.
HOST_OPTIONS = (
    "api.tls: {certificate: FILE.pem, key: FILE.pem} (https), "
    "api.trusted_proxies: [ADDRESS] (an https proxy in front of the server), "
    "or api.insecure: true (in a trusted network)"
)


def _host(settings: Settings) -> Iterator[Conflict]:
    api = settings.api
    if not (is_loopback(api.host) or api.has_local_address or api.insecure):
        reason = f"other machines can reach {api.host!r}, and plain HTTP shows API keys to others"
        yield ("api", "host"), f"{reason}; use localhost, or set one of: {HOST_OPTIONS}"


def _proxies(settings: Settings) -> Iterator[Conflict]:
    for proxy in settings.api.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            reason = f"{proxy!r} is not an address or network, such as 10.0.0.5 or 10.0.0.0/24"
            yield ("api", "trusted_proxies"), reason


def _cluster(settings: Settings) -> Iterator[Conflict]:
    cluster = settings.cluster
    host, _, port = (cluster.listen or "0.0.0.0:0").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        reason = f"{cluster.listen!r} is not an address; write HOST:PORT, such as 0.0.0.0:8786"
        yield ("cluster", "listen"), reason
    if cluster.scheduler is not None and cluster.listen is None:
        reason = (
            "nodes on a Dask cluster need an address of this server; set "
            'cluster.listen: "0.0.0.0:8786"'
        )
        yield ("cluster", "scheduler"), reason
    if cluster.server_lease is not None:
        url = settings.store.url.get_secret_value() if settings.store.url else ""
        if not url.startswith("postgresql"):
            reason = (
                "needs PostgreSQL, because several machines use it; set store.url: "
                "postgresql+psycopg://USER@HOST/NAME"
            )
            yield ("cluster", "server_lease"), reason
        elif not hasattr(time, "CLOCK_BOOTTIME"):
            yield ("cluster", "server_lease"), "needs Linux; set server_lease: null"
    if cluster.adapt is not None and cluster.scheduler is None:
        yield ("cluster", "adapt"), "needs a Dask cluster; set cluster.scheduler"
    if cluster.adapt is not None and cluster.adapt.minimum > cluster.adapt.maximum:
        low, high = cluster.adapt.minimum, cluster.adapt.maximum
        reason = f"minimum {low} is above maximum {high}; lower minimum, or raise maximum"
        yield ("cluster", "adapt"), reason


def _origins(settings: Settings) -> Iterator[Conflict]:
    for origin in settings.api.allowed_origins:
        if not ORIGIN.fullmatch(origin.lower()):
            reason = f"{origin!r} is not an origin, such as https://app.example.org"
            yield ("api", "allowed_origins"), f"{reason}; write scheme and host, without a path"
    public_url = settings.api.public_url
    if public_url is not None and not ORIGIN.fullmatch(public_url.lower()):
        reason = f"{public_url!r} is not an address, such as https://jobs.example.org"
        yield ("api", "public_url"), f"{reason}; write scheme and host, without a path"


def _tls_files(settings: Settings) -> Iterator[Conflict]:
    for name, path in settings.api.tls or ():
        if not os.path.isfile(path):
            yield ("api", "tls"), f"{name}: {str(path)!r} is not a file; name a file in PEM format"


def _store(settings: Settings) -> Iterator[Conflict]:
    url = settings.store.url.get_secret_value() if settings.store.url else ""
    if url and not url.startswith(("postgresql:", "postgresql+psycopg:", "sqlite:")):
        yield (
            ("store", "url"),
            "unsupported database; write postgresql+psycopg://USER@HOST/NAME, or null",
        )


def _agents(agents: Mapping[str, UserAgent]) -> Iterator[Conflict]:
    for name, agent in agents.items():
        if name in RESERVED_NAMES:
            yield ("agents", name), f"the name {name} is reserved; rename the agent"
        elif agent.command and agent.class_:
            yield ("agents", name), "has both a command and a class; remove one of them"
        elif not agent.command and not agent.class_ and name not in KNOWN_AGENTS:
            reason = (
                "has no command; add command: [program, --option], or class: package.module:Class"
            )
            yield ("agents", name), reason
        elif agent.command and agent.reader is None and name not in KNOWN_AGENTS:
            values = {
                "model_option": agent.model_option,
                "policies": any(words for _, words in agent.policies),
            }
            for key in (key for key, value in values.items() if value):
                yield ("agents", name), f"{key} works only with a reader; add reader: plain"


def _inherited(settings: Settings) -> Iterator[Conflict]:
    for name, agent in settings.agents.items():
        inheritable = INHERITABLE.get(name, ())
        lacking = ", ".join(kind for kind in agent.inherit if kind not in inheritable)
        if not agent.inherit:
            continue
        if agent.command or agent.class_:
            reason = "has its own command or class, and so cannot inherit configuration"
        elif settings.orchestrator.execution_mode is ExecutionMode.WINDOWS and inheritable:
            reason = "runs on Windows, and so cannot inherit configuration from WSL"
        elif lacking:
            reason = f"cannot inherit {lacking}"
            reason += f"; possible values: {', '.join(inheritable)}" if inheritable else ""
        else:
            continue
        yield ("agents", name), f"{reason}; change agents.{name}.inherit"


def _triggers(triggers: Mapping[str, TriggerSettings], *, require_key: bool) -> Iterator[Conflict]:
    for name, trigger in triggers.items():
        path = ("triggers", name)
        if require_key and len(trigger.secret.get_secret_value()) < SHORTEST_KEY:
            yield path, f"the secret must have {SHORTEST_KEY} or more characters"
        if trigger.action is TriggerAction.JOB:
            if bool(trigger.request) == (trigger.plan is not None):
                yield path, "set either request or plan, and not both"
        elif any((trigger.request, trigger.plan, trigger.params, trigger.config)):
            yield path, "action feedback allows no request, plan, params, or config; remove them"
        elif trigger.pull_request:
            yield (
                path,
                "action feedback opens no pull request; set pull_request in the job's trigger",
            )
        elif trigger.verify is not Verification.GITHUB:
            yield path, "action feedback works with GitHub only; set verify: github"


def _directories(settings: Settings) -> Iterator[Conflict]:
    directories: dict[tuple[str, str], Path | None] = {
        ("orchestrator", "project_root"): settings.orchestrator.project_root,
        ("reports", "template_dir"): settings.reports.template_dir,
        ("workers", "roles_dir"): settings.workers.roles_dir,
    }
    for path, directory in directories.items():
        if directory is not None and not os.path.isdir(directory):
            yield (
                path,
                f"{str(directory)!r} is not a directory; name an existing directory, or null",
            )


def _keys(keys: Sequence[ApiKey]) -> Iterator[Conflict]:
    for name, times in Counter(each.name for each in keys).items():
        if times > 1 or name == RESERVED_KEY_NAME:
            owner = "api.api_key" if name == RESERVED_KEY_NAME else "another key"
            yield ("api", "keys"), f"the name {name!r} is used by {owner}; rename this key"
    for each in keys:
        if (each.key is None) == (each.key_hash is None):
            yield ("api", "keys"), f"{each.name!r}: set either key_hash or key, and not both"
        elif each.key is not None and not _is_sendable(each.key.get_secret_value()):
            reason = f"the key of {each.name!r} must be {SHORTEST_KEY} or more letters and digits"
            yield ("api", "keys"), f"{reason}; create one: {COMMAND} keys new {each.name}"


def _is_sendable(key: str) -> bool:
    return len(key) >= SHORTEST_KEY and _is_header_text(key)


def _is_header_text(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


_NEW_KEY = f'to create a key, set api_key to "" and run {KEY_COMMAND}'


def key_conflicts(key: str, *, require_key: bool) -> Iterator[Conflict]:
    """Yield why ``key`` cannot be the API key.

    A missing or short key is a conflict only if ``require_key`` is True.
    """
    if not key:
        if require_key:
            yield ("api", "api_key"), f"no API key; create one: {KEY_COMMAND}"
    elif not _is_header_text(key):
        reason = "must be letters and digits"
        yield ("api", "api_key"), f"{reason}; {_NEW_KEY}"
    elif require_key and len(key) < SHORTEST_KEY:
        reason = f"shorter than {SHORTEST_KEY} characters"
        yield ("api", "api_key"), f"{reason}; {_NEW_KEY}"
