"""Reads the settings that a command needs to start a server.

If the settings have a simple form, they are read without pydantic, because loading all settings
would double the time of the command. The started server loads and checks all settings.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.api.client.server_discovery import CONFIG_NAME, configured_key, setting
from orchestrator.config.example_key import is_example
from orchestrator.config.project_discovery import project_by_location
from orchestrator.core.lazy_dataclass import dataclass

#: Minimum characters of an API key. A shorter text is invalid, or a placeholder such as "...".
_SHORTEST = 16
_NULLS = ("", "null", "Null", "NULL", "~")
#: YAML's key ``<<``, which copies settings from another part of the file.
_MERGE_KEY = "<<"
#: A value that does not start with a special character of YAML.
_PLAIN_VALUE = re.compile(r"[\w./~-][^\n\0]*|\[\]")


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    host: str
    port: int
    #: True if programs on this machine get a separate address, in plain HTTP.
    has_local_address: bool
    log_dir: Path


class _NotPlain(Exception):
    """config.yaml has a value that only the complete loader of settings can read."""


def start_settings(
    folder: Path, environ: Mapping[str, str], say: Callable[[str], None]
) -> StartSettings:
    """Return the settings. If there is no API key, write a new key, and call ``say`` with a note.

    Raise ConfigError for invalid settings. Some errors are found only by the started server.
    """
    try:
        return _plain_start_settings(folder, environ)
    except _NotPlain:
        pass
    from orchestrator.config.new_api_key import key_notes, load_with_key

    settings = load_with_key(folder, environ=environ, say=say).settings
    for note in key_notes(settings):
        say(note)
    api = settings.api
    return StartSettings(
        host=api.host,
        port=api.port,
        has_local_address=api.has_local_address,
        log_dir=settings.logging.log_dir,
    )


def project_at_start(folder: Path, environ: Mapping[str, str]) -> Path:
    """Return the project that a server would have if it started now.

    Raise ConfigError if the settings are invalid, or if the project is unknown.
    """
    try:
        configured = _plain_setting(folder, environ, "orchestrator", "project_root", "")
        if not configured:
            return project_by_location(folder).root
        return _existing_directory(folder, configured)
    except _NotPlain:
        pass
    from orchestrator.config import load, project_root

    settings = load(folder, environ=environ).settings
    return project_root(settings, folder)


def _plain_start_settings(folder: Path, environ: Mapping[str, str]) -> StartSettings:
    """Return the settings, or raise _NotPlain if a value needs the complete loader.

    Also raise _NotPlain if the API key is missing, too short, or an example.
    """
    host = _plain_setting(folder, environ, "api", "host", "localhost")
    port = _plain_setting(folder, environ, "api", "port", "8000")
    log_dir = _plain_setting(folder, environ, "logging", "log_dir", "logs")
    has_tls = _plain_setting(folder, environ, "api", "tls", "")
    proxies = _plain_setting(folder, environ, "api", "trusted_proxies", "")
    key = configured_key(folder, environ)
    if has_tls or proxies not in ("", "[]") or not port.isdecimal():
        raise _NotPlain
    if key is None or len(key) < _SHORTEST or is_example(key):
        raise _NotPlain
    return StartSettings(
        host=host, port=int(port), has_local_address=False, log_dir=_path(folder, log_dir)
    )


def _plain_setting(
    folder: Path, environ: Mapping[str, str], section: str, key: str, default: str
) -> str:
    """Return the text of the setting ``section.key``, or ``default``.

    Raise _NotPlain if only the complete loader of settings can read the value.
    """
    value = setting(folder, environ, section, key)
    text = _text(folder)
    if _MERGE_KEY in text or any(map(_is_in_lower_case, environ)):
        raise _NotPlain
    if value is None:
        if re.search(rf"\b{key}[\"']?\s*:", text):
            raise _NotPlain
        return default
    if value in _NULLS and not default:
        return default
    if not _PLAIN_VALUE.fullmatch(value) or value in _NULLS:
        raise _NotPlain
    return value


def _is_in_lower_case(variable: str) -> bool:
    # The plain reader would miss this setting, because it expects names in upper case only.
    return variable.startswith("ORCHESTRATOR_") and "__" in variable and not variable.isupper()


def _text(folder: Path) -> str:
    # Return the text of config.yaml without comments.
    try:
        text = (folder / CONFIG_NAME).read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise _NotPlain from None
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _existing_directory(folder: Path, path_text: str) -> Path:
    directory = _path(folder, path_text)
    if not directory.is_dir():
        raise _NotPlain
    return directory


def _path(folder: Path, path_text: str) -> Path:
    return Path(os.path.abspath(folder / os.path.expanduser(path_text)))
