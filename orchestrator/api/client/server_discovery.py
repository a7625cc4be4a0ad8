"""Finds a folder's server: the address in ``server.json``, and the key in ``config.yaml``."""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from orchestrator import IS_INSTALLED
from orchestrator.api.client.errors import NoServer
from orchestrator.api.client.server_record import read_record
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND

CONFIG_NAME = "config.yaml"
API_URL = "ORCHESTRATOR_API_URL"
API_KEY = "ORCHESTRATOR_API_KEY"
#: Variable with the path of a file that contains the key. The server also reads this variable.
KEY_FILE = "ORCHESTRATOR_API__API_KEY_FILE"


@dataclass(frozen=True, kw_only=True)
class Address:
    url: str
    key: str | None


def find_address(folder: Path, environ: Mapping[str, str]) -> Address:
    """Return the address of the server that the environment names, or that runs for ``folder``.

    Raise NoServer if neither exists. Does not check that the server is alive.
    """
    key = environ.get(API_KEY) or configured_key(folder, environ)
    url = environ.get(API_URL)
    if url:
        return Address(url=url, key=key)
    record = read_record(workspace_of(folder, environ))
    if record is None:
        command = COMMAND if IS_INSTALLED else quote(str(folder / "bin" / "orchestrator"))
        raise NoServer(f"no server is running for {folder}; start the server: {command} serve")
    return Address(url=record.url, key=key)


def url_finder(folder: Path, environ: Mapping[str, str]) -> Callable[[], str | None] | None:
    """Return a function that returns the URL in the current record of ``folder``'s server.

    The function returns None if the record is missing or invalid. If the environment names the
    server, return None instead of a function.
    """
    if environ.get(API_URL):
        return None
    workspace = workspace_of(folder, environ)

    def recorded_url() -> str | None:
        record = read_record(workspace)
        return record.url if record else None

    return recorded_url


def workspace_of(folder: Path, environ: Mapping[str, str]) -> Path:
    """Return the directory that holds all jobs of ``folder``."""
    configured = setting(folder, environ, "orchestrator", "workspace_root") or "workspace"
    return Path(os.path.abspath(folder / os.path.expanduser(configured)))


def configured_key(folder: Path, environ: Mapping[str, str]) -> str | None:
    """Return the API key of ``folder``; None if it is not set, or its file is unreadable."""
    path = environ.get(KEY_FILE)
    if not path:
        return setting(folder, environ, "api", "api_key") or None
    try:
        return Path(path).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def setting(folder: Path, environ: Mapping[str, str], section: str, key: str) -> str | None:
    """Return the text of one setting from the environment or ``config.yaml``; None if not set.

    Needs neither PyYAML nor pydantic, which may be missing in a program that only calls the server.
    """
    value = environ.get(f"ORCHESTRATOR_{section}__{key}".upper())
    if value is not None:
        return value
    try:
        text = (folder / CONFIG_NAME).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return _setting_in(text, section, key)


_DOUBLE_QUOTED = r'"(?P<double>(?:[^"\\]|\\.)*)"'
_SINGLE_QUOTED = r"'(?P<single>[^']*)'"
_PLAIN = r"(?P<plain>[^\s,}#][^,}#\n]*)"
_VALUE = rf"\s*:[ \t]*(?:{_DOUBLE_QUOTED}|{_SINGLE_QUOTED}|{_PLAIN})"


def _setting_in(text: str, section: str, key: str) -> str | None:
    """Return a setting from a JSON or YAML text; None if it is missing.

    A section in YAML is a block, or one line such as ``section: {key: value}``.
    """
    if text.lstrip().startswith("{"):
        with suppress(ValueError, KeyError, TypeError):
            value = json.loads(text)[section][key]
            return None if value is None else str(value)
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    body = re.search(rf"^{section}\s*:(.*(?:\n[ \t]+.*|\n[ \t]*$)*)", lines, re.MULTILINE)
    match = re.search(rf"(?:^|[\s{{,]){key}{_VALUE}", body[1]) if body else None
    if match is None:
        return None
    if match["double"] is not None:
        return str(json.loads(f'"{match["double"]}"'))
    return match["single"] if match["single"] is not None else match["plain"].strip()
