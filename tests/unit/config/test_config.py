"""Settings: precedence, positions, and error messages."""

import errno
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator.config import (
    Loaded,
    Settings,
    load,
    new_api_key,
    render_schema,
    render_starter,
    render_template,
    visible,
)
from orchestrator.config.new_api_key import ensure_key, load_with_key
from orchestrator.config.setting_types import is_optional, is_text, setting_paths
from orchestrator.config.settings import NAMED
from orchestrator.config.validation_messages import schema_at, settings_schema
from orchestrator.config.yaml.api_key_insertion import with_key
from orchestrator.config.yaml.key_paths import KeyPath
from orchestrator.core.errors import ConfigError, UnreadableConfig
from orchestrator.core.model.caller import Scope

PRODUCT = Path(__file__).resolve().parents[3]
KEY = "0123456789abcdef"
WITH_KEY = f'api: {{api_key: "{KEY}"}}\n'


def load_config(
    folder: Path,
    text: str | bytes = WITH_KEY,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    *,
    require_key: bool = True,
) -> Loaded:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "config.yaml").write_bytes(content)
    return load(folder, environ=environ or {}, flags=flags, require_key=require_key)


def complaints(folder: Path, text: str | bytes, **more: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(folder, text, **more)  # type: ignore[arg-type]
    return caught.value.message.splitlines()


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    result = load(tmp_path, environ={}, require_key=False)
    assert result.settings.api.port == 8000
    assert result.settings.workers.max_workers == 10
    assert set(result.origins.values()) == {"default"}


def test_auto_is_one_worker_per_processor(tmp_path: Path) -> None:
    processors = len(os.sched_getaffinity(0))
    ways: list[tuple[str, Mapping[str, str]]] = [
        ("workers: {max_workers: auto}\n", {}),
        ("", {"ORCHESTRATOR_WORKERS__MAX_WORKERS": "auto"}),
    ]
    for text, environ in ways:
        found = load_config(tmp_path, WITH_KEY + text, environ=environ).settings
        assert found.workers.max_workers == processors
        assert found.workers.max_live_workers == 4 * processors
        assert visible(found)["workers.max_workers"] == "auto"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "api:\nworkers:\n"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_config(tmp_path, text, require_key=False).settings.limits.max_depth == 10


def test_the_keys_that_people_already_write_are_understood(tmp_path: Path) -> None:
    settings = load_config(
        tmp_path,
        f"""\
orchestrator: {{execution_mode: native, workspace_root: ./workspace, claude_command: claude}}
workers:      {{max_workers: 10, default_timeout: 300, max_retries: 2}}
recursion:    {{enable: true, max_depth: 3}}
api:          {{host: localhost, port: 8000, api_key: "{KEY}"}}
logging:      {{level: INFO, enable_structured: true, log_dir: ./logs}}
""",
    ).settings
    assert settings.orchestrator.workspace_root == tmp_path / "workspace"
    assert settings.logging.log_dir == tmp_path / "logs"


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    text = f"api:\n  api_key: {KEY}x\n  port: 1\n  threads: 4\nworkers: {{max_workers: 3}}\n"
    environ = {"ORCHESTRATOR_API__PORT": "2", "ORCHESTRATOR_API__THREADS": "5"}
    result = load_config(tmp_path, text, environ, {"api.port": "3"})
    assert (result.settings.api.port, result.origins["api.port"]) == (3, "flag --port")
    assert result.settings.api.threads == 5
    assert result.origins["api.threads"] == "ORCHESTRATOR_API__THREADS"
    assert result.origins["api.api_key"] == "config.yaml:2:3"
    assert result.origins["workers.max_workers"] == "config.yaml:5:11"
    assert result.origins["api.host"] == "default"


def test_every_setting_has_an_environment_variable(tmp_path: Path) -> None:
    values = visible(load(tmp_path, environ={}, require_key=False).settings)
    for section, key in setting_paths():
        name = f"ORCHESTRATOR_{section}__{key}".upper()
        value = values[f"{section}.{key}"]
        environ = {name: "" if value is None else json.dumps(value).strip('"')}
        origins = load(tmp_path, environ=environ, require_key=False).origins
        assert origins[f"{section}.{key}"] == name


def test_worker_variables_with_one_underscore_are_not_settings(tmp_path: Path) -> None:
    environ = {"ORCHESTRATOR_API_KEY": "worker", "ORCHESTRATOR_DEPTH": "2", "OTHER__X": "1"}
    assert load_config(tmp_path, environ=environ).settings.api.api_key.get_secret_value() == KEY


@pytest.mark.parametrize("text", ["12345678901234567890", "0x12345678901234567890", "#" * 20])
def test_text_from_the_environment_is_used_unchanged(tmp_path: Path, text: str) -> None:
    settings = load_config(tmp_path, "", {"ORCHESTRATOR_API__API_KEY": text}).settings
    assert settings.api.api_key.get_secret_value() == text


def test_an_empty_variable_means_null_where_null_is_allowed(tmp_path: Path) -> None:
    text = WITH_KEY + "store: {url: 'sqlite:///x'}\n"
    settings = load_config(tmp_path, text, {"ORCHESTRATOR_STORE__URL": ""}).settings
    assert settings.store.url is None


def test_an_agent_can_be_added_as_data(tmp_path: Path) -> None:
    text = WITH_KEY + "agents:\n  mine: {command: [my-tool, -q], env: [MY_KEY], output: file}\n"
    result = load_config(tmp_path, text, {"ORCHESTRATOR_AGENTS__YOURS": "{command: [your-tool]}"})
    assert result.settings.agents["mine"].command == ("my-tool", "-q")
    assert result.settings.agents["yours"].output == "log"
    assert result.origins["agents.mine"] == "config.yaml:3:3"


def test_limits_and_the_sandbox_are_mappings(tmp_path: Path) -> None:
    text = (
        f"{WITH_KEY}workers:\n  containment: sandbox\n"
        "  limits: {cpu: 0.5, memory: 512M, processes: 64, file_size: 1.5GiB, open_files: 256}\n"
        "  sandbox: {network: false, hide: [~/.ssh, private], writable: [/var/cache]}\n"
    )
    workers = load_config(tmp_path, text).settings.workers
    assert dict(workers.limits) == {
        "cpu": 0.5,
        "memory": 512 << 20,
        "processes": 64,
        "file_size": 3 << 29,
        "open_files": 256,
        "strict": False,
    }
    assert workers.sandbox.hide == (str(Path("~/.ssh").expanduser()), "private")
    assert not workers.sandbox.network
    environ = {"ORCHESTRATOR_WORKERS__LIMITS": "{memory: 2G}"}
    assert load_config(tmp_path, text, environ).settings.workers.limits.memory == 2 << 30


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_config(tmp_path).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.api.port = 1  # type: ignore[misc]


def test_paths_start_at_the_folder_and_a_tilde_is_the_home(tmp_path: Path) -> None:
    text = WITH_KEY + "orchestrator: {workspace_root: ../jobs}\nlogging: {log_dir: ~/logs}\n"
    settings = load_config(tmp_path, text).settings
    assert settings.orchestrator.workspace_root == tmp_path.parent / "jobs"
    assert settings.logging.log_dir == Path.home() / "logs"


def test_live_workers_follow_max_workers_without_a_setting(tmp_path: Path) -> None:
    environ = {"ORCHESTRATOR_WORKERS__MAX_WORKERS": "50"}
    assert load_config(tmp_path, environ=environ).settings.workers.max_live_workers == 200
    environ["ORCHESTRATOR_WORKERS__MAX_LIVE_WORKERS"] = "60"
    assert load_config(tmp_path, environ=environ).settings.workers.max_live_workers == 60


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert load_config(tmp_path, b"\xef\xbb\xbf" + WITH_KEY.encode()).settings.api.port == 8000


WRONG_FILES = {
    "limits:\n  max_workrs: 5": [
        "2:3: limits.max_workrs: unknown key (did you mean 'max_workers'?)"
    ],
    "recursion: {max_workers: 5}": [
        "1:13: recursion.max_workers: unknown key (did you mean 'workers.max_workers'?)"
    ],
    "recursion: {zzz: 5}": ["1:13: recursion.zzz: unknown key; known: enable, max_depth"],
    "wrkers: {}": ["1:1: wrkers: unknown section (did you mean 'workers'?)"],
    "port: 80": ["1:1: port: unknown section (did you mean 'api.port'?)"],
    "1: 2": [
        "1:1: 1: unknown section; known: orchestrator, workers, gates, recursion, limits, api,"
        " store, logging, git, reports, webhooks, notify, cluster, agents, triggers"
    ],
    "workers:\n  max_workers: ten\n  max_retries: true\n  grace_seconds:\n": [
        "2:3: workers.max_workers: invalid value 'ten'; must be a whole number from 1 to"
        " 2147483647, or auto",
        "3:3: workers.max_retries: invalid value true; must be a whole number from 0 to 100",
        "4:3: workers.grace_seconds: empty value; must be a number from 0 to 600",
    ],
    'workers: {default_timeout: "300"}': [
        "1:11: workers.default_timeout: invalid value '300'; must be a number above 0 and"
        " at most 1000000000; write a number without quotes or a unit"
    ],
    "workers: {default_timeout: .nan}": [
        "1:11: workers.default_timeout: invalid value nan; must be a number above 0"
        " and at most 1000000000"
    ],
    "api: {port: 70000}": [
        "1:7: api.port: invalid value 70000; must be a whole number from 0 to 65535"
    ],
    "recursion: {enable: 1}": ["1:13: recursion.enable: invalid value 1; must be true or false"],
    "orchestrator: {execution_mode: win}": [
        "1:16: orchestrator.execution_mode: invalid value 'win'; must be native, wsl, or windows"
    ],
    "orchestrator: {workspace_root: }": [
        "1:16: orchestrator.workspace_root: empty value; must be a path"
    ],
    "orchestrator: {project_root: 7}": [
        "1:16: orchestrator.project_root: invalid value 7; must be a path, or null; put text in"
        " quotes"
    ],
    'orchestrator: {project_root: "a\\0b"}': [
        "1:16: orchestrator.project_root: invalid value 'a\\x00b'; must be a path, or null"
    ],
    "api: {api_key: 12345678901234567890}": [
        "1:7: api.api_key: invalid value; must be text; put text in quotes"
    ],
    "api: {keys: [{name: a}]}": [
        "1:14: api.keys[0].scopes: missing; must be a list such as [first, second]; each entry:"
        " admin, submit, or read"
    ],
    "workers: {prices: 3}": [
        "1:11: workers.prices: invalid value 3; must be a list of mappings, such as [{key: value}]"
    ],
    "agents: {Mine: {command: [ls]}}": [
        "1:10: agents.Mine: invalid value 'Mine'; must be a name of lower-case letters, digits,"
        " -, and _ that starts with a letter"
    ],
    "agents: {mine: {comand: [ls]}}": [
        "1:17: agents.mine.comand: unknown key (did you mean 'command'?)",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{mine: {{}}}}": [
        "2:10: agents.mine: has no command; add command: [program, --option], or class:"
        " package.module:Class",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{auto: {{command: [x]}}}}": [
        "2:10: agents.auto: the name auto is reserved; rename the agent",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{mine: {{command: [x], class: 'a:B'}}}}": [
        "2:10: agents.mine: has both a command and a class; remove one of them",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{mine: {{command: [x], model_option: --model}}}}": [
        "2:10: agents.mine: model_option works only with a reader; add reader: plain",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{mine: {{command: [x], policies: {{edit: [-e]}}}}}}": [
        "2:10: agents.mine: policies works only with a reader; add reader: plain",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{opencode: {{inherit: [mcp, hooks]}}}}": [
        "2:10: agents.opencode: cannot inherit hooks; possible values: mcp, skills, memory; change"
        " agents.opencode.inherit",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{aider: {{inherit: [memory]}}}}": [
        "2:10: agents.aider: cannot inherit memory; change agents.aider.inherit",
    ],
    f"api: {{api_key: {KEY}}}\nagents: {{mine: {{command: [x], inherit: [mcp]}}}}": [
        "2:10: agents.mine: has its own command or class, and so cannot inherit configuration;"
        " change agents.mine.inherit",
    ],
    "agents: {mine: {command: ls -l}}": [
        "1:17: agents.mine.command: invalid value 'ls -l'; must be a list such as [first, second];"
        " each entry: non-empty text"
    ],
    "agents: {mine: {command: [ls], env: [ok, 1x]}}": [
        "1:42: agents.mine.env[1]: invalid value '1x'; must be the name of an environment"
        " variable, a pattern such as MY_*, or NAME=value"
    ],
    "api: 5": ["1:1: api: must be a section, with indented keys on the next lines"],
    "[1, 2]": ["1:1: must be sections such as 'api:', each with keys below it"],
    "hello": ["1:1: must be sections such as 'api:', each with keys below it"],
    "api: {}\napi: {}": ["2:1: api: set twice (first in line 1)"],
    "api:\n  port: 1\n  port: 2": ["3:3: api.port: set twice (first in line 2)"],
    "workers:\n\tmax_workers: 1": ["2:1: not valid YAML: a tab; indent with spaces"],
    "a: b: c": [
        "1:5: not valid YAML: a second ':' on the line; put text that contains ': ' in quotes"
    ],
    "api:\n  host: x\n   port: 80": [
        "3:8: not valid YAML: does not fit the line above; add a ':' to the line above, or indent"
        " this line less"
    ],
    "api:\n  port: 80\n host: x": [
        "3:2: not valid YAML: indented differently from its neighboring lines"
    ],
    "api:\n  port: 80\nhost\nstore: {}": [
        "3:1: not valid YAML: a line without ':'; write key: value"
    ],
    'api:\n  host: "x\n  port: 80\n': ["2:9: not valid YAML: a quote that is not closed"],
    "api: {\n": ["2:1: not valid YAML: the file ends too early; close each '[', '{', and quote"],
    "a: 1\n---\nb: 2": ["2:1: not valid YAML: '---' starts a second document; remove this line"],
    "api: &x {}\nstore: *x": ["2:8: not valid YAML: an alias (*name); write the value instead"],
    "api: {host: !!python/object:os.system x}": [
        "1:7: api.host: empty value; must be non-empty text",
        "1:13: unknown tag !!python/object:os.system",
    ],
    "api: {port: 0x_}": [
        "1:7: api.port: empty value; must be a whole number from 0 to 65535",
        "1:13: not a valid whole number",
    ],
    "workers: {limits: {memory: much, cpus: 1}}": [
        "1:20: workers.limits.memory: invalid value 'much';"
        " must be a number of bytes, or a size such as 512M or 2G, or null",
        "1:34: workers.limits.cpus: unknown key (did you mean 'cpu'?)",
    ],
    "workers: {containment: docker}": [
        "1:11: workers.containment: invalid value 'docker';"
        " must be auto, subreaper, cgroup, pidns, sandbox, or basic",
    ],
    "api: {port: \x01}": ["1:13: not valid YAML: the character U+0001 is not allowed"],
    "? [a]\n: 1": ["1:3: a key must be plain text"],
    "[" * 1500: ["1:1: lists or mappings are nested too deeply"],
}


@pytest.mark.parametrize(("text", "expected"), WRONG_FILES.items(), ids=lambda case: str(case)[:30])
def test_a_wrong_file_is_refused_with_place_and_remedy(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert complaints(tmp_path, text) == [f"config.yaml:{line}" for line in expected]


def number_paths(path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the paths of settings with a number, or a size such as 512M."""
    schema = schema_at(path)
    if schema.get("type") in ("integer", "number") or "512M" in schema.get("title", ""):
        yield path
    for name in schema.get("properties", ()):
        yield from number_paths((*path, name))


@pytest.mark.parametrize("value", ["9" * 400, "9" * 5000, "1.0e+308", ".inf", ".nan", "true", "-1"])
@pytest.mark.parametrize("path", [*number_paths()], ids=".".join)
def test_a_number_that_means_nothing_is_refused(tmp_path: Path, path: KeyPath, value: str) -> None:
    text = WITH_KEY
    for depth, name in enumerate(path):
        text += "  " * depth + f"{name}:" + ("\n" if name != path[-1] else f" {value}\n")
    line = complaints(tmp_path, text.removeprefix(WITH_KEY) if path[0] == "api" else text)[0]
    assert line.startswith("config.yaml:") and len(line) < 300


@pytest.mark.parametrize("value", ["9" * 400 + "G", "9" * 5000 + "T", "9999999999T"])
def test_a_size_that_means_nothing_is_refused(tmp_path: Path, value: str) -> None:
    environ = {"ORCHESTRATOR_WORKERS__LIMITS": f"{{memory: {value}}}"}
    [line] = complaints(tmp_path, WITH_KEY, environ=environ)
    assert line.endswith("must be a number of bytes, or a size such as 512M or 2G, or null")


CONFLICTS = {
    "workers: {max_workers: 200}": (
        "3:11: workers.max_workers: 200 is above limits.max_workers (100); "
        "lower this setting, or raise limits.max_workers"
    ),
    "workers: {max_live_workers: 3}": (
        "workers.max_workers: 10 is above workers.max_live_workers (3); "
        "lower this setting, or raise workers.max_live_workers"
    ),
    "workers: {default_timeout: 100000}": (
        "3:11: workers.default_timeout: 100000 is above limits.max_wall_seconds (86400);"
        " lower this setting, or raise limits.max_wall_seconds"
    ),
    "recursion: {max_depth: 11}": (
        "3:13: recursion.max_depth: 11 is above limits.max_depth (10); "
        "lower this setting, or raise limits.max_depth"
    ),
    "orchestrator: {project_root: /nowhere/at/all}": (
        "3:16: orchestrator.project_root: '/nowhere/at/all' is not a directory;"
        " name an existing directory, or null"
    ),
    "reports: {template_dir: config.yaml}": "is not a directory; name an existing directory, or"
    " null",
    "store: {url: 'postgres://me:secret@db/x'}": (
        "store.url: unsupported database; write postgresql+psycopg://USER@HOST/NAME, or null"
    ),
    "cluster: {listen: '8786'}": (
        "3:11: cluster.listen: '8786' is not an address; write HOST:PORT, such as 0.0.0.0:8786"
    ),
    "cluster: {scheduler: 'tls://head.lan:8785'}": (
        "cluster.scheduler: nodes on a Dask cluster need an address of this server; "
        'set cluster.listen: "0.0.0.0:8786"'
    ),
}


@pytest.mark.parametrize(("text", "expected"), CONFLICTS.items())
def test_settings_that_do_not_fit_together_are_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    [line] = complaints(tmp_path, f"{WITH_KEY}\n{text}")
    assert line.startswith("config.yaml")
    assert line.endswith(expected)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_host_that_others_can_reach_needs_tls_a_proxy_or_a_yes(tmp_path: Path, host: str) -> None:
    environ = {"ORCHESTRATOR_API__HOST": host}
    # Earlier config.yaml files have only this setting.
    for text in (WITH_KEY, WITH_KEY.replace("api: {", "api: {allow_remote: true, ")):
        [line] = complaints(tmp_path, text, environ=environ)
        assert line.startswith(
            f"ORCHESTRATOR_API__HOST: api.host: other machines can reach '{host}'"
        )
        for way in ("api.tls: {certificate: ", "api.trusted_proxies: [", "api.insecure: true"):
            assert way in line
    (tmp_path / "c.pem").touch()
    for name, value in (
        ("INSECURE", "true"),
        ("TRUSTED_PROXIES", "[10.0.0.0/8]"),
        ("TLS", "{certificate: c.pem, key: ./c.pem}"),
    ):
        api = load_config(
            tmp_path, environ={**environ, f"ORCHESTRATOR_API__{name}": value}
        ).settings.api
        assert api.host == host
        assert api.has_local_address is (name != "INSECURE")
    assert api.tls is not None
    assert api.tls.certificate == api.tls.key == tmp_path / "c.pem"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "TRUSTED_PROXIES",
            "[10.0.0.0/8, proxy.example.org]",
            "'proxy.example.org' is not an address or network, such as 10.0.0.5 or 10.0.0.0/24",
        ),
        (
            "ALLOWED_ORIGINS",
            "['https://app.example.org/page']",
            "such as https://app.example.org; write scheme and host, without a path",
        ),
        (
            "TLS",
            "{certificate: config.yaml, key: none.pem}",
            "none.pem' is not a file; name a file in PEM format",
        ),
        ("TLS", "{certificate: config.yaml}", "api.tls.key: missing; must be a path"),
    ],
)
def test_a_proxy_or_certificate_that_is_none_is_refused(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    [line] = complaints(tmp_path, WITH_KEY, environ={f"ORCHESTRATOR_API__{name}": value})
    assert line.startswith(f"ORCHESTRATOR_API__{name}: api.") and line.endswith(expected)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_a_loopback_host_needs_none(tmp_path: Path, host: str) -> None:
    assert load_config(tmp_path, environ={"ORCHESTRATOR_API__HOST": host}).settings.api.host == host


def test_a_secret_may_be_in_a_file_that_the_environment_names(tmp_path: Path) -> None:
    secret, keys = tmp_path / "secret", tmp_path / "keys"
    secret.write_text(f"{KEY}\n")
    keys.write_text(f"[{{name: ci, key: {KEY}-of-ci, scopes: [read]}}]\n")
    environ = {
        "ORCHESTRATOR_API__API_KEY_FILE": str(secret),
        "ORCHESTRATOR_API__KEYS_FILE": str(keys),
    }
    result = load_config(tmp_path, "", environ)
    assert result.settings.api.api_key.get_secret_value() == KEY
    assert result.settings.api.keys[0].name == "ci"
    assert result.origins["api.api_key"] == "ORCHESTRATOR_API__API_KEY_FILE"


def test_a_secret_file_that_cannot_be_used_is_refused_by_its_path(tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.touch()
    environ = {
        "ORCHESTRATOR_API__API_KEY_FILE": str(missing),
        "ORCHESTRATOR_API__KEYS_FILE": str(empty),
        "ORCHESTRATOR_STORE__URL_FILE": str(empty),
        "ORCHESTRATOR_STORE__URL": "sqlite:///x",
        "ORCHESTRATOR_API__PORT_FILE": str(empty),
    }
    lines = complaints(tmp_path, WITH_KEY, environ=environ)
    assert [line for line in lines if "_FILE: " in line and "PORT" not in line] == [
        f"ORCHESTRATOR_API__API_KEY_FILE: {missing} cannot be read: No such file or directory",
        f"ORCHESTRATOR_API__KEYS_FILE: {empty} is empty; write the secret into it",
        "ORCHESTRATOR_STORE__URL_FILE: ORCHESTRATOR_STORE__URL is also set; set only one of them",
    ]
    # The suffix is only for secrets: any other setting with it is an unknown key.
    assert any("api.port_file: unknown key" in line for line in lines)


def test_a_wrong_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    environ = {
        "ORCHESTRATOR_API__PRT": "1",
        "ORCHESTRATOR_API__PORT": "",
        "ORCHESTRATOR_WRKERS__MAX_WORKERS": "1",
        "ORCHESTRATOR_AGENTS__MINE": "{command: [ls}",
    }
    assert complaints(tmp_path, WITH_KEY, environ=environ, flags={"api.threads": "x"}) == [
        "ORCHESTRATOR_AGENTS__MINE: agents.mine: not valid YAML: expected ',' or ']', but got '}'",
        "ORCHESTRATOR_API__PORT: api.port: empty value; must be a whole number from 0 to 65535",
        "ORCHESTRATOR_API__PRT: api.prt: unknown key (did you mean 'port'?)",
        "ORCHESTRATOR_WRKERS__MAX_WORKERS: wrkers: unknown section (did you mean 'workers'?)",
        "flag --threads: api.threads: invalid value 'x'; must be a whole number from 2 to 1000;"
        " write a number without quotes or a unit",
    ]


def test_a_file_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path) -> None:
    expected = "config.yaml:2:9: not UTF-8 text; save the file as UTF-8"
    assert complaints(tmp_path, b"api:\n  host: \xff\n") == [expected]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"^config\.yaml: cannot be read: Is a directory$"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("user_offset", "fix"),
    [
        (0, "chmod 600 {folder}/config.yaml"),
        # After a first run with sudo, the folder's files belong to root.
        (7, "it belongs to uid {owner}, and this command runs as uid {user}; "),
    ],
)
def test_a_file_of_another_user_is_named_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_offset: int, fix: str
) -> None:
    (tmp_path / "config.yaml").touch()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + user_offset)
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=denied))
    for read in (lambda: load(tmp_path, environ={}), lambda: ensure_key(tmp_path)):
        with pytest.raises(UnreadableConfig) as caught:
            read()
        assert caught.value.message.startswith(f"cannot read {tmp_path}/config.yaml: ")
        values = {"folder": tmp_path, "owner": owner, "user": owner + user_offset}
        assert fix.format(**values) in caught.value.message
        sudo = f"type: sudo chown -R {owner + 7} {tmp_path}"
        assert (sudo in caught.value.message) == (owner == 0 and user_offset == 7)


@pytest.mark.parametrize(
    "text", ["", "api: {api_key: ''}", "api: {api_key: }", "api: {api_key: '...'}"]
)
def test_without_a_key_the_remedy_is_install(tmp_path: Path, text: str) -> None:
    [line] = complaints(tmp_path, text)
    assert re.fullmatch(r"config\.yaml(:1:7)?: api\.api_key: .*\./install\.sh", line)
    assert load_config(tmp_path, text, require_key=False).settings.api.port == 8000


def test_a_key_that_no_header_can_carry_is_refused(tmp_path: Path) -> None:
    [line] = complaints(tmp_path, "api: {api_key: 'käsekäsekäsekäse'}")
    assert "must be letters and digits" in line


def test_an_invalid_entry_of_a_list_is_one_problem_and_shows_no_secret(tmp_path: Path) -> None:
    endpoint = "{name: ci, url: 'https://ci.example', events: [ended], headers: {Token: 1234567}}"
    lines = complaints(tmp_path, f"webhooks: {{endpoints: [{endpoint}]}}")
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "webhooks.endpoints[0].events[0]",
        "webhooks.endpoints[0].headers.Token",
    ]
    assert "1234567" not in "".join(lines)


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secret = "s3cret-s3cret-s3cret"
    text = (
        f"api: {{api_key: {secret}}}\nstore: {{url: 'postgresql+psycopg://me:{secret}@db/x'}}\n"
        f"webhooks: {{endpoints: [{{name: ci, url: 'https://ci.example/{secret}?t={secret}'}}]}}\n"
        f"notify: {{targets: [{{name: me, url: 'tgram://1:{secret}/chat'}}]}}\n"
    )
    settings = load_config(tmp_path, text).settings
    shown = visible(settings)
    assert shown["api.api_key"] == "****"
    assert shown["store.url"] == "postgresql+psycopg://me:****@db/x"
    assert secret not in repr(settings) + str(settings) + json.dumps(shown)
    assert secret not in "".join(complaints(tmp_path, f"api: {{api_key: [{secret}]}}"))


@settings(deadline=None)
@given(text=st.text(max_size=200), name=st.sampled_from(["PORT", "HOST", "API_KEY", "X"]))
def test_any_text_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    environ = {f"ORCHESTRATOR_API__{name}": text}
    for content in (text, f"api: {text}", f"orchestrator:\n  project_root: {text}\n"):
        try:
            load_config(folder, content.encode("utf-8", "surrogatepass"), environ)
        except ConfigError as error:
            assert error.message


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)
NAMES = [f"{section}.{key}" for section, key in setting_paths()] + [
    "agents.mine",
    "agents.mine.env",
    "triggers.mine",
    "triggers.mine.when",
]


@settings(deadline=None)
@given(wrong=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_any_value_of_a_known_setting_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, wrong: dict[str, object]
) -> None:
    document: dict[str, dict[str, object]] = {}
    for name, value in wrong.items():
        section, _, key = name.partition(".")
        document.setdefault(section, {})[key] = value
    try:
        load_config(tmp_path_factory.getbasetemp(), yaml.safe_dump(document, allow_unicode=True))
    except ConfigError as error:
        assert error.message


def test_the_committed_template_and_schema_are_the_generated_ones() -> None:
    assert (PRODUCT / "config.template.yaml").read_text() == render_template()
    assert (PRODUCT / "config.schema.json").read_text() == render_schema()


def test_the_template_has_the_defaults(tmp_path: Path) -> None:
    defaults = load(tmp_path, environ={}, require_key=False).settings
    assert load_config(tmp_path, render_template(), require_key=False).settings == defaults


def test_a_former_name_of_a_setting_is_still_accepted(tmp_path: Path) -> None:
    former = "workers: {orphan_lease: 5}\n"

    assert load_config(tmp_path, WITH_KEY + former).settings.workers.orphan_timeout == 5
    environ = {"ORCHESTRATOR_WORKERS__ORPHAN_LEASE": "7"}
    found = load_config(tmp_path, WITH_KEY + former, environ=environ)
    assert found.settings.workers.orphan_timeout == 7
    assert found.origins["workers.orphan_timeout"] == "ORCHESTRATOR_WORKERS__ORPHAN_LEASE"
    wrong = "workers: {orphan_lease: soon}\n"
    assert complaints(tmp_path, WITH_KEY + wrong)[0].startswith(
        "config.yaml:2:11: workers.orphan_timeout: invalid value 'soon'; must be a number"
    )
    both = "workers: {orphan_timeout: 1, orphan_lease: 5}\n"
    assert "former name of workers.orphan_timeout" in complaints(tmp_path, WITH_KEY + both)[0]


def test_a_new_config_file_is_short_and_has_a_key(tmp_path: Path) -> None:
    assert ensure_key(tmp_path)

    text = (tmp_path / "config.yaml").read_text()
    assert len(text.splitlines()) <= 16
    assert "config.template.yaml" in text
    assert re.sub('api_key: "[0-9a-f]{64}"', 'api_key: ""', text) == render_starter()
    found = visible(load(tmp_path, environ={}).settings)
    defaults = load(tmp_path / "none", environ={}, require_key=False).settings
    inside = {name for name, value in found.items() if value != visible(defaults)[name]}
    places = {"orchestrator.workspace_root", "logging.log_dir", "cluster.certificates"}
    assert inside <= {"api.api_key", *places}


def test_a_setting_of_a_new_config_file_is_set_by_removing_its_mark(tmp_path: Path) -> None:
    text = re.sub("^  # ", "  ", render_starter(), flags=re.MULTILINE)

    document = yaml.safe_load(text)
    settings = load_config(tmp_path, text, require_key=False).settings
    assert document["workers"]["max_workers"] == settings.workers.max_workers == 10
    assert settings == load(tmp_path, environ={}, require_key=False).settings


@pytest.mark.parametrize("text", [render_starter(), render_template()])
def test_editors_accept_the_files_as_they_are_written(text: str) -> None:
    schema = json.loads(render_schema())

    Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_the_agent_shown_in_the_template_works(tmp_path: Path) -> None:
    lines = render_template().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# Agents that you add"))
    end = lines.index("agents: {}")
    example = [re.sub("^# ", "", line) for line in lines[start + 1 : end]]
    text = "\n".join([WITH_KEY, "agents:", *example])
    assert load_config(tmp_path, text).settings.agents["my-agent"].command == ("my-tool", "--quiet")


TRIGGER = "triggers:\n  issues: {verify: github, request: a, secret: 'env:HOOK_SECRET'}\n"


def test_a_secret_may_be_in_a_variable_and_is_never_shown(tmp_path: Path) -> None:
    text = f"{WITH_KEY}{TRIGGER}"
    secret = "a-secret-for-tests-only"
    settings = load_config(tmp_path, text, {"HOOK_SECRET": secret}).settings
    assert settings.triggers["issues"].secret.get_secret_value() == secret
    assert secret not in str(visible(settings))
    with pytest.raises(
        ConfigError, match=r"triggers\.issues\.secret: the environment variable HOOK_SECRET"
    ):
        load_config(tmp_path, text)
    assert load_config(tmp_path, text, require_key=False), (
        "a terminal may lack the server's variables"
    )


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("secret: short, request: a", "the secret must have 16 or more characters"),
        (f"secret: {'s' * 16}", "set either request or plan, and not both"),
        (f"secret: {'s' * 16}, request: a, plan: b", "set either request or plan, and not both"),
        (f"secret: {'s' * 16}, action: feedback, request: a", "feedback allows no request"),
        (f"secret: {'s' * 16}, request: a, max_per_hour: 0", "must be a whole number from 1"),
        ("secret: 5555555555555555, request: a", "must be text; put text in quotes"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused(tmp_path: Path, entry: str, words: str) -> None:
    text = f"{WITH_KEY}triggers:\n  issues: {{verify: github, {entry}}}\n"
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path, text)
    assert words in str(refused.value)
    assert "5555" not in str(refused.value)


def test_every_setting_has_a_description() -> None:
    for _, section in Settings():
        kind = type(section)
        descriptions = (
            [] if kind is dict else [kind.description_of(name) for name in kind.model_fields]
        )
        assert all(each and "\n" not in each for each in descriptions)


@pytest.mark.parametrize(
    "text",
    [
        render_template(),
        render_starter(),
        "",
        "workers: {max_workers: 3}",
        "api:\n",
        "api: {}\n",
        "api:  # here\n    port: 9  # nine\nstore:\n",
        "api: {port: 9, host: localhost}\n",
        "api: {\n  port: 9\n}\n",
        'api: {host: localhost, port: 8000, api_key: "..."}\n',
        "api:\r\n  api_key: ''\r\n  port: 9\r\n",
        'api:\n  "api_key":\n  port: 9\n',
        "api: {api_key: null}",
    ],
)
def test_only_a_missing_key_is_added(tmp_path: Path, text: str) -> None:
    filled = with_key(text, "k" * 64)
    result = load_config(tmp_path, filled)
    assert result.settings.api.api_key.get_secret_value() == "k" * 64
    before = {
        **visible(load_config(tmp_path, text, require_key=False).settings),
        "api.api_key": "****",
    }
    assert visible(result.settings) == before
    assert filled.count("#") == text.count("#")


def test_a_start_writes_the_key_that_the_template_lacks(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(render_template())
    config.chmod(0o644)
    lines: list[str] = []

    first, second = (load_with_key(tmp_path, environ={}, say=lines.append) for _ in range(2))

    key = first.settings.api.api_key.get_secret_value()
    assert len(key) == 64 and second.settings == first.settings
    assert config.read_text() == render_template().replace('api_key: ""', f'api_key: "{key}"')
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert len(lines) == 1 and str(config) in lines[0] and key not in lines[0]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("api: {port: 9}\n", {"ORCHESTRATOR_API__API_KEY": "short"}),
        ("api: {prot: 9}\n", {}),
        ("api: {api_key: short}\n", {}),
    ],
)
def test_a_start_writes_no_key_into_a_wrong_file(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_with_key(tmp_path, environ=environ, say=pytest.fail)
    assert (tmp_path / "config.yaml").read_text() == text


def test_a_key_of_the_user_stays_even_if_it_is_short(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("api: {api_key: mine}\n")
    assert not ensure_key(tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "api: {api_key: mine}\n"


def test_a_key_that_the_server_rejects_fails_the_installation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("api:\n  api_key: short\n")
    assert new_api_key.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("config.yaml: api.api_key: shorter than 16 characters; to create a key")


def test_a_broken_file_is_not_touched_by_the_search_for_a_key(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("api: {\n")
    with pytest.raises(ValueError, match=r"config\.yaml:2:1: not valid YAML"):
        ensure_key(tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "api: {\n"


def test_a_file_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes("api:\n  host: b\u00fccher\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^config\.yaml:2: not UTF-8"):
        ensure_key(tmp_path)


HASH = "a" * 64


def test_further_keys_have_a_name_and_scopes(tmp_path: Path) -> None:
    text = f"""api:
  api_key: {KEY}
  keys:
  - {{name: ci, key_hash: "{HASH}", scopes: [submit]}}
  - {{name: eve@site, key: {KEY}-2, scopes: [read, submit]}}
"""
    result = load_config(tmp_path, text)
    first, second = result.settings.api.keys

    assert (first.name, first.key_hash, first.scopes) == ("ci", HASH, (Scope.SUBMIT,))
    assert set(second.scopes) == {Scope.READ, Scope.SUBMIT}
    assert f"{KEY}-2" not in json.dumps(visible(result.settings)) + repr(result.settings)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (f'{{name: ci, key_hash: "{HASH}", scopes: [write]}}', "admin, submit, or read"),
        (f'{{name: ci, key_hash: "{HASH}", scopes: []}}', "a list such as"),
        (f'{{name: ci, key_hash: "{HASH}"}}', "api.keys[0].scopes: missing"),
        ("{name: ci, key_hash: 12ab, scopes: [read]}", "64 hexadecimal digits"),
        ("{name: ci, scopes: [read]}", "set either key_hash or key, and not both"),
        (
            f'{{name: ci, key: {KEY}, key_hash: "{HASH}", scopes: [read]}}',
            "set either key_hash or key",
        ),
        ("{name: ci, key: short-secret, scopes: [read]}", "16 or more letters and digits"),
        ("{name: root/worker_1, key: short-secret, scopes: [read]}", "starts with a letter"),
        (f'{{name: default, key_hash: "{HASH}", scopes: [read]}}', "is used by api.api_key"),
        (f'{{name: ci, key_hash: "{HASH}", scope: [read], scopes: [read]}}', "unknown key"),
        (
            f"{{name: ci, key: {KEY}, scopes: [read]}}, {{name: ci, key: {KEY}-2, scopes: [read]}}",
            "is used by another key",
        ),
    ],
)
def test_a_wrong_key_entry_is_reported_without_its_secret(
    tmp_path: Path, entry: str, reason: str
) -> None:
    text = "\n".join(complaints(tmp_path, f"api: {{api_key: {KEY}, keys: [{entry}]}}"))

    assert reason in text
    assert "short-secret" not in text


@pytest.mark.parametrize("address", ["jobs.example.org", "https://jobs.example.org/here"])
def test_a_public_address_is_scheme_and_host(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.public_url: .*without a path"):
        load_config(tmp_path, environ={"ORCHESTRATOR_API__PUBLIC_URL": address})


def test_names_and_kinds_of_settings_are_those_of_the_schema() -> None:
    sections = settings_schema()["properties"]

    assert setting_paths() == [
        (section, key)
        for section in sections
        for key in schema_at((section,)).get("properties", ())
    ]
    for path in setting_paths():
        schema = schema_at(path)
        assert is_text(path) == (schema.get("type") == "string"), path
        assert is_optional(path) == bool(schema.get("optional")), path
    assert not is_text(("api", "no_such_key"))
    assert not is_text(("no_such_section", "key"))


SECTIONS = [name for name in Settings.model_fields if name not in NAMED]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_defaults_of_a_section_are_valid_and_have_the_types_of_given_values(name: str) -> None:
    default = Settings.model_fields[name].default

    checked = type(default).model_validate({})

    assert repr(default) == repr(checked)


def test_only_sections_of_the_file_are_checked() -> None:
    code = (
        "from orchestrator.config.settings import Settings\n"
        "Settings.from_sections({'api': {'port': 1}})\n"
        "kinds = {name: field.annotation for name, field in Settings.model_fields.items()}\n"
        "print(*(name for name in kinds if getattr(kinds[name], '__pydantic_complete__', False)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout.split(), done.stderr) == (["api"], "")
