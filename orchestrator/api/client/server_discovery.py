"""Finds a folder's server: the address in ``server.json``, and the key in ``config.yaml``."""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from orchestrator import IS_INSTALLED
from orchestrator.api.client.errors import NoServer
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.security.files.json_file import read_object

CONFIG_NAME = "config.yaml"
RECORD_NAME = "server.json"
RECORD_BYTES = 64 * 1024
API_URL = "ORCHESTRATOR_API_URL"
API_KEY = "ORCHESTRATOR_API_KEY"
#: Variable with the path of a file that contains the key. The server also reads this variable.
KEY_FILE = "ORCHESTRATOR_API__API_KEY_FILE"


@dataclass(frozen=True, kw_only=True)
class Address:
    url: str
    key: str | None


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """The content of ``server.json``, in which a running server records its address."""

    url: str
    pid: int
    #: Seconds since the epoch; None: unknown.
    started_at: float | None = None
    #: The server's project directory; empty: unknown.
    project: str = ""
    #: Version of the product; empty: unknown.
    version: str = ""
    #: Ports of earlier servers. The server also listens on these ports, for workers that the
    #: earlier servers started.
    former_ports: tuple[int, ...] = ()

    @property
    def port(self) -> int | None:
        """Port in the URL; None if the URL has no port."""
        try:
            return urlsplit(self.url).port
        except ValueError:
            return None


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

    The function returns None if the record is missing or invalid. Return no function if the
    environment names the server.
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


def read_record(workspace: Path) -> ServerRecord | None:
    """Return the content of ``server.json``; None if it is missing or invalid."""
    record = read_object(workspace / RECORD_NAME, RECORD_BYTES) or {}
    try:
        started_at = record.get("started_at")
        return ServerRecord(
            url=str(record["url"]),
            pid=int(record["pid"]),
            started_at=started_at if isinstance(started_at, int | float) else None,
            project=str(record.get("project") or ""),
            version=str(record.get("version") or ""),
            former_ports=tuple(int(port) for port in record.get("former_ports", ())),
        )
    except (ValueError, KeyError, TypeError, OverflowError):
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
